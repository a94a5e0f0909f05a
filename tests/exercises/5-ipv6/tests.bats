#!/usr/bin/env bats
# ADDRESS is IPv4, IPv6, or a name.
# That "nowhere" is no address is now for getaddrinfo() to find out: it may be a name, and is no longer a wrong argument.
# Replaces: wrong arguments get the usage on stderr, and exit status 2
bats_require_minimum_version 1.5.0
load ../../lib/helpers

need_ipv6() { grep -qs '^0\{31\}1 ' /proc/net/if_inet6 || skip "this system has no IPv6"; }

# Starts a server at an address; it has to say that it listens at this URL (a regular expression). Sets URL.
start_at() { # ADDRESS PORT REGEX [HINT]
    local shown=${3//\\/}
    rm -f "$JOB/other" "$SENT" "$ANSWER" # of an earlier server
    start_other "$PLACE/server" "$2" "$1"
    listening_or_ended() { grep -qs listening "$JOB/other" || ! other_is_alive; }
    eventually listening_or_ended || true
    [[ $(head -n 1 "$JOB/other") =~ ^listening\ on\ (http://$3/)$ ]] ||
        explain "a server that is started as: ./server $2 $1, and says: listening on http://${shown/'[1-9][0-9]*'/PORT}/" "${4:+$4; }it says: $(said "$JOB/other")" || return 1
    URL=${BASH_REMATCH[1]}
}

expect_page_at() { # URL
    printf 'curl -g %s' "$1" >"$SENT"
    curl -g --silent --max-time "$LIMIT" "$1" >"$ANSWER" 2>/dev/null 3>&- || true
    cmp -s "$HTML/index.html" "$ANSWER" || explain "html/index.html from $1" "the server says that it listens there"
}

# Starts a server that has to end with status 1 and one line on stderr, with these two texts in it.
expect_complaint_about() { # PORT ADDRESS TEXT TEXT HINT
    try_server "$SITE" "$1" "$2"
    expect_end 1 "ADDRESS is $2" || return 1
    { complains "*${3//[/\\[}*$4*" && [[ ! -s $JOB/said ]]; } ||
        explain "one line on stderr, such as: $5" "for the address $2 it says: $(said "$JOB/complaint" "$JOB/said")"
}

# bats test_tags=weight:10
@test "ADDRESS ::1 is IPv6, and stands in brackets where the server says that it listens" {
    need_ipv6
    port=$(free_port)
    start_at ::1 "$port" "\[::1\]:$port" || return 1
    expect_page_at "$URL" || return 1
    curl -g --silent --max-time "$LIMIT" "${URL}$NAME.bin" >"$ANSWER" 2>/dev/null 3>&- || true
    cmp -s "$HTML/$NAME.bin" "$ANSWER" || explain "the 300,000 bytes of a file, over IPv6" "$(wc -c <"$ANSWER") bytes have come"
}

# bats test_tags=weight:5
@test "port 0 at ::1 takes a free port, and the server says which" {
    need_ipv6
    start_at ::1 0 '\[::1\]:[1-9][0-9]*' "getsockname() tells the port that the kernel has chosen" || return 1
    expect_page_at "$URL"
}

# bats test_tags=weight:6
@test "ADDRESS can be a name" {
    port=$(free_port)
    start_at localhost "$port" "(127\.0\.0\.1|\[::1\]):$port" || return 1
    expect_page_at "$URL"
}

# bats test_tags=weight:6
@test "of the addresses that a name has, the first that is free is taken" {
    need_ipv6
    # The C library then returns all addresses of localhost that are in /etc/hosts.
    AS+=(env RESOLV_MULTI=on)
    addresses=$(cd "$SITE" && "${AS[@]}" getent ahosts localhost 3>&-) || true
    [[ $addresses == *127.0.0.1*::1* || $addresses == *::1*127.0.0.1* ]] || skip "here, localhost has only one address"
    # With 127.0.0.1 taken, by the server of these tests.
    hint="getaddrinfo() returns a list: if bind() fails for one address, try the next (ai_next), with a new socket"
    start_at localhost "$PORT" "\[::1\]:$PORT" "$hint" || return 1
    expect_page_at "$URL" || return 1
    # With both taken.
    expect_complaint_about "$PORT" localhost "$PORT" "Address already in use" "bind 127.0.0.1:$PORT: Address already in use" || return 1
    # With ::1 taken.
    HOLDER=$OTHER port=$(free_port)
    start_at ::1 "$port" "\[::1\]:$port" || return 1
    kill -KILL -- "-$HOLDER"
    HOLDER=$OTHER
    start_at localhost "$port" "127\.0\.0\.1:$port" "$hint" || return 1
    expect_page_at "$URL"
}

# bats test_tags=weight:6
@test "a name that does not exist is named in one line, and the exit status is 1" {
    for name in "$NAME.invalid" ::1::2; do
        expect_complaint_about "$(free_port)" "$name" "$name" "" "$name: Name or service not known" || return 1
        # What the line says besides the name: that the name is not known, or cannot be looked up here ("Try again").
        reason=$(sed "s/$name//" "$JOB/complaint")
        [[ $reason =~ [Nn]ame|[Tt]ry ]] || explain "the reason, as gai_strerror() has it" "getaddrinfo() returns the number of an error of its own, and perror() knows only errno; the server says: $(said "$JOB/complaint")" || return 1
    done
}

# bats test_tags=weight:5
@test "an IPv6 address that is in use, or not ours, is named in brackets" {
    need_ipv6
    port=$(free_port)
    start_at ::1 "$port" "\[::1\]:$port" || return 1
    expect_complaint_about "$port" ::1 "[::1]:$port" "Address already in use" "bind [::1]:$port: Address already in use" || return 1
    expect_complaint_about "$port" 2001:db8::1 "[2001:db8::1]:$port" "Cannot assign requested address" "bind [2001:db8::1]:$port: Cannot assign requested address"
}

# bats test_tags=weight:6
@test "ADDRESS :: opens the server to IPv6, and not to IPv4" {
    need_ipv6
    port=$(free_port)
    start_at :: "$port" "\[::\]:$port" || return 1
    expect_page_at "http://[::1]:$port/" || return 1
    result=0
    curl --silent --max-time "$LIMIT" -o "$ANSWER" "http://127.0.0.1:$port/" 3>&- || result=$?
    ((result == 7)) || explain "no connection to 127.0.0.1:$port" "on some systems :: is for IPv4 too; the socket option IPV6_V6ONLY says what you mean (curl exits with $result)"
}

# bats test_tags=weight:4
@test "0.0.0.0 and :: can have the same port at the same time" {
    need_ipv6
    port=$(free_port)
    start_at 0.0.0.0 "$port" "0\.0\.0\.0:$port" || return 1
    HOLDER=$OTHER
    start_at :: "$port" "\[::\]:$port" "without IPV6_V6ONLY, :: is for IPv4 too, and 0.0.0.0 is taken" || return 1
    expect_page_at "http://127.0.0.1:$port/" || return 1
    expect_page_at "http://[::1]:$port/"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=weight:2,given
@test "a wrong port, or too many arguments, get the usage on stderr, and exit status 2" {
    for arguments in "" "abc" "80x" "-1" "65536" "''" "' 80'" "+80" "8080.5" "0x50" "http" "99999999999999999999" "80x ::1" "65536 localhost" "abc nowhere" \
        "8080 127.0.0.1 more" "8080 ::1 more"; do
        eval "set -- $arguments"
        try_server "$SITE" "$@"
        if [[ $ENDED != 2 ]]; then
            echo "          ./server $arguments: $( ((ENDED == 137)) && echo "it starts" || echo "exit status $ENDED")" >>"$JOB/wrong"
        elif ! grep -q sage "$JOB/complaint" || [[ -s $JOB/said ]]; then
            echo "          ./server $arguments: it says: $(said "$JOB/said" "$JOB/complaint")" >>"$JOB/wrong"
        fi
        ((SECONDS < 2 * LIMIT)) || break # each that starts a server takes its time
    done
    expect_no_wrong "the usage on stderr, and exit status 2" "getaddrinfo() takes http for port 80, and may take 65536 for 0: check the port before"
}
