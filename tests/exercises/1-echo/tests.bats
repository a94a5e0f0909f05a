#!/usr/bin/env bats
# The body of each answer is the head of the request.
# Replaces: every request is answered with 200 and hello world
bats_require_minimum_version 1.5.0
load ../../lib/helpers

# The body of the answer is to be these bytes.
expect_echo() { # HINT FORMAT [ARGUMENT...]: a format for printf, as for send
    # shellcheck disable=SC2059
    printf "${@:2}" >"$JOB/expected"
    expect_status 200 "any request is answered with 200" || return 1
    is_body "$JOB/expected" ||
        explain "these $(wc -c <"$JOB/expected") bytes as the body (here are $(body | wc -c)):
          $(head -c 200 "$JOB/expected" | printable)" "$1"
}

# bats test_tags=weight:8
@test "the answer to a request is its head, to the byte" {
    request="GET /$(random_name) HTTP/1.1\r\nHost: test\r\nX-Name: $(random_name)\r\n\r\n"
    send "$request"
    expect_echo "send() the bytes of the request line, of the fields and of the blank line" "$request"
}

# bats test_tags=weight:4
@test "whatever the request is, its head comes back" {
    for line in "GET / HTTP/1.0" "POST /$(random_name)?x=%%20#y HTTP/1.1" "$(random_name)" "GET /%%s%%n%%100d HTTP/1.1" \
        "  a \t b " "X: HTTP/1.1 200 OK"; do
        send "$line\r\nHost: test\r\n\r\n"
        try "$line" expect_echo "" "$line\r\nHost: test\r\n\r\n" || break
    done
    expect_no_wrong "the head of each request" "the server need not understand a request to send it back, and changes nothing in it"
}

# bats test_tags=weight:8
@test "a browser takes the answer for plain text, and runs no script in it" {
    request="GET /?<script>alert(1)</script>&amp; HTTP/1.1\r\nHost: test\r\nX: 中文 $(random_name)\r\n\r\n"
    send "$request"
    read_plain_field Content-Type
    [[ $FIELD == "text/plain;charset=utf-8" ]] ||
        explain "Content-Type: text/plain; charset=utf-8" "as HTML, the page would run what a client sends; here: $FIELD" || return 1
    read_plain_field X-Content-Type-Options
    [[ $FIELD == nosniff ]] ||
        explain "X-Content-Type-Options: nosniff" "without it, a browser may guess another type from the bytes" || return 1
    expect_echo "plain text needs no &lt; for <" "$request"
}

# bats test_tags=weight:6
@test "what follows the head does not come back" {
    head="POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n"
    body=$(random_name)$(random_name)
    send "$head$body"
    expect_echo "the head ends with the blank line: find_head_end() says where, also if recv() brings more" "$head" || return 1
    send "GET /1 HTTP/1.1\r\nHost: test\r\n\r\nGET /2 HTTP/1.1\r\nHost: test\r\n\r\n"
    expect_echo "a second request is no part of the first" "GET /1 HTTP/1.1\r\nHost: test\r\n\r\n"
}

# bats test_tags=weight:5
@test "a 0 byte in the head does not end it" {
    request="GET /\000$(random_name) HTTP/1.1\r\nHost: \000\000test\r\nX: y\000\r\n\r\n"
    send "$request"
    expect_echo "for strlen(), strcpy() and %s a string ends at the first 0 byte: here only the length counts" "$request"
}

# bats test_tags=weight:3
@test "bytes that are no characters come back as they are" {
    request="GET /\001\033[31m\177\377\300\200 HTTP/1.1\r\nHost: test\rX\r\n\tY: \351\r\n\r\n"
    send "$request"
    expect_echo "send the bytes as they were received: none is changed, and none is left out" "$request"
}

# bats test_tags=weight:3
@test "a head that was typed with LF alone comes back with LF alone" {
    request="GET /$(random_name) HTTP/1.1\nHost: test\r\nX: y\n\n"
    send "$request"
    expect_echo "send what was received, and do not write the lines anew" "$request" || return 1
    send "${request}GET / HTTP/1.1\r\n\r\n"
    expect_echo "an empty line ends the head, also without a CR" "$request"
}

# bats test_tags=weight:3
@test "a head that comes in pieces comes back whole" {
    request="GET /$(random_name) HTTP/1.1\r\nHost: test\r\nX-Name: $(random_name)\r\n\r\n"
    # shellcheck disable=SC2059
    printf "$request" >"$SENT"
    for size in 1 3 50; do
        receive pieces "$size" "$SENT" read || return 1
        expect_echo "pieces of $size bytes: receive until the blank line has come, and then send all of it" "$request" || return 1
    done
}

# bats test_tags=weight:3
@test "a head of 8 KiB comes back whole" {
    request="GET /$(random_name) HTTP/1.1\r\nHost: test\r\nX: "
    random_bytes 6000 | od -An -v -tx1 | tr -d ' \n' | head -c $((8192 - 4 - $(printf '%b' "$request" | wc -c))) >"$JOB/long"
    request+="$(<"$JOB/long")\r\n\r\n"
    send "$request"
    [[ $(wc -c <"$SENT") == 8192 ]]
    expect_echo "is a buffer too small? does snprintf() return more than there was room for?" "$request"
}

# bats test_tags=weight:2
@test "curl prints what it has sent itself" {
    mark=$(random_name)
    curl -sv --max-time "$LIMIT" -A "$mark" -b "cookie=$mark" "http://127.0.0.1:$PORT/$mark" >"$ANSWER" 2>"$JOB/client" 3>&- ||
        explain "an answer to curl" "curl says: $(said "$JOB/client")" || return 1
    sed -n 's/^> //p' "$JOB/client" | cmp -s - "$ANSWER" ||
        explain "what curl -v marks with >:
          $(sed -n 's/^> //p' "$JOB/client" | printable)" "curl sends fields that nobody asked it to send: they are a part of the head"
}
