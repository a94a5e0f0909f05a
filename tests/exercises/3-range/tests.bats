#!/usr/bin/env bats
# A client that has a part of a file gets the rest: Range, 206 and 416.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

FILE=$HTML/film.txt

# A large file, of random letters and of a random size. Sets SIZE.
make_file() {
    SIZE=$((300000 + RANDOM))
    random_bytes 300000 | base64 | head -c "$SIZE" >"$FILE"
}

get_range() { # RANGE, as in "Range: bytes=RANGE"
    get /film.txt "Range: bytes=$1"
}

# The bytes from FIRST to LAST, as 206.
expect_part() { # FIRST LAST
    local hint="LAST belongs to the part: bytes=0-9 are ten bytes"
    expect_status 206 "a part is 206 Partial Content" || return 1
    read_field Content-Range
    [[ $FIELD == "bytes $1-$2/$SIZE" ]] || explain "Content-Range: bytes $1-$2/$SIZE" "first, last and size; here: $FIELD" || return 1
    read_field Content-Length
    [[ $FIELD == $(($2 - $1 + 1)) ]] || explain "Content-Length: $(($2 - $1 + 1))" "$hint; here: $FIELD" || return 1
    read_field Content-Type
    [[ $FIELD == text/plain* ]] || explain "Content-Type: text/plain; charset=utf-8" "the type is that of the file, film.txt; here: $FIELD" || return 1
    is_body <(tail -c +$(($1 + 1)) "$FILE" | head -c $(($2 - $1 + 1))) ||
        explain "$(($2 - $1 + 1)) bytes: those from $1 to $2 of the file" "$hint; here are $(body | wc -c) bytes"
}

# 416 with the size.
expect_416() { # SIZE
    expect_status 416 "no byte of the file is in this range" || return 1
    read_field Content-Range
    [[ $FIELD == "bytes */$1" ]] || explain "Content-Range: bytes */$1" "the client learns the size; here: $FIELD" || return 1
    read_field Content-Type
    [[ $FIELD == text/html* ]] || explain "Content-Type: text/html" "416 is an error response, and has a page as all others have; here: $FIELD" || return 1
    read_page
    [[ $BODY == *"<"* ]] || explain "a small HTML page" "416 is an error response, and has a page as all others have"
}

expect_whole() { expect_file "$FILE" "the whole file, as if there was no Range"; }

# bats test_tags=weight:8
@test "bytes=FIRST-LAST gets 206 with these bytes, both ends included" {
    make_file
    get_range 0-9
    expect_part 0 9 || return 1
    for range in "0 0" "5 7" "$((SIZE - 1)) $((SIZE - 1))" "0 $((SIZE - 1))" "1 $((SIZE - 2))"; do
        read -r first last <<<"$range"
        get_range "$first-$last"
        try "bytes=$first-$last of $SIZE" expect_part "$first" "$last" || break
    done
    expect_no_wrong "206 with these bytes, and Content-Range and Content-Length to match" "LAST belongs to the part: bytes=0-9 are ten bytes"
}

# bats test_tags=weight:6
@test "bytes=FIRST- gets all from this byte to the end" {
    make_file
    for first in 0 1 $((RANDOM + 1)) $((SIZE - 1)); do
        get_range "$first-"
        try "bytes=$first- of $SIZE" expect_part "$first" $((SIZE - 1)) || break
    done
    expect_no_wrong "206 with the rest of the file" "without LAST the part goes to the end"
}

# bats test_tags=weight:6
@test "bytes=-COUNT gets the last bytes" {
    make_file
    for count in 1 5 $((RANDOM + 1)) $((SIZE - 1)) "$SIZE"; do
        get_range "-$count"
        try "bytes=-$count of $SIZE" expect_part $((SIZE - count)) $((SIZE - 1)) || break
    done
    expect_no_wrong "206 with the last bytes of the file" "bytes=-5 are the last five, not those from 0 to 5"
}

# bats test_tags=weight:5
@test "a part that begins or ends at any place of a large file arrives to the byte" {
    make_file
    for range in "4095 4096" "32767 32768" "32768 65535" "0 32767" "0 32768" "65535 131072" "100000 250001" "$RANDOM $((100000 + RANDOM))"; do
        read -r first last <<<"$range"
        get_range "$first-$last"
        try "bytes=$first-$last of $SIZE" expect_part "$first" "$last" || break
    done
    expect_no_wrong "206 with these bytes" "the part may begin and end in the middle of what one read() gives"
}

# Numbers that are greater than an int, a long long, or an unsigned one; in 32 or 64 bits, some of them become 5.
HUGE="2147483648 4294967301 9223372036854775807 9223372036854775808 18446744073709551621 99999999999999999999999999"
OVERFLOW="and a number may have any number of digits: atoi() has no answer then, but strtoll() has one"

# bats test_tags=weight:5
@test "a part that would go beyond the end of the file ends with the file" {
    make_file
    for range in "0-$SIZE" "10-99999999" "$((SIZE - 1))-$((SIZE + 5))" "-$((SIZE + 1))" "-99999999"; do
        get_range "$range"
        try "bytes=$range of $SIZE" expect_part $((10#0${range%-*})) $((SIZE - 1)) || break
    done
    for number in $HUGE; do
        get_range "7-$number"
        try "bytes=7-$number" expect_part 7 $((SIZE - 1)) || break
        get_range "-$number"
        try "bytes=-$number" expect_part 0 $((SIZE - 1)) || break
    done
    expect_no_wrong "206 with all bytes that there are" "Content-Range says what is sent, not what was asked for; $OVERFLOW"
}

# bats test_tags=weight:5
@test "a part that begins beyond the end of the file gets 416, and the size" {
    make_file
    for range in "$SIZE-" "$SIZE-$SIZE" "$((SIZE + 1))-" "99999999-99999999" "-0"; do
        get_range "$range"
        try "bytes=$range of $SIZE" expect_416 "$SIZE" || break
    done
    for number in $HUGE; do
        get_range "$number-"
        try "bytes=$number-" expect_416 "$SIZE" || break
    done
    : >"$FILE"
    get_range 0-
    try "bytes=0- of 0" expect_416 0 || true
    get_range -5
    if [[ $STATUS == 200 ]]; then try "bytes=-5 of 0" expect_whole; else try "bytes=-5 of 0" expect_416 0; fi
    expect_no_wrong "416 with Content-Range: bytes */SIZE" "the first byte of a file has the number 0, so the last one has SIZE - 1; $OVERFLOW"
}

# bats test_tags=weight:4
@test "curl -C - completes a download that broke off" {
    make_file
    for have in 1 100000 $((SIZE - 1)); do
        head -c "$have" "$FILE" >"$JOB/download"
        printf 'curl -C - -o download http://127.0.0.1:%s/film.txt, with %s of %s bytes in download' "$PORT" "$have" "$SIZE" >"$SENT"
        # The output is closed, or a server that hangs would keep bats waiting.
        said=$(curl --silent --show-error --max-time "$LIMIT" -C - -o "$JOB/download" -w '%{http_code} %{size_download}' "http://127.0.0.1:$PORT/film.txt" 2>&1 3>&-) || true
        cmp -s "$FILE" "$JOB/download" || explain "the whole file in download" "curl says: $said" || return 1
        [[ $said == "206 $((SIZE - have))" ]] || explain "206, and the $((SIZE - have)) bytes that are missing" "curl got status and bytes: $said" || return 1
    done
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=weight:2,given
@test "a Range that is malformed, of another unit, or of several parts is ignored" {
    make_file
    for range in "" "bytes" "bytes=" "bytes=-" "bytes=9-5" "bytes=a-b" "bytes=0-x" "bytes=x-9" "bytes=0x0-9" "bytes=5" "bytes=--5" "bytes=+0-9" "bytes=0-+9" \
        "bytes=0-9-" "bytes=0 -9" "bytes 0-9" "0-9" "bits=0-9" "bytesx=0-9" "bytes=0-9,20-29" "bytes=0-0,-1" "bytes=0-9;20-29" "bytes=0-9 x"; do
        get /film.txt "Range: $range"
        try "Range: $range" expect_whole || break
    done
    expect_no_wrong "200, and the whole file" "RFC 9110, section 14.2: a server may ignore a Range; the status is 200 then, so the client knows"
}

# bats test_tags=weight:3
@test "only a field with the name Range is one, in any case" {
    make_file
    for field in "Range: bytes=5-9" "range:bytes=5-9" "RANGE:  bytes=5-9  " "rANGE:	bytes=5-9	"; do
        get /film.txt "X: y" "$field"
        try "$field" expect_part 5 9 || break
    done
    for field in "X-Range: bytes=5-9" "Content-Range: bytes=5-9" "Range-X: bytes=5-9" "X: Range: bytes=5-9"; do
        get /film.txt "$field"
        try "$field" expect_whole || break
    done
    get "/film.txt?Range:%20bytes=5-9"
    try "in the query" expect_whole
    body=$'X: y\r\nRange: bytes=5-9\r\n\r\n'
    send 'GET /film.txt HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#body} "$body"
    try "in the body" expect_whole
    expect_no_wrong "206 for the field, 200 for all else" "a field's name begins its line and ends at the colon; the fields end at the blank line"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=weight:2,given
@test "with If-Range, and for HEAD, Range is ignored; errors stay errors" {
    make_file
    for validator in '"x"' 'Sun, 06 Nov 1994 08:49:37 GMT'; do
        get /film.txt "Range: bytes=5-9" "If-Range: $validator"
        try "If-Range: $validator" expect_whole || break
        get /film.txt "if-range: $validator" "Range: bytes=5-9"
        try "if-range: $validator" expect_whole || break
    done
    ask HEAD /film.txt "Range: bytes=5-9"
    try "HEAD" expect_status 200 "" || true
    ask HEAD /film.txt "Range: bytes=$SIZE-"
    try "HEAD" expect_status 200 "" || true
    for request in "404 GET /$(random_name)" "301 GET /$NAME" "405 POST /film.txt" "400 GET /%zz"; do
        read -r status method target <<<"$request"
        ask "$method" "$target" "Range: bytes=5-9"
        try "$method $target" expect_status "$status" "" || break
        read_field Content-Range
        [[ -z $FIELD ]] || explain "no Content-Range" "an error response is no part of a file" || return 1
    done
    expect_no_wrong "the answer that comes without Range" "If-Range: has the file changed since? Who cannot tell sends all of it. RFC 9110 has Range for GET alone"
}

# bats test_tags=weight:2
@test "every 200 for a file says that the server knows ranges of bytes" {
    make_file
    for request in "GET /" "HEAD /" "GET /film.txt" "GET /$NAME/"; do
        # shellcheck disable=SC2086
        ask $request
        expect_status 200 "a file that is there" || return 1
        read_field Accept-Ranges
        [[ $FIELD == bytes ]] || explain "Accept-Ranges: bytes" "so a client knows that it can resume; here: $FIELD" || return 1
    done
}

# bats test_tags=weight:2
@test "400 parts and 416 later, nothing has leaked" {
    make_file
    request() { printf 'GET /film.txt HTTP/1.1\r\nHost: test\r\nRange: bytes=%s\r\nConnection: close\r\n\r\n.' "$1"; }
    settle
    before=$(count_descriptors)
    part=$(request 5-9) none=$(request "$SIZE-")
    client -r 200 send "${part%.}" read >/dev/null
    client -r 200 send "${none%.}" read >/dev/null
    client -r 50 send "${part%.}" reset
    settle
    (($(count_descriptors) <= before)) || explain "$before descriptors, as before" "here are $(count_descriptors): a 416 closes the file too" || return 1
    get_range 5-9
    expect_part 5 9
}
