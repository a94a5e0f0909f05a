#!/usr/bin/env bats
# Eight threads, which are there from the start, take accepted clients from a queue.
# Of the tests of stage 7, these look for a thread that is started for a client:
# Replaces: each client has a thread of its own, as long as it is connected
# Replaces: when pthread_create fails, that client is dropped, and the server goes on
# Replaces: the log has a line for a pthread_create that fails
# and this one has more clients that stall than there are threads:
# Replaces: clients that stall hold up nobody else
bats_require_minimum_version 1.5.0
load ../../lib/helpers

POOL=8 QUEUE=64
request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

answered() { grep -aq '^HTTP/1.1 200' "$ANSWER"; }
accepted() { look && ((DESCRIPTORS >= descriptors + $1)); } # COUNT of clients more than before
before_clients() { settle && descriptors=$DESCRIPTORS; }
expect_pool() {
    before_clients
    ((THREADS > POOL)) || explain "$POOL threads, and that of main(), when no client is connected" "here are $THREADS"
}

# Says beforehand what may make most of these tests fail: it is tried with one client alone, and with two.
because_of_the_queue() {
    local alone=$BATS_TEST_TMPDIR/alone
    served() { "$CLIENT" -t 3 "$PORT" send "$request" read 2>/dev/null 3>&- | grep -aq '^HTTP/1.1 200'; }
    for process in ${HOLDER:-} ${first:-} ${OTHER:-}; do kill "$process" 2>/dev/null || true; done
    settle
    served || {
        because "a client gets no answer, though no other is there: does a thread look into the queue before it waits for a signal? \
A signal that comes while nobody waits is lost"
        return
    }
    "$CLIENT" -t 60 "$PORT" send "GET / HT" hold >"$alone" 2>&1 3>&- &
    OTHER=$!
    within "$LIMIT" grep -aq '^holding' "$alone" || true
    served || because "one client that stalls holds up all others: does a thread keep the mutex while it serves?"
    kill "$OTHER" 2>/dev/null || true
}
explain_queue() { # EXPECTED HINT
    [[ -n ${CAUSE:-} ]] || because_of_the_queue
    explain "$@"
}

# Clients that stall, until release; the server has accepted them.
stall() { # CLIENTS
    hold -n "$1" send "GET / HT" || return 1
    eventually accepted "$1" || explain_queue "$1 clients that stall, all of them accepted" \
        "here are $((DESCRIPTORS - descriptors)): does the accepting thread wait for a mutex that a thread keeps while it serves?"
}
# Plays a scene that begins with clients that stall in a holder of their own, the first of two.
with_stalled() { # CLIENTS COMMAND
    local first result=0
    stall "$1" || return 1
    first=$HOLDER
    "$2" || result=1
    kill "$first" "${OTHER:-}" 2>/dev/null || true
    return "$result"
}

# bats test_tags=given
@test "eight clients are served at the same time" {
    before_clients
    eighth() {
        for _ in 1 2 3; do expect_service "seven clients stall, and the eighth thread is free: nobody may have the mutex while it serves" || return 1; done
    }
    in_time with_stalled 7 eighth
}

# bats test_tags=weight:4
@test "while eight clients stall, the ninth waits, until one of them has left" {
    before_clients
    ninth() {
        hold send "GET / HT" || return 1
        eventually accepted 8 || explain_queue "eight clients, all of them accepted" "does the accepting thread wait for a mutex that a thread keeps while it serves?" || return 1
        "$CLIENT" -t "$LIMIT" "$PORT" send "$request" read >"$ANSWER" 2>/dev/null 3>&- &
        OTHER=$!
        pause 1
        [[ ! -s $ANSWER ]] || explain "no answer while eight clients stall" "here is a ninth thread" || return 1
        release
        within 3 answered || explain_queue "an answer to the ninth client, as soon as one of the eight has left" "its thread takes the next client out of the queue"
    }
    in_time with_stalled 7 ninth
}

# bats test_tags=weight:4
@test "the threads are there before a client is, and stay as many whatever comes" {
    get / # the first client may bring a thread that stays: that of a sanitizer
    expect_pool || return 1
    before=$THREADS
    same() { look && ((THREADS == before)) || explain "$before threads, as before" "here are $THREADS, $1"; } # HINT
    clients() {
        hold -n 30 send "GET / HT" || return 1
        pause 0.5
        same "for 30 clients that stall: they wait in the queue"
    }
    in_time clients || return 1
    release
    client -r 100 send "$request" read >/dev/null || explain_queue "100 answers, one after the other" "$(said "$JOB/client")" || return 1
    client -r 20 send "$request" reset || true
    same "after 120 requests: a thread serves for ever"
}

# bats test_tags=weight:3
@test "clients in the queue are served in the order in which they came" {
    expect_pool || return 1
    mark=$(random_name)
    served() { grep -o "$mark-[0-9]" "$LOG" | xargs; }
    all_served() { (($(served | wc -w) == 5)); }
    in_order() {
        hold send "GET / HT" || return 1
        for i in 1 2 3 4 5; do
            eventually accepted $((7 + i)) || explain_queue "clients that are accepted while eight stall" "they wait in the queue" || return 1
            "$CLIENT" -t "$LIMIT" "$PORT" send "GET /?$mark-$i HTTP/1.1"$'\r\nHost: test\r\nConnection: close\r\n\r\n' read >/dev/null 2>&1 3>&- &
        done
        eventually accepted 13 || explain_queue "clients that are accepted while eight stall" "they wait in the queue" || return 1
        release # one thread is free now, and serves all five
        eventually all_served || explain_queue "five clients served, as soon as one of eight that stall has left" "here are: $(served)" || return 1
        [[ $(served) == "$mark-1 $mark-2 $mark-3 $mark-4 $mark-5" ]] || explain "clients 1 to 5 in the log, in this order" \
            "here are: $(served); take out what has waited longest, not what came last"
    }
    in_time with_stalled 7 in_order
}

# bats test_tags=weight:3
@test "the queue holds 64 clients, and the next ones wait in the backlog" {
    expect_pool || return 1
    crowd() {
        hold -n 100 || return 1
        # 8 that stall, 64 in the queue, and perhaps one that is accepted and waits for room in it
        eventually accepted $((8 + QUEUE)) || explain_queue "$QUEUE clients in the queue, while eight stall" \
            "accepted are $((DESCRIPTORS - descriptors)) in all" || return 1
        pause 0.5
        look
        ((DESCRIPTORS <= descriptors + 8 + QUEUE + 1)) || explain "$QUEUE clients in the queue, and maybe one more that waits for room" \
            "here are $((DESCRIPTORS - descriptors - 8)), while eight stall: who finds it full waits"
    }
    in_time with_stalled 8 crowd
}

# bats test_tags=weight:3
@test "a full queue loses nobody, and mixes up nobody" {
    expect_pool || return 1
    count_answers() { grep -ac '^HTTP/1.1 200' "$ANSWER" || true; }
    all() { (($(count_answers) == 150)); }
    crowd() {
        "$CLIENT" -t "$LIMIT" -n 150 "$PORT" send "$request" read >"$ANSWER" 2>/dev/null 3>&- &
        OTHER=$!
        eventually accepted $((8 + QUEUE)) || explain_queue "a full queue, while eight stall" "accepted are $((DESCRIPTORS - descriptors)) in all" || return 1
        pause 0.3
        kill "$first"
        on_time
        within 10 all || explain_queue "150 answers, when the eight that stalled have left" "here are $(count_answers), so clients were lost: does the accepting thread wait for room, and is the queue only used with the mutex locked?"
    }
    in_time with_stalled 8 crowd || return 1
    release
    expect_service "the queue is empty again"
}

# bats test_tags=given
@test "many clients at once are each served once, whoever finds the queue empty meanwhile" {
    for ((i = 1; i <= 50; i++)); do echo "$i $NAME" >"$HTML/$i-$NAME"; done
    for _ in 1 2 3 4; do
        rm -rf "$JOB/many"
        mkdir "$JOB/many"
        curl --silent --show-error --max-time "$LIMIT" --parallel --parallel-immediate --parallel-max 40 \
            --output "$JOB/many/#1-#2" "http://127.0.0.1:$PORT/[1-50]-$NAME?[1-10]" 2>"$JOB/client" 3>&- ||
            explain "500 answers to curl" "curl says: $(said "$JOB/client")" || return 1
        for ((i = 1; i <= 50; i++)); do
            for ((j = 1; j <= 10; j++)); do
                { read -r line <"$JOB/many/$i-$j" && [[ $line == "$i $NAME" ]]; } || explain "the file /$i-$NAME" "here is: $(said "$JOB/many/$i-$j"); is one client taken by two threads?" || return 1
            done
        done
    done
}

# bats test_tags=weight:3
@test "threads that wait, for clients or for room in the queue, take no CPU" {
    expect_pool || return 1
    expect_sleep() { # WHILE
        local percent
        percent=$(percent_running)
        ((percent <= BUSY)) || explain "no CPU time while $1" "the server runs for $percent% of it: wait with pthread_cond_wait()"
    }
    expect_sleep "no client is connected" || return 1
    full() {
        hold -n 100 || return 1
        eventually accepted $((8 + QUEUE)) || explain_queue "$QUEUE clients in the queue, while eight stall" "accepted are $((DESCRIPTORS - descriptors)) in all" || return 1
        expect_sleep "eight clients stall and the queue is full"
    }
    in_time full
}

# bats test_tags=weight:2
@test "a thread that cannot be started ends the server, in one line that says why, with exit status 1" {
    [[ -z $SANITIZE ]] || skip "a sanitizer starts a thread of its own"
    LIMIT=8
    AS+=(prlimit --nproc=1)
    try_server "$SITE" "$(free_port)"
    expect_end 1 "pthread_create() returns the number of the error" || return 1
    { complains "*" && [[ ! -s $JOB/said ]]; } || explain "one line on stderr, such as: pthread_create: Resource temporarily unavailable; and nothing on stdout, as the server does not listen" \
        "it says: $(said "$JOB/said" "$JOB/complaint")"
}

# bats test_tags=slow
@test "eight clients that stall hold up the ninth for 5 seconds, and no longer" {
    before_clients
    start=${EPOCHREALTIME/./}
    stall 8 || return 1
    expect_service "the eight clients are dropped after 5 s, and then there are threads again" || return 1
    look
    still=$((DESCRIPTORS - descriptors)) ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ((ms >= 4500 && still < 8)) || explain "an answer when one of eight clients that stall has been dropped, after 5 s" \
        "it came after $ms ms, while $still of them were connected: there is a ninth thread"
}
