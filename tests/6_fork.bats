#!/usr/bin/env bats
# A process for each client: one that stalls holds up nobody else.
bats_require_minimum_version 1.5.0
load lib/helpers

request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# A client is served by a child.
expect_child() {
    local without
    settle
    without=$CHILDREN
    child() { look && ((CHILDREN > without)); }
    connect() { hold send "GET / HT" && { eventually child || explain "a child that serves the client" "fork() one for each client"; }; }
    in_time connect || return 1
    release
}

# The children that remain, as ps shows them, for a hint.
remaining() { { find_children && (IFS=, && ps -o pid,stat -p "${FOUND[*]}") 2>/dev/null | sed '2,$s/^/          /'; } || true; }

# bats test_tags=until:6
@test "the connection ends as soon as the child has sent its answer" {
    expect_child || return 1
    result=0
    curl -q -sS --noproxy '*' -m 8 -o "$ANSWER" "http://127.0.0.1:$PORT/" 3>&- 2>"$JOB/client" || result=$?
    ((result != 28)) || explain "the end of the connection" "curl has $(wc -c <"$ANSWER") bytes of the page, and waits for more, as a \
browser does: the connection ends when its last copy is closed; after fork() the parent has one too: close(client)" || return 1
    ((result == 0)) || explain "the page" "curl says: $(said "$JOB/client")"
}

# bats test_tags=until:6
@test "a child serves one client, and ends" {
    settle
    before=$CHILDREN
    expect_child || return 1
    client -r 50 send "$request" read >/dev/null
    gone() { look && ((CHILDREN <= before)); }
    eventually gone || explain "50 requests, and 50 children that end" "$((CHILDREN - before)) remain: a child that runs on into \
the accept loop never ends (S: it waits); one that nobody waits for is a zombie (Z): $(remaining)"
}

# bats test_tags=until:6
@test "each client has a process of its own, as long as it is connected" {
    settle
    before=$CHILDREN
    ten() { look && ((CHILDREN == before + 10)); }
    processes() { explain "10 children, as long as 10 clients are connected" "here are $((CHILDREN - before)): fork() one for each client"; }
    connect_ten() {
        hold -n 10 && { eventually ten || processes; } || return 1
        pause 1.5 # is it for as long as they are connected?
        eventually ten || processes
    }
    in_time connect_ten || return 1
    release
    none() { look && ((CHILDREN <= before)); }
    eventually none || explain "no child when the clients have left" "a child ends with exit(); one that nobody waits for is a zombie (Z): $(remaining)"
}

# bats test_tags=until:6
@test "the parent closes its copy of each client's socket" {
    settle
    before=$DESCRIPTORS children=$CHILDREN
    same() { look && ((DESCRIPTORS <= before && CHILDREN >= children + 10)); }
    connect_ten() {
        hold -n 10
        eventually same || explain "10 children that serve 10 clients, and none of the sockets in the parent" "the parent has $((DESCRIPTORS - before)) \
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
    connect() { hold send "GET / HT" && wait_until "a child serves the client" child; }
    in_time connect || return 1
    kill_server
    ! listens "$PORT" || explain "nobody on port $PORT, when the parent is gone and a child still serves" \
        "fork() gave the child a copy of the listening socket: it must close it, or the port stays taken" || return 1
    launch || return 1
    release
    expect_service "the server can be started again while an old child still runs"
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
    for _ in 1 2 3 4 5; do expect_service "another client has its turn at once" || return 1; done
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    kill "$silent" "$half" || true
    release
    ((ms < 20000)) || explain "5 answers at once, though 60 clients stall" "they took $ms ms"
}
