#!/usr/bin/env bats
# One process, one thread, no call that waits for a client.
bats_require_minimum_version 1.5.0
load lib/helpers

request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# bats test_tags=weight:2
@test "one process and one thread serve all clients" {
    hold -n 50 send "GET / HT"
    # The first may be answered in the round in which the server accepts them, when each of them has sent something.
    for _ in 1 2; do
        IF_SILENT="50 clients have sent half a request: no call may wait for one of them (each client's socket is non-blocking, not only the listener)" get /
    done
    look
    release
    ((THREADS == 1 && CHILDREN == 0)) || explain "one thread, no child" "here are $THREADS threads, $CHILDREN children"
}

# bats test_tags=given
@test "a client that leaves does not disturb the others" {
    settle
    count_sockets() { find "/proc/$PID/fd" -lname 'socket:*' | wc -l; } # it may have files, too, that it closes when it likes
    connected() { (($(count_sockets) == before + $1)); }
    mkfifo "$JOB/late" # the second client is connected, and waits here for its request
    come_and_go() {
        before=$(count_sockets) # of this try: a wrong server has perhaps kept one of the try before
        hold
        "$CLIENT" "$PORT" file "$JOB/late" read >"$ANSWER" 3>&- &
        OTHER=$!
        wait_until "the server accepts both clients" connected 2
        release
        wait_until "the server closes the socket of the first, who has left" connected 1
        client send "$request" read >/dev/null
        printf '%s' "$request" | feed "$JOB/late" || return 1
        on_time
        wait "$OTHER" || true
        read_status
        expect_status 200 "the first of two clients has left, and a third came: is the second forgotten?"
    }
    in_time come_and_go
}

# bats test_tags=given
@test "a client that has shut down its sending half gets its whole answer" {
    random_bytes 12000000 >"$HTML/large-$NAME" # more than the kernel takes at once
    hint="recv() returns 0: the client will send no more, but it still receives; what it has asked for is sent"
    for target in / "/large-$NAME"; do
        IF_SILENT=$hint receive send "GET $target HTTP/1.1"$'\r\nHost: test\r\nConnection: close\r\n\r\n' shutdown wait 300 slowly 3000000 100 || return 1
        expect_file "$HTML/${target#/}$([[ $target != / ]] || echo index.html)" "$hint" || return 1
    done
}

# bats test_tags=given
@test "clients that leave in the middle of a request leave no memory behind" {
    client -t 120 -r 100 send "GET / HT" close
    get /
    before=$(memory_kb VmSize)
    client -t 120 -r 700 send "GET / HT" close
    client -t 120 -r 400 send "GET /$NAME.bin HTTP/1.1"$'\r\nHost: test\r\n\r\n' answer-head reset >/dev/null
    get /
    grown=$(($(memory_kb VmSize) - before))
    ! measures_memory || ((grown < 4096)) || explain "no more memory than before" \
        "it grew by $grown KiB with 1,100 clients that left: what is allocated for a client is freed wherever its connection is closed"
}

# bats test_tags=weight:2,given
@test "a huge download holds up nobody" {
    truncate -s 4G "$HTML/vast-$NAME"
    for _ in 1 2 3; do
        "$CLIENT" -t 60 "$PORT" send "GET /vast-$NAME HTTP/1.0"$'\r\n\r\n' slowly 1000000 10 >/dev/null 3>&- &
    done
    start=${EPOCHREALTIME/./}
    for _ in 1 2 3 4 5 6 7 8 9 10; do expect_service "a client's turn ends when its socket takes no more (EAGAIN), or after 2 MiB" || return 1; done
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    # shellcheck disable=SC2046
    kill $(jobs -p) || true
    ((ms < 40000)) || explain "10 small answers, beside 3 downloads of 4 GiB" "they took $ms ms: a turn has 2 MiB at most"
}

# bats test_tags=slow
@test "a client that sends its head byte by byte is dropped after 5 seconds" {
    expect_drop "$(client drip 400 "$(printf 'GET / HTTP/1.1%0999d' 0)" closed || true)" \
        "the head must be whole 5 s after the connection opened, not each byte 5 s after the last"
}

# bats test_tags=kit
@test "a client for whom the table has no room is closed, and the server goes on" {
    # A table that is full after a few clients; AddressSanitizer sees what is written beyond its end.
    sed 's/MAX_FDS = 65536/MAX_FDS = 32/' "$KIT"/stage"$STAGE"_*/server.c >"$JOB/small.c"
    grep -q 'MAX_FDS = 32' "$JOB/small.c"
    cc -g -fsanitize=address -o "$PLACE/small" "$JOB/small.c" || cc -g -o "$PLACE/small" "$JOB/small.c"
    port=$(free_port)
    SANITIZE=1 ASAN_OPTIONS=detect_leaks=0 start_other "$PLACE/small" "$port"
    wait_until "a server that listens" listens "$port"
    PORT=$port
    hold -n 100 send "GET / HT"
    pause 0.5
    other_is_alive || explain "a server that goes on" "it has ended: $(said "$JOB/other")" || return 1
    release
    served() { get / && [[ $STATUS == 200 ]]; }
    eventually served || explain "an answer to the next client, when the others have left" ""
}
