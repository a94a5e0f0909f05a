#!/usr/bin/env bats
# Edge-triggered: each socket is registered once, and whoever is told goes on until EAGAIN.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

end=$'HTTP/1.1\r\nHost: test\r\n\r\n'
last=$'HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# The row of the kernel's table for the socket that listens.
listener() {
    grep -hE ":$(printf %04X "$PORT") 0+:0000 0A" /proc/net/tcp | head -n 1
}
# What epoll watches (/proc/PID/fdinfo shows it), but for that socket: a line for each client, with its events. Or only that socket.
events_of() { # clients|listener
    local inode descriptor events is
    inode=$(listener | awk '{print $10}')
    sed -n 's/^tfd: *\([0-9]*\) events: *\([0-9a-f]*\) .*/\1 \2/p' "/proc/$PID/fdinfo/"* 2>/dev/null | while read -r descriptor events; do
        is=clients
        [[ $(readlink "/proc/$PID/fd/$descriptor") != "socket:[$inode]" ]] || is=listener
        [[ $is != "$1" ]] || echo "$events"
    done
}
# The events as in the source.
spell() { # EVENTS
    local names=() name
    for name in EPOLLIN:1 EPOLLOUT:4 EPOLLONESHOT:40000000 EPOLLET:80000000; do
        (((16#$1 & 16#${name#*:}) == 0)) || names+=("${name%:*}")
    done
    (IFS='|' && echo "${names[*]:-none of these}")
}

# So many clients wait for accept().
waiting() { # COUNT
    [[ $(listener | sed -E 's/.* 0A [0-9A-F]+:([0-9A-F]+) .*/\1/') == "$(printf %08X "$1")" ]]
}

# Says beforehand why clients get no answer, if some still wait for accept().
because_they_wait() {
    waiting 0 || because "clients that come at the same moment are not all accepted: one event tells of all who wait, so accept them all, until EAGAIN"
}

# All clients are registered for the three, now: COUNT of them.
expect_events() { # COUNT HINT
    local events
    registered() { (($(events_of clients | wc -l) >= $1)); }
    eventually registered "$1" || {
        because_they_wait
        explain "$1 clients in the list of the epoll descriptor, within $SOON s" "" || return 1
    }
    for events in $(events_of clients); do
        (((16#$events & 16#80000005) == 16#80000005)) || explain "each client registered for EPOLLIN|EPOLLOUT|EPOLLET" "here is one for $(spell "$events"); $2" || return 1
    done
}

# bats test_tags=weight:8
@test "a client is registered for EPOLLIN, EPOLLOUT and EPOLLET, whatever it has sent" {
    come() { # ACTION...
        hold -n 3 "$@"
        expect_events 3 "after: ${*:-connecting}" || return 1
        release
    }
    settle
    in_time come || return 1
    in_time come send "GET / HT" || return 1
    in_time come send "GET / $end" answer
}

# bats test_tags=weight:8
@test "while its response is under way, too, a client is registered for all three" {
    truncate -s 1G "$HTML/huge-$NAME"
    settle
    stall() {
        hold -n 3 -b 4096 send "GET /huge-$NAME $end" wait 300
        expect_events 3 "it does not change with what the server waits for: no EPOLL_CTL_MOD" || return 1
        release
    }
    in_time stall
}

# bats test_tags=weight:4
@test "the socket that listens is registered for EPOLLIN and EPOLLET" {
    events=$(events_of listener)
    [[ $events =~ ^[0-9a-f]+$ ]] || explain "one epoll descriptor that watches the listening socket" "/proc/PID/fdinfo names $(wc -w <<<"$events")" || return 1
    (((16#$events & 16#80000001) == 16#80000001)) || explain "the listener registered for EPOLLIN|EPOLLET" "here: $(spell "$events")"
}

# bats test_tags=given
@test "clients that come at the same moment are all accepted" {
    settle
    kill -STOP "$PID"
    "$CLIENT" -t "$LIMIT" -n 50 "$PORT" send "GET / $last" read >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    eventually waiting 50 || result=failed
    kill -CONT "$PID"
    [[ -z ${result:-} ]] || explain "50 clients that wait for accept(), while the server is stopped" "" || return 1
    wait "$OTHER" || true
    because_they_wait
    (($(grep -ac '^HTTP/1.1 200' "$ANSWER") == 50)) || explain "50 answers" \
        "here are $(grep -ac '^HTTP/1.1 200' "$ANSWER"): one event tells of all who wait, so accept them all, until EAGAIN"
}

# bats test_tags=slow,given
@test "clients that came when there were no descriptors are served later, though nobody comes after them" {
    settle
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    limit "$PID" --nofile="$(free_descriptor "$PID"):"
    : >"$ANSWER"
    "$CLIENT" -t "$LIMIT" -n 3 "$PORT" send "GET / $last" read >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    eventually waiting 3 || result=failed
    pause 0.6
    limit "$PID" --nofile="$soft:"
    [[ -z ${result:-} ]] || explain "3 clients that wait for accept(), while there are no descriptors" "" || return 1
    answered() { (($(grep -ac '^HTTP/1.1 200' "$ANSWER") == 3)); }
    eventually answered || explain "3 answers, when there are descriptors again" \
        "here are $(grep -ac '^HTTP/1.1 200' "$ANSWER"): their event is over; who has not accepted them then must try again by itself"
}

# bats test_tags=given
@test "a long download goes on after each turn" {
    truncate -s 256M "$HTML/long-$NAME"
    for _ in 1 2; do
        bytes=$(client -t 60 send "GET /long-$NAME $last" read | wc -c)
        rm -f "$ANSWER"
        ((bytes > 268435456)) || explain "a head and 268,435,456 bytes" "here are $bytes in all: a turn that ends after 2 MiB, not with EAGAIN, brings \
no event: remember who can still go on"
    done
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "more requests than the server receives at a time are answered without a pause" {
    count=15000
    perl -e "print qq(GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n) x $count" >"$JOB/requests"
    printf 'GET / %s' "$last" >>"$JOB/requests"
    # Who takes 8 KiB of them, and then sleeps for 250 ms, needs 20 s; who does not, a small part of one.
    client -t 15 file "$JOB/requests" read >"$ANSWER" || result=$?
    answers=$(grep -ac '^HTTP/1.1 ' "$ANSWER")
    rm -f "$ANSWER" # too long to be shown
    ((answers == count + 1)) || explain "$((count + 1)) answers$( ((${result:-0} != 4)) || echo " in 15 s")" "here are $answers: what is still in the socket \
brings no event: receive until EAGAIN, and do not sleep in epoll_wait() while somebody can go on"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "a request that comes while a response is under way is answered after it" {
    random_bytes 12000000 >"$HTML/large-$NAME"
    interrupt() {
        client -b 50000 send "GET /large-$NAME $end" wait 300 send "GET /nothing $last" wait 300 read >"$ANSWER" || true
        on_time
        statuses=$(grep -aoE '^HTTP/1\.1 [0-9]+|HTTP/1\.1 404 Not Found' "$ANSWER" | cut -d ' ' -f 2 | tr '\n' ' ')
        rm -f "$ANSWER"
        [[ $statuses == "200 404 " ]] || explain "an answer with 200, then one with 404" \
            "here: $statuses. Its event came while the server was sending: receive when that is over, without waiting for another"
    }
    in_time interrupt
}
