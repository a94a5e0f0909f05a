#!/usr/bin/env bats
# The port and the address are arguments.
bats_require_minimum_version 1.5.0
load helpers

# Starts a second server with these arguments; sets OTHER, its process.
start_other() { # ARGUMENT...
    (cd "$SITE" && exec "${AS[@]}" "$JOB/server" "$@") >"$JOB/other" 2>&1 3>&- </dev/null &
    OTHER=$!
    disown "$OTHER"
}

@test "port 0 takes a free port, and the server says which" {
    start_other 0
    wait_until "a server that prints where it listens, when stdout is no terminal" grep -q listening "$JOB/other"
    [[ $(<"$JOB/other") =~ ^listening\ on\ http://127\.0\.0\.1:([0-9]+)/$ ]] || explain "the line with the port" "$(said "$JOB/other")"
    ((BASH_REMATCH[1] > 0)) || explain "the port that the kernel has chosen" "getsockname() tells it" || return 1
    PORT=${BASH_REMATCH[1]} expect_service "it listens on port ${BASH_REMATCH[1]}"
}

@test "two servers run side by side on two ports" {
    port=$(free_port)
    start_other "$port"
    wait_until "the port is the argument" listens "$port"
    expect_service "the first" || return 1
    PORT=$port expect_service "the second"
}

@test "ADDRESS 0.0.0.0 opens the server to the network" {
    port=$(free_port)
    start_other "$port" 0.0.0.0
    wait_until "port and address are arguments" listens "$port"
    run curl --silent --max-time 60 --output "$ANSWER" "http://127.0.0.2:$port/" 3>&-
    cmp "$HTML/index.html" "$ANSWER" || explain "the page, on another address" "bind to the address of the argument"
}

@test "an address that is in use elsewhere, or not ours, is named in one line" {
    try_server "$SITE" "$(free_port)" 192.0.2.1
    expect_end 1 || return 1
    [[ $(<"$JOB/complaint") == *192.0.2.1*"Cannot assign requested address"* && $(wc -l <"$JOB/complaint") == 1 ]] ||
        explain "one line such as: bind 192.0.2.1:PORT: Cannot assign requested address" "it says: $(said "$JOB/complaint")"
}

@test "wrong arguments get the usage on stderr, and exit status 2" {
    for arguments in "" "abc" "80x" "-1" "65536" "''" "' 80'" "+80" "8080.5" "0x50" "99999999999999999999" "8080 nowhere" \
        "8080 127.0.0" "8080 ''" "8080 127.0.0.1 more"; do
        eval "set -- $arguments"
        try_server "$SITE" "$@"
        expect_end 2 "for the arguments: $arguments" || return 1
        grep -q sage "$JOB/complaint" && [[ ! -s $JOB/said ]] ||
            explain "the usage on stderr" "for the arguments: $arguments; it says: $(said "$JOB/said" "$JOB/complaint")" || return 1
    done
}
