#!/usr/bin/env bats
# The kernel says who is ready.
bats_require_minimum_version 1.5.0
load lib/helpers
load lib/corpus

# CPU time, in ticks of 10 ms, that the server takes in two seconds.
ticks_in_two_seconds() {
    local before
    before=$(cpu_ticks)
    pause 2
    echo $(($(cpu_ticks) - before))
}

@test "an idle server takes no CPU" {
    get /
    ticks=$(ticks_in_two_seconds)
    ((ticks <= 4)) || explain "no CPU time" "$ticks ticks in 2 s: wait in epoll_wait() until something happens; what \
is reported and not dealt with is reported again at once (events are bits: EPOLLIN with EPOLLHUP is not == EPOLLIN)"
}

@test "clients that are idle, or stalled at any point, take no CPU" {
    truncate -s 1G "$HTML/huge-$NAME"
    end=$'\r\nHost: test\r\n\r\n'
    hold -n 50
    idle=$HOLDER
    hold -n 50 send "GET / HT"
    half=$HOLDER
    hold -n 50 send "GET / HTTP/1.1$end" answer
    answered=$HOLDER
    hold -n 20 -b 4096 send "GET /huge-$NAME HTTP/1.1$end"
    reader=$HOLDER
    hold -n 20 send "GET / HTTP/1.0$end" read
    ticks=$(ticks_in_two_seconds)
    kill "$idle" "$half" "$answered" "$reader" || true
    release
    ((ticks <= 10)) || explain "no CPU time" "$ticks ticks in 2 s: who awaits EPOLLOUT with nothing to send is told all the time"
}

@test "clients that have reset their connections take no CPU" {
    get /
    client -n 50 send "GET / HT" wait 200 reset
    ticks=$(ticks_in_two_seconds)
    ((ticks <= 10)) || explain "no CPU time" "$ticks ticks in 2 s: a reset is reported as EPOLLIN with EPOLLERR and EPOLLHUP, until the socket is closed"
}

@test "the server raises its limit of descriptors" {
    read -r soft hard < <(limit "$PID" --nofile --output SOFT,HARD --noheadings)
    [[ -n $soft && $soft == "$hard" ]] ||
        explain "the soft limit equal to the hard one" "$(limit "$PID" --nofile)"
}

@test "10,000 connections are served, and an idle one costs at most 250 bytes" {
    need_descriptors 10100
    get /
    before=$(resident_kb)
    read -r alone <"$JOB/descriptors"
    # All of them within the 5 s that an idle one may stay: on a busy machine, not at the first try.
    for _ in {1..8}; do
        hold -n 10000 send $'GET / HTTP/1.1\r\nHost: test\r\n\r\n' answer
        open=$(($(count_descriptors) - alone)) after=$(resident_kb)
        expect_service "and one more" || return 1
        release
        ((open < 9000)) || break
    done
    ((open >= 9000)) || explain "10,000 open connections" "here are $open; raise RLIMIT_NOFILE"
    ! measures_memory || (((after - before) * 1024 / open <= 250)) || explain "250 bytes for each idle connection" \
        "$(((after - before) * 1024 / open)) bytes each: buffers only while a request or an answer is under way"
}

# bats test_tags=kit
@test "stage 9 answers as stage 8 does, to the byte" {
    compare_with_twin
}
