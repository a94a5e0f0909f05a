#!/usr/bin/env bats
# A process for each client: one that stalls holds up nobody else.
bats_require_minimum_version 1.5.0
load lib/helpers

request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# A client is served by a child.
expect_child() {
    local without
    settle
    without=$CHILDREN threads=$THREADS zombies=$(zombies 1 || true)
    child() { look && ((CHILDREN > without)); }
    connect() { hold send "GET / HT" && { eventually child || explain_processes 1 "$without"; }; }
    in_time connect || return 1
    release
}

# Says why so many clients have fewer children.
explain_processes() { # CLIENTS CHILDREN BEFORE
    local children=$((CHILDREN - $2))
    if [[ -n $zombies ]]; then
        because "$zombies"
    elif ((THREADS > threads)); then
        because "a client is served by a thread of the same process, and not by a child"
    elif ((children < 1)); then
        because "a client that has sent a part of its request has no child: fork() right after accept(), before the first recv()"
    elif ((children == 1)); then
        because "the parent waits for its child before it accepts the next client (wait(), waitpid() without WNOHANG, or vfork())"
    fi
    explain "$1 children, as long as $1 clients are connected" "here are $children: fork() one for each client"
}

# Says why children remain that should have ended.
explain_remaining() { # EXPECTED CHILDREN BEFORE
    because_of_children "$2"
    explain "$1" "$((CHILDREN - $2)) remain: one that goes on with the accept loop never ends (S: it sleeps); \
one for which the parent has not called waitpid() is a zombie (Z): $(remaining)"
}

# Says beforehand why the log may have no line for the last request.
because_no_line() {
    because "the line of the log stays in a buffer of the child: fflush() before _exit(), which throws the buffer away"
    [[ -z ${mark:-} ]] || because_on_stderr "$mark"
}

# How many children remain in which state, as ps names it, for a hint.
remaining() { { find_children && (IFS=, && ps -o stat= -p "${FOUND[*]}") | sort | uniq -c | paste -s -d , | sed -E 's/ +/ /g'; } 2>/dev/null || true; }

# bats test_tags=until:6
@test "the connection ends as soon as the child has sent its answer" {
    expect_child || return 1
    result=0
    curl -q -sS --noproxy '*' -m 8 -o "$ANSWER" "http://127.0.0.1:$PORT/" 3>&- 2>"$JOB/client" || result=$?
    ((result != 28)) || explain "the end of the connection" "curl has $(wc -c <"$ANSWER") bytes of the page, and waits for more, as a \
browser does: the connection ends when its last copy is closed; after fork() the parent has one too: close(client)" || return 1
    ((result != 56)) || because "the end of the answer is a reset, not an end: close() does that with SO_LINGER and a time of 0"
    ((result == 0)) || explain "the page" "curl says: $(said "$JOB/client")"
}

# bats test_tags=until:6
@test "a child serves one client, and ends" {
    settle
    before=$CHILDREN
    expect_child || return 1
    client -r 50 send "$request" read >/dev/null
    gone() { look && ((CHILDREN <= before)); }
    eventually gone || explain_remaining "50 requests, and 50 children that end" "$before"
}

# bats test_tags=until:6
@test "each client has a process of its own, as long as it is connected" {
    settle
    before=$CHILDREN threads=$THREADS zombies=$(zombies 1 || true)
    ten() { look && ((CHILDREN == before + 10)); }
    connect_ten() {
        hold -n 10 && { eventually ten || explain_processes 10 "$before"; } || return 1
        pause 1.5 # is it for as long as they are connected?
        eventually ten || explain_processes 10 "$before"
    }
    in_time connect_ten || return 1
    release
    none() { look && ((CHILDREN <= before)); }
    eventually none || explain_remaining "no child when the clients have left" "$before"
}

# bats test_tags=until:6
@test "a child that ends, while another one is busy, holds up nobody" {
    hint="a handler of SIGCHLD that waits for all children (while (wait(NULL) > 0)) waits also for those that still serve a client: \
waitpid() with WNOHANG"
    # One try that is fast enough shows it: on a busy machine, each of them may be slow.
    for _ in 1 2 3; do
        hold send "GET / HT" # its child is busy for 5 s
        start=${EPOCHREALTIME/./}
        for _ in 1 2; do IF_SILENT=$hint expect_service "$hint" || return 1; done
        ms=$(((${EPOCHREALTIME/./} - start) / 1000))
        release
        ((ms >= 2500)) || return 0
    done
    because "the parent waits until all its children have ended, also those that still serve a client: wait() in the handler of SIGCHLD, in place of waitpid() with WNOHANG?"
    explain "two answers at once, beside a client that stalls" "they took $ms ms: $hint"
}

# bats test_tags=until:6
@test "the log has the id of the child that has answered" {
    ids() { for process; do awk '/^NSpid/ {print $NF}' "/proc/$process/status" 2>/dev/null; done; } # as the server sees them
    answer_slowly() {
        mark=$(random_name)
        settle
        before=$CHILDREN
        child() { look && ((CHILDREN > before)); }
        rm -f "$JOB/rest"
        mkfifo "$JOB/rest" # the client waits here for the rest of its request
        "$CLIENT" -t "$LIMIT" "$PORT" send "GET /?$mark HT" file "$JOB/rest" read >"$ANSWER" 2>"$JOB/client" 3>&- &
        OTHER=$!
        wait_until "a child serves the client" child || return 1
        children=$(ids "${FOUND[@]}") parent=$(ids "$PID")
        printf 'TP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' | feed "$JOB/rest" || return 1
        on_time
        wait "$OTHER" || true
        logged() { line=$(grep -a "$mark" "$LOG"); }
        eventually logged || because_no_line
        logged || explain "a line in the log" "each request leaves one" || return 1
        id=${line#[} id=${id%%]*}
        [[ $id != "$parent" ]] || because "the log has the id of the parent, and not of the child that has answered (getpid() in the child)"
        [[ $'\n'$children$'\n' == *$'\n'"$id"$'\n'* ]] ||
            explain "[${children//$'\n'/] or [}] in the log, the id of the child" "the parent is $parent, the log says: $line"
    }
    in_time answer_slowly
}

# bats test_tags=until:6,given
@test "each request leaves one line in the log, and no child prints what the parent has printed" {
    settle
    before=$(count_lines "$LOG")
    mark=$(random_name)
    for i in 1 2 3; do get "/?$mark-$i"; done
    settle
    enough() { (($(count_lines "$LOG") >= before + 3)); }
    eventually enough || because_no_line
    after=$(count_lines "$LOG")
    ((after <= before + 3)) || because "stdout is not flushed before fork(): each child has a copy of what is in the parent's buffer, and prints it again"
    ((after == before + 3)) || explain "three lines more in the log after three requests" "here are $((after - before)): $(said "$LOG")"
}

# bats test_tags=until:6,given
@test "a child that ends is no failure: the parent prints no error" {
    interruptions() { grep -ciE "interrupted|EINTR" "$ERRORS" || true; }
    before=$(interruptions)
    for _ in 1 2 3; do get / && settle; done
    (($(interruptions) == before)) || because "accept() fails with EINTR when SIGCHLD comes: that is no failure, call it again \
(or install the handler with SA_RESTART)"
    (($(interruptions) == before)) || explain "no complaint of an interrupted call" "it says: $(said "$ERRORS")"
}

# bats test_tags=until:6
@test "the parent closes its copy of each client's socket" {
    settle
    before=$DESCRIPTORS children=$CHILDREN
    same() { look && ((DESCRIPTORS <= before && CHILDREN >= children + 10)); }
    connect_ten() {
        hold -n 10
        eventually same || ((DESCRIPTORS <= before)) || because "the parent keeps its copy of each client's socket: after fork() it must close(client)"
        same || explain "10 children that serve 10 clients, and none of the sockets in the parent" "the parent has $((DESCRIPTORS - before)) \
descriptors more, for $((CHILDREN - children)) children: fork() has given the child a copy of each, so both close"
    }
    in_time connect_ten || return 1
    release
    get /
    expect_status 200 "the connection ends when its last copy is closed"
}

# bats test_tags=until:6
@test "a child does not keep the listening socket" {
    settle
    before=$CHILDREN
    child() { look && ((CHILDREN > before)); }
    truncate -s 1G "$HTML/huge-$NAME"
    # A child that has begun to answer has closed what it does not need; and this client keeps it busy.
    connect() { hold -b 4096 send "GET /huge-$NAME HTTP/1.0"$'\r\n\r\n' answer-head && wait_until "a child serves the client" child; }
    in_time connect || return 1
    kill_server
    ! listens "$PORT" || explain "nobody on port $PORT, when the parent is gone and a child still serves" \
        "fork() gave the child a copy of the listening socket: it must close it, or the port stays taken, and the server cannot be started again" || return 1
    release
}

# bats test_tags=until:6
@test "when fork fails, that client is dropped, and the server goes on" {
    settle
    get_without_processes
    [[ ! -s $ANSWER || $STATUS == 503 ]] || explain "the connection closed, or 503: there was no process for it" "did fork() fail?" || return 1
    expect_service "with processes again, the next client is served"
}

# bats test_tags=until:6
@test "the log has a line for a fork that fails" {
    expect_complaint "fork()"
}

@test "clients that stall hold up nobody else" {
    truncate -s 1G "$HTML/huge-$NAME"
    hold -n 20
    silent=$HOLDER
    hold -n 20 send "GET / HT"
    half=$HOLDER
    hold -n 20 -b 4096 send "GET /huge-$NAME HTTP/1.1"$'\r\nHost: test\r\n\r\n'
    start=${EPOCHREALTIME/./}
    for _ in 1 2 3 4 5; do expect_service "no client waits until another one has been served" || return 1; done
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    kill "$silent" "$half" || true
    release
    ((ms < 40000)) || explain "5 answers at once, though 60 clients stall" "they took $ms ms: does the server wait for one client before it \
serves the next?"
}
