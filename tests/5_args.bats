#!/usr/bin/env bats
# The port and the address are arguments.
bats_require_minimum_version 1.5.0
load helpers

# Starts a second server with these arguments; sets OTHER (its process) and waits for its first line.
start_other() { # ARGUMENT...
    (cd "$SITE" && exec "${AS[@]}" "$JOB/server" "$@") >"$JOB/other" 2>&1 3>&- </dev/null &
    OTHER=$!
    disown "$OTHER"
    wait_until "the server says where it listens; it says: $(cat "$JOB/other")" grep -q listening "$JOB/other"
}
teardown() {
    [[ -z ${OTHER:-} ]] || kill -KILL "$OTHER" || true
}

@test "port 0 takes a free port, and the server says which" {
    start_other 0
    [[ $(cat "$JOB/other") =~ ^listening\ on\ http://127\.0\.0\.1:([0-9]+)/$ ]] || explain "the line with the port" "$(cat "$JOB/other")"
    PORT=${BASH_REMATCH[1]}
    ((PORT > 0)) || explain "the port that the kernel has chosen" "getsockname() tells it"
    expect_service "it listens on port $PORT"
}

@test "two servers run side by side on two ports" {
    port=$(free_port)
    start_other "$port"
    expect_service "the first" || return 1
    PORT=$port
    expect_service "the second"
}

@test "ADDRESS 0.0.0.0 opens the server to the network" {
    port=$(free_port)
    start_other "$port" 0.0.0.0
    [[ $(cat "$JOB/other") == "listening on http://0.0.0.0:$port/" ]] || explain "listening on http://0.0.0.0:$port/" "$(cat "$JOB/other")"
    run -0 curl --silent --max-time 10 --output "$ANSWER" "http://127.0.0.2:$port/" 3>&-
    cmp "$HTML/index.html" "$ANSWER" || explain "the page, on another address" "bind to the address of the argument"
}

@test "an address that is in use elsewhere, or not ours, is named in one line" {
    cd "$SITE"
    run -1 timeout 10 "$JOB/server" "$(free_port)" 192.0.2.1 3>&-
    [[ $output == "bind 192.0.2.1:"*": Cannot assign requested address" && ${#lines[@]} == 1 ]] ||
        explain "bind 192.0.2.1:PORT: Cannot assign requested address" "it says: $output"
}

@test "wrong arguments get the usage on stderr, and exit status 2" {
    cd "$SITE"
    for arguments in "" "abc" "80x" "-1" "65536" "''" "' 80'" "+80" "8080.5" "0x50" "99999999999999999999" "8080 nowhere" \
        "8080 127.0.0" "8080 ''" "8080 127.0.0.1 more"; do
        eval "set -- $arguments"
        run -2 --separate-stderr timeout 10 "$JOB/server" "$@" 3>&-
        # shellcheck disable=SC2154
        [[ $stderr == *sage* && -z $output ]] || explain "the usage on stderr" "for the arguments: $arguments" || return 1
    done
}
