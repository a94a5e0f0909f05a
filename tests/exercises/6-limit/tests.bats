#!/usr/bin/env bats
# At most 8 children serve; who comes then waits in the backlog, until one of them ends.
# Replaces: each client has a process of its own, as long as it is connected
# Replaces: the parent closes its copy of each client's socket
# Replaces: clients that stall hold up nobody else
bats_require_minimum_version 1.5.0
load ../../lib/helpers

PLACES=8
request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

setup() {
    set_up || return 1
    ! ((16#$(status_of SigIgn) >> 16 & 1)) || # SIGCHLD is 17: bit 16
        because "the parent ignores SIGCHLD: wait() then returns only when all children have ended, with ECHILD, and not when one has"
}

# Sets RUNNING to the children that run: a zombie has ended.
find_running() {
    local child
    RUNNING=()
    find_children
    for child in "${FOUND[@]}"; do ! alive "$child" || RUNNING+=("$child"); done
}
runs() { find_running && ((${#RUNNING[@]} >= $1)); } # COUNT
none_runs() { find_running && ((${#RUNNING[@]} == 0)); }
one_is_alive() { for child; do ! alive "$child" || return 0; done && return 1; } # CHILD...

expect_no_more() { pause 0.5 && find_running && ((${#RUNNING[@]} <= PLACES)); }

# Clients that stall, until release. Waits until 8 children serve, or as many as there are clients.
stall() { # CLIENTS [HINT]
    local expected=$(($1 < PLACES ? $1 : PLACES))
    eventually none_runs || explain "no child that runs when no client is connected" "here are ${#RUNNING[@]}" || return 1
    hold -n "$1" send "GET / HT" || return 1
    { eventually runs "$expected" && expect_no_more; } || explain "$expected children that serve $1 clients" \
        "here are ${#RUNNING[@]}: ${2:-before accept(), wait() for a child if $PLACES run}"
}

# None of the places is lost: 8 clients are served at the same time.
expect_all_places() { # HINT
    release
    in_time stall "$PLACES" "$1" || return 1
    release
    expect_service "$1"
}

# bats test_tags=weight:6
@test "never more than 8 children serve, however many clients there are" {
    crowd() {
        stall 30 || return 1
        for _ in {1..10}; do
            find_running
            ((${#RUNNING[@]} <= PLACES)) || explain "$PLACES children at most" "here are ${#RUNNING[@]}, for 30 clients" || return 1
            pause 0.1
        done
    }
    in_time crowd
}

# bats test_tags=weight:5
@test "a client that finds 8 others waits in the backlog, not in the parent" {
    settle
    before=$DESCRIPTORS
    crowd() {
        stall 12 || return 1
        client send "$request" silence 1000 || explain "no answer as long as 8 children serve others" "$(said "$JOB/client")" || return 1
        look
        ((DESCRIPTORS <= before)) || explain "no client's socket in the parent, while 8 children serve, and others wait" \
            "it has $((DESCRIPTORS - before)) descriptors more: wait for a child before accept(), and close() what a child serves"
    }
    in_time crowd
}

# bats test_tags=weight:5
@test "as soon as one child ends, a client that waits is served" {
    answered() { grep -aq '^HTTP/1.1 200' "$ANSWER"; }
    one_leaves() {
        stall 7 || return 1
        seven=$HOLDER seven_children=("${RUNNING[@]}")
        hold send "GET / HT" || return 1
        eventually runs "$PLACES" || explain "8 children that serve 8 clients" "here are ${#RUNNING[@]}" || return 1
        "$CLIENT" -t "$LIMIT" "$PORT" send "$request" read >"$ANSWER" 2>/dev/null 3>&- &
        ninth=$!
        pause 1
        [[ ! -s $ANSWER ]] || explain "no answer as long as 8 children serve others" "the ninth client waits" || return 1
        release
        # While it comes, the 7 others still stall: it does not wait for them, too.
        { eventually answered && one_is_alive "${seven_children[@]}"; } || explain "an answer to the ninth client, as soon as one of the 8 has left" \
            "7 others still stall: wait() for one child, not for all"
    }
    scene() {
        local result=0
        one_leaves || result=1
        kill "$seven" "$ninth" 2>/dev/null || true
        return "$result"
    }
    in_time scene
}

# bats test_tags=given
@test "children that are killed, all at the same moment, give their places back" {
    massacre() {
        stall "$PLACES" || return 1
        local victims=("${RUNNING[@]}")
        kill -STOP "$PID" # it learns of all of them at once
        kill -KILL "${victims[@]}"
        gone() { ! one_is_alive "${victims[@]}"; }
        eventually gone
        kill -CONT "$PID"
        release
    }
    in_time massacre || return 1
    expect_all_places "wait() tells of a child however it has ended; but 8 that end at once may send a single SIGCHLD"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "a fork that fails takes no place" {
    settle
    for _ in {1..10}; do get_without_processes || return 1; done
    expect_all_places "10 times fork() has failed: who was not started is not counted"
}

# bats test_tags=weight:3
@test "a server that is full waits for a child, and takes no CPU" {
    full() {
        stall 12 || return 1
        percent=$(percent_running)
        ((percent < BUSY)) || explain "a server that waits" "it runs for $percent% of the time: waitpid() without WNOHANG waits until a child ends"
    }
    in_time full
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "children that have ended are no zombies, also if nobody comes after them" {
    in_time stall 5 || return 1
    release
    nobody() { look && ((CHILDREN == 0)); }
    eventually nobody || explain "no child and no zombie, when the clients have left" "here remain (Z: zombie): \
$(IFS=, && ps -o pid,stat -p "${FOUND[*]}" | sed '2,$s/^/          /'); accept() waits: who looks for children in the meantime?"
}

# bats test_tags=slow,weight:3
@test "8 clients that stall hold up the ninth for 5 seconds, and no longer" {
    start=${EPOCHREALTIME/./}
    stall 8 || return 1
    eight=("${RUNNING[@]}") still=0
    expect_service "the 8 clients are dropped after 5 s, and then there is room" || return 1
    for child in "${eight[@]}"; do ! alive "$child" || still=$((still + 1)); done
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ((ms >= 4500 && still < 8)) || explain "an answer when one of 8 clients that stall has been dropped, after 5 s" \
        "it came after $ms ms, while $still of their children still ran: there is a ninth child"
}
