#!/usr/bin/env bats
# The port and the address are arguments.
bats_require_minimum_version 1.5.0
load lib/helpers

# What these tests have to say first to a server that does not look at its arguments.
setup() {
    set_up
    ((PORT == ASKED)) || because "the server listens on port $PORT, whatever port it is given"
}

@test "port 0 takes a free port, and the server says which" {
    start_other "$PLACE/server" 0
    within "$LIMIT" grep -q listening "$JOB/other" || explain "listening on http://127.0.0.1:PORT/ on stdout, flushed" "it says: $(said "$JOB/other")" || return 1
    read -r line <"$JOB/other"
    [[ $line =~ ^listening\ on\ http://127\.0\.0\.1:([0-9]+)/$ ]] || explain "the line with the port" "$(said "$JOB/other")"
    ((BASH_REMATCH[1] > 0)) || explain "the port that the kernel has chosen" "getsockname() tells it" || return 1
    PORT=${BASH_REMATCH[1]} expect_service "it listens on port ${BASH_REMATCH[1]}"
}

@test "two servers run side by side on two ports" {
    port=$(free_port)
    start_other "$PLACE/server" "$port"
    within "$LIMIT" listens "$port" || explain "a second server, on port $port" "the port is the first argument; it says: $(said "$JOB/other")" || return 1
    expect_service "the first" || return 1
    PORT=$port expect_service "the second"
}

@test "ADDRESS 0.0.0.0 opens the server to the network" {
    port=$(free_port)
    start_other "$PLACE/server" "$port" 0.0.0.0
    within "$LIMIT" listens "$port" || explain "a server on port $port" "port and address are the arguments; it says: $(said "$JOB/other")" || return 1
    curl --silent --max-time "$LIMIT" "http://127.0.0.2:$port/" >"$ANSWER" 3>&- || true
    cmp -s "$HTML/index.html" "$ANSWER" || explain "the page, on another address" "bind to the address of the argument" || return 1
    read -r line <"$JOB/other" || true
    [[ $line != listening* || $line == *"0.0.0.0:$port/" ]] || explain "listening on http://0.0.0.0:$port/" "it says: $line"
}

@test "an address that is in use elsewhere, or not ours, is named in one line" {
    try_server "$SITE" "$(free_port)" 192.0.2.1
    expect_end 1 || return 1
    complains "*192.0.2.1*" &&
        grep -qiE "can('t|not) assign requested address|address not available|EADDRNOTAVAIL|AddrNotAvail" "$JOB/complaint" ||
        explain "one line such as: bind 192.0.2.1:PORT: Cannot assign requested address" "it says: $(said "$JOB/complaint")"
}

@test "wrong arguments get the usage on stderr, and exit status 2" {
    for arguments in "" "abc" "80x" "-1" "65536" "''" "' 80'" "+80" "8080.5" "0x50" "99999999999999999999" "8_080" "８０８０" "'80 '" \
        "8080 nowhere" "8080 127.0.0" "8080 127.1" "8080 ''" "8080 127.0.0.1 more"; do
        eval "set -- $arguments"
        try_server "$SITE" "$@"
        if [[ $ENDED != 2 ]]; then
            echo "          ./server $arguments: $( ((ENDED == 137)) && echo "it starts" || echo "exit status $ENDED")" >>"$JOB/wrong"
        elif ! grep -q sage "$JOB/complaint" || [[ -s $JOB/said ]]; then
            echo "          ./server $arguments: it says: $(said "$JOB/said" "$JOB/complaint")" >>"$JOB/wrong"
        fi
        (($(count_lines "$JOB/wrong") < 5 && SECONDS < 2 * LIMIT)) || break # each that starts a server takes its time
    done
    expect_no_wrong "the usage on stderr, and exit status 2" "strtol() tells where the number ends; a port is 0 to 65535; inet_pton() tells an address"
}

@test "a port with a leading 0 is a decimal number, or none" {
    port=$(free_port)
    start_other "$PLACE/server" "0$port"
    known() { listens "$port" || ! other_is_alive; }
    eventually known || explain "a server on port $port, or the usage" \
        "0$port is $port: strtol() with base 0 takes it for an octal number; it says: $(said "$JOB/other")" || return 1
    listens "$port" || grep -qi usage "$JOB/other" || explain "a server on port $port, or the usage" "it says: $(said "$JOB/other")"
}
