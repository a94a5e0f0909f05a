#!/usr/bin/env bats
# SIGINT and SIGTERM end the server after the answer under way, with exit status 0.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

# Sends the server a signal that has to end it. (With $JOB/killed, the next test starts a new one.)
send_signal() { # NAME
    touch "$JOB/killed"
    kill -s "$1" "$PID" 2>/dev/null || true
}

ended() { [[ -s $JOB/ended ]] && ! alive "$PID"; }

expect_good_end() { # SECONDS HINT
    local status
    within "$1" ended || explain "a server that ends after the signal" "after $1 s it still runs; $2" || return 1
    status=$(<"$JOB/ended")
    [[ $status == 0 ]] || explain "exit status 0" "it is $status (128 and the number of a signal: the signal itself has ended it, and nobody has caught it)"
}

# Connections to the server, in its queue or accepted.
count_connections() { grep -cE "^ *[0-9]+: [0-9A-F]{8}:$(printf %04X "$PORT") [0-9A-F]{8}:[0-9A-F]{4} 01 " /proc/net/tcp || true; }
connected() { (($(count_connections) >= $1)); } # COUNT

# A client that the server serves: half of its request is sent, the rest comes when "finish" writes it. What it receives is in
# $ANSWER.
start_half() { # TARGET
    alive "$PID" || { stop_server && start_server; } # when a scene is played again
    rm -f "$JOB/rest"
    mkfifo "$JOB/rest"
    settle
    descriptors=$DESCRIPTORS
    "$CLIENT" -t "$LIMIT" "$PORT" send "GET $1 HTTP/1.1"$'\r\nHost: ' file "$JOB/rest" read >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    wait_until "the server accepts a client" accepted
}
# Says why an answer has not come, or not whole, if the server has ended.
because_it_ended() {
    ! within 2 ended ||
        because "the signal ends the server while it serves a client, and the answer under way is lost: the handler only notes that the signal has come"
}
accepted() { look && ((DESCRIPTORS > descriptors)); }
finish() {
    printf 'test\r\nConnection: close\r\n\r\n' | feed "$JOB/rest" || return 1
    on_time
    wait "$OTHER" || { because_it_ended && explain "the answer, and then the end" "$(said "$JOB/client"); a signal makes a recv() that waits \
fail with EINTR: try again, or let no signal in while a client is served"; } || return 1
    read_status
    [[ -n $STATUS ]] || because_it_ended
}

# bats test_tags=weight:8
@test "SIGTERM ends a server that waits for a client, with exit status 0" {
    send_signal TERM
    expect_good_end "$SOON" "sigaction() says which function runs when SIGTERM comes; without SA_RESTART, accept() fails with EINTR then"
}

# bats test_tags=weight:4
@test "SIGINT, which is Ctrl-C, ends it too" {
    get /
    send_signal INT
    expect_good_end "$SOON" "SIGINT and SIGTERM do the same"
}

# bats test_tags=weight:8
@test "a signal that comes just before the server begins to wait is not lost" {
    # A library in the server sends it then (before_wait.c says how); a server without a C library in it gets it a bit later.
    cc -U_FORTIFY_SOURCE -shared -fPIC -o "$PLACE/before_wait.so" "$KIT/tests/lib/before_wait.c" -ldl
    stop_server
    AS+=(env LD_PRELOAD="$PLACE/before_wait.so" BEFORE_WAIT="$PLACE/now")
    start_server || return 1
    : >"$PLACE/now"
    touch "$JOB/killed"
    get / || return 1
    sent() { grep -q '^before_wait' "$ERRORS"; }
    within 5 sent || ended || send_signal TERM
    rm "$PLACE/now"
    expect_good_end "$SOON" "the signal came after the server had looked whether one had come, and before accept() began to wait. \
pselect() lets signals in only while it waits; a pipe that the handler writes into makes poll() return; on a listener that the \
handler has closed, accept() fails"
}

# A client that reads a large file slowly, 64 KiB every so many milliseconds.
start_download() { # MILLISECONDS
    random_bytes 6000000 | base64 >"$HTML/large.txt"
    rm -f "$ANSWER"
    settle
    "$CLIENT" -t 60 -b 32768 "$PORT" send $'GET /large.txt HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' slowly 65536 "$1" >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    wait_until "a server that sends" test -s "$ANSWER"
}

# bats test_tags=weight:8
@test "a download under way arrives whole, and then the server ends" {
    start_download 15
    send_signal TERM
    wait "$OTHER" || { because_it_ended && explain "the whole answer, and then the end" "$(said "$JOB/client")"; } || return 1
    read_status
    is_body "$HTML/large.txt" || because_it_ended
    expect_file "$HTML/large.txt" "a signal makes a send() that waits fail with EINTR, also with SA_RESTART if the socket has a time limit: try again; and exit() in the handler ends the answer" || return 1
    expect_good_end "$SOON" "the answer under way is sent, and no other client accepted"
}

# No signal waits to be delivered to the server.
all_delivered() { ! grep -Eq '^(Sig|Shd)Pnd:.*[1-9a-f]' "/proc/$PID/status"; }

# bats test_tags=weight:5
@test "a second signal during a download ends the server at once" {
    local signals first second status
    for signals in "TERM TERM" "INT INT" "INT TERM" "TERM INT"; do
        read -r first second <<<"$signals"
        alive "$PID" || { stop_server && start_server; } || return 1
        start_download 500 # this takes a minute
        send_signal "$first"
        within 5 all_delivered || true # two of a kind would be one otherwise
        alive "$PID" || { because_it_ended && explain "a server that goes on after the first signal" "SIG$first lets the download under way arrive"; } || return 1
        send_signal "$second"
        within "$SOON" ended || explain "a server that ends at the second signal" "SIG$first has come, then SIG$second, but after $SOON s it still runs: \
give both signals their default action back (SIG_DFL) when the first one comes; and whoever blocks them while a client is served keeps them away" || return 1
        status=$(<"$JOB/ended")
        [[ $status != 0 ]] || explain "an exit status that is not 0" "the server has not finished what it had begun" || return 1
        kill -KILL "$OTHER" 2>/dev/null || true
        wait "$OTHER" 2>/dev/null || true
        OTHER=
    done
}

half_request() {
    start_half "/$NAME/"
    send_signal TERM
    finish
}

# bats test_tags=weight:8
@test "a client that has sent half of its request is answered after the signal" {
    in_time half_request || return 1
    expect_file "$HTML/$NAME/index.html" "who was accepted before the signal is served" || return 1
    expect_good_end "$SOON" "the answer under way is sent, and no other client accepted"
}

queue() {
    start_half "/$NAME/"
    before=$(count_connections)
    "$CLIENT" -t "$LIMIT" "$PORT" send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' read >"$JOB/queued" 2>/dev/null 3>&- &
    QUEUED=$!
    wait_until "a client in the queue" connected $((before + 1))
    send_signal TERM
    finish
}

# bats test_tags=weight:5
@test "a client that waits in the queue when the signal comes is not served any more" {
    in_time queue || return 1
    expect_status 200 "who was accepted before the signal is served" || return 1
    expect_good_end "$SOON" "the answer under way is sent, and no other client accepted" || return 1
    wait "$QUEUED" || true
    [[ ! -s $JOB/queued ]] || explain "no answer for a client that was not accepted before the signal" "it got: $(said "$JOB/queued" | head -n 1); \
under load there is always one more. pselect() that finds a client returns without letting the signal in: look again before accept()"
}

# bats test_tags=weight:4
@test "a server that is out of descriptors ends, too" {
    settle
    lines() { count_lines "$ERRORS"; }
    before=$(lines)
    limit "$PID" --nofile="$(free_descriptor "$PID"):"
    # The accept() that waits already has its descriptor; it is the next one that fails.
    "$CLIENT" -t 2 "$PORT" send $'GET / HTTP/1.0\r\n\r\n' read >/dev/null 2>&1 3>&- || true
    hold send $'GET / HTTP/1.0\r\n\r\n'
    complained() { (($(lines) > before)); }
    wait_until "a line on stderr for an accept() that fails" complained || return 1
    send_signal TERM
    expect_good_end "$SOON" "there is a client, but accept() fails with EMFILE, again and again: look between the attempts whether a signal has come"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=weight:2,given
@test "after a signal, a new server can be started on the port at once" {
    hold send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' read
    send_signal TERM
    wait_until "nobody listens on the port of a server that has ended" eval "! listens $PORT"
    wait_until "the server ends" ended
    stop_server
    start_server || return 1
    release
    expect_service "the new server serves"
}

# bats test_tags=slow,weight:3
@test "a silent client keeps the server from ending only until its time is up" {
    settle
    descriptors=$DESCRIPTORS
    hold
    wait_until "the server accepts a client" accepted
    send_signal TERM
    expect_good_end "$LIMIT" "a client has as much time for its request as before: who tries recv() again after EINTR looks at the deadline"
}
