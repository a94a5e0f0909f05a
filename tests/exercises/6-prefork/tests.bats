#!/usr/bin/env bats
# Four children accept clients from one listener; the parent replaces those that end.
# Of the tests of stage 6, these look for a child that is started for a client, or for the client in the parent:
# Replaces: the connection ends as soon as the child has sent its answer
# Replaces: a child serves one client, and ends
# Replaces: each client has a process of its own, as long as it is connected
# Replaces: the log has the id of the child that has answered
# Replaces: the parent closes its copy of each client's socket
# Replaces: a child does not keep the listening socket
# Replaces: when fork fails, that client is dropped, and the server goes on
# Replaces: the log has a line for a fork that fails
# Replaces: out of descriptors for the file, the answer is 503
# Replaces: an accept() that fails leaves a line on stderr
# Replaces: a reader that stops is dropped
# and this one has more clients that stall than there are children:
# Replaces: clients that stall hold up nobody else
bats_require_minimum_version 1.5.0
load ../../lib/helpers

FOUR=4
request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# Sets RUNNING to the server's children that run (a zombie has ended), old ones and new ones.
find_running() {
    local child children
    RUNNING=()
    mapfile -t children < <(pgrep -P "$PID")
    for child in "${children[@]}"; do ! alive "$child" || RUNNING+=("$child"); done
}
running() { find_running && printf '%s\n' "${RUNNING[@]}"; }
four_run() { find_running && ((${#RUNNING[@]} == FOUR)); }
expect_four() { # [HINT]; if they have not come once, the next tests do not wait for long
    within "$( [[ -e $JOB/few ]] && echo 1 || echo "$SOON")" four_run && return
    touch "$JOB/few"
    explain "$FOUR children that run" "here are ${#RUNNING[@]}: ${1:-fork() them before the first client comes}"
}
none_alive() { for child; do ! alive "$child" || return 1; done; } # CHILD...

# bats test_tags=weight:6
@test "four children are there before a client is" {
    expect_four || return 1
    pause 0.5
    four_run || explain "$FOUR children, neither more nor fewer" "here are ${#RUNNING[@]}" || return 1
    grandchildren=$(pgrep -P "$(running | paste -s -d ,)" | wc -l)
    ((grandchildren == 0)) || explain "$FOUR children, and none of their own" "they have $grandchildren: after fork(), the child too goes on with the loop"
}

# bats test_tags=weight:6
@test "four clients are served at the same time, each by another child" {
    expect_four || return 1
    expected=$(for child in $(running); do awk '/^NSpid/ {print "[" $NF "]"}' "/proc/$child/status"; done | sort)
    # One try in which all four are connected before the first one is served shows it.
    for ms in 200 1000 3000; do
        mark=$(random_name)
        client -n 4 send "GET /?$mark HT" wait "$ms" send $'TP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' read >"$ANSWER" || true
        found=$(grep "$mark" "$LOG" | sed 's/ .*//' | sort)
        [[ $found != "$expected" ]] || return 0
    done
    explain "four lines in the log, with the process ids of the four children: $(xargs <<<"$expected")" "here are: $(xargs <<<"$found")"
}

# bats test_tags=weight:4
@test "three clients that stall hold up nobody; with four, the next one waits until one has left" {
    answered() { grep -aq '^HTTP/1.1 200' "$ANSWER"; }
    stall() {
        hold -n 3 send "GET / HT" || return 1
        three=$HOLDER
        for _ in 1 2 3 4 5; do expect_service "the fourth child is free" || return 1; done
        hold send "GET / HT" || return 1
        "$CLIENT" -t "$LIMIT" "$PORT" send "$request" read >"$ANSWER" 2>/dev/null 3>&- &
        fifth=$!
        pause 1
        [[ ! -s $ANSWER ]] || explain "no answer while four clients stall" "who serves the fifth? The parent only waits" || return 1
        release
        within 3 answered || explain "an answer as soon as one of the four has left" "its child goes back to accept()"
    }
    scene() {
        local result=0
        three='' fifth=''
        stall || result=1
        kill "$three" "$fifth" 2>/dev/null || true
        return "$result"
    }
    expect_four || return 1
    in_time scene
}

# bats test_tags=weight:6
@test "a child that is killed is replaced, and leaves no zombie" {
    for count in 1 1 4; do
        expect_four "wait() tells of one that has ended; then fork() another" || return 1
        mapfile -t victims < <(running | head -n "$count")
        kill -KILL "${victims[@]}"
        replaced() { none_alive "${victims[@]}" && four_run; }
        eventually replaced || explain "$FOUR children again, after $count of them were killed" \
            "here are ${#RUNNING[@]}: wait() tells of each that has ended; then fork() another" || return 1
        expect_service "the new child serves, too" || return 1
    done
    no_zombie() { [[ $(running) == "$(pgrep -P "$PID")" ]]; }
    eventually no_zombie || explain "no zombie" "wait() takes the entry of a child that has ended: $(ps -o pid,stat --ppid "$PID" | sed '2,$s/^/          /')"
}

# bats test_tags=weight:5
@test "children that die at once, again and again, are replaced after a pause" {
    expect_four || return 1
    # Kills each child as soon as it is there, for two seconds.
    # shellcheck disable=SC2016
    read -r killed ms < <(perl -MTime::HiRes=time,sleep -e '
        my ($parent, $start, %killed) = ($ARGV[0], time);
        while (time < $start + 2) {
            for my $file (glob "/proc/[0-9]*/stat") {
                open my $stat, "<", $file or next;
                <$stat> =~ /^(\d+) .*\) (\S) (\d+) / or next;
                kill "KILL", $1 if $3 == $parent && $2 ne "Z" && !$killed{$1}++;
            }
            sleep 0.002;
        }
        printf "%d %d\n", scalar keys %killed, (time - $start) * 1000' "$PID")
    most=$((FOUR * (ms / 100 + 2)))
    ((killed <= most)) || explain "at most $most new children in $ms ms: 0.1 s pass before a child is replaced" \
        "here were $killed: a parent that replaces at once does nothing but fork()" || return 1
    expect_four "the last ones are replaced, too" || return 1
    expect_service "now that nobody kills them, they serve"
}

# bats test_tags=weight:4
@test "when fork fails, the parent says so, waits, and tries again" {
    expect_four || return 1
    soft=$(limit "$PID" --nproc --output SOFT --noheadings)
    limit "$PID" --nproc=1:
    complaints() { cat "$ERRORS" "$LOG" | grep -ciE 'fork|unavailable|EAGAIN|process' || true; }
    more() { (($(complaints) > before)); }
    before=$(complaints)
    kill -KILL "$(running | head -n 1)"
    eventually more || explain "a line on stderr when fork() fails" "say so with perror()" || return 1
    expect_service "three children still serve" || return 1
    before=$(complaints) start=${EPOCHREALTIME/./} percent=$(percent_running)
    said=$(($(complaints) - before)) ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ((percent < BUSY && said <= ms / 50)) || explain "a parent that waits before it tries again" \
        "it runs for $percent% of the time, with $said lines on stderr in $ms ms" || return 1
    limit "$PID" --nproc="$soft:"
    expect_four "with processes again, the fourth child is started, though no other has ended: wait() must not keep the parent from it"
}

# bats test_tags=weight:5
@test "when the parent is killed, its children end, and the port is free" {
    expect_four || return 1
    mapfile -t orphans < <(running)
    in_time hold -n 2 send "GET / HT" || return 1
    kill_server
    release
    eventually none_alive "${orphans[@]}" || explain "no child, when the parent is gone and no client is connected" \
        "here are $(ps -o pid= -p "$(IFS=, && echo "${orphans[*]}")" | wc -l): a pipe of which the parent alone has the writing end tells them; do they close their copy of it?" || return 1
    ! listens "$PORT" || explain "nobody on port $PORT" "a process still has the listening socket"
}

# bats test_tags=weight:3
@test "an idle server takes no CPU, neither the parent nor the children" {
    expect_four || return 1
    expect_service "it serves" || return 1
    mapfile -t processes < <(echo "$PID" && running)
    ticks() {
        local process sum=0
        for process in "${processes[@]}"; do read_stat "$process" && sum=$((sum + STAT[11] + STAT[12])); done
        echo "$sum"
    }
    before=$(ticks)
    pause 2
    took=$(($(ticks) - before))
    ((took <= 10)) || explain "no CPU time" "${took}0 ms in 2 s, parent and children together: who asks again and again?"
}

# bats test_tags=weight:3
@test "out of descriptors, a child says so and waits, and serves again when some are free" {
    expect_four || return 1
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    for child in $(running); do limit "$child" --nofile="$(free_descriptor "$child"):"; done
    lines() { wc -l <"$ERRORS"; }
    before=$(lines)
    # An accept() that waits may already have its descriptor: the next one fails.
    for _ in {1..8}; do
        (($(lines) == before)) || break
        "$CLIENT" -t 1 "$PORT" send "$request" read >/dev/null 2>&1 3>&- || true
    done
    hold send "$request"
    complained() { (($(lines) > before)); }
    eventually complained || explain "a line on stderr" "accept() fails with EMFILE: say so with perror()" || return 1
    before=$(lines) start=${EPOCHREALTIME/./}
    pause 1
    complaints=$(($(lines) - before)) ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    for child in $(running); do limit "$child" --nofile="$soft:"; done
    release
    ((complaints <= FOUR * ms / 50)) || explain "a line now and then" "$complaints lines in $ms ms: wait before the next accept()" || return 1
    four_run || explain "the $FOUR children that were there" "here are ${#RUNNING[@]}: an accept() that fails is no reason to end" || return 1
    expect_service "accept() has failed with EMFILE, now it works again"
}

# bats test_tags=weight:4
@test "400 requests later, the same four children are there, with as many descriptors" {
    expect_four || return 1
    client -r 20 send "$request" read >/dev/null
    before=$(running)
    descriptors() { for child in $before; do count_entries "/proc/$child/fd"; done | xargs; }
    pause 0.2
    had=$(descriptors)
    client -t 60 -r 200 send "$request" read >/dev/null
    client -t 60 -r 100 send $'GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n' read >/dev/null
    client -t 60 -r 100 send "GET /$NAME.bin HTTP/1.1"$'\r\n\r\n' reset
    [[ $(running) == "$before" ]] || explain "the same children: $(xargs <<<"$before")" "here are: $(running | xargs)" || return 1
    same() { [[ $(descriptors) == "$had" ]]; }
    eventually same || explain "as many descriptors in each child as before: $had" "here are: $(descriptors); a child lives on, so it closes what it opens"
}

# bats test_tags=slow,weight:2
@test "four clients that stall hold up all others for 5 seconds, and no longer" {
    expect_four || return 1
    start=${EPOCHREALTIME/./}
    hold -n 4 send "GET / HT" || return 1
    expect_service "the four are dropped after 5 s, and then their children are free" || return 1
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ((ms >= 4500)) || explain "an answer when one of four clients that stall has been dropped, after 5 s" "it came after $ms ms: who served it?"
}

# bats test_tags=slow,weight:2
@test "four readers that stop are dropped, and their children serve again" {
    expect_four || return 1
    truncate -s 1G "$HTML/huge-$NAME"
    start=${EPOCHREALTIME/./}
    hold -n 4 -b 4096 send "GET /huge-$NAME HTTP/1.0"$'\r\n\r\n' answer-head || return 1
    expect_service "send() fails when a client has taken nothing for 5 s: then its child is free" || return 1
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ((ms >= 2500)) || explain "an answer when one of four readers that have stopped has been dropped" "it came after $ms ms: who served it?"
}
