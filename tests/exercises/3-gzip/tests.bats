#!/usr/bin/env bats
# A file that has a compressed copy beside it is sent compressed, to a client that accepts that.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

# A page of our own, and a copy that has nothing to do with it: so one can tell which of them was sent.
make_page() { # [SUFFIX]
    PAGE=$(random_name).${1:-css}
    echo "/* the file itself $(random_name) */" >"$HTML/$PAGE"
    random_bytes 500 >"$HTML/$PAGE.gz"
}

is_copy() { is_body "$HTML/$PAGE.gz"; }
is_file() { is_body "$HTML/$PAGE"; }
expect_copy() { # HINT
    expect_status 200 "a file that is there" || return 1
    is_copy || explain "the bytes of html/$PAGE.gz as the body" "$1" || return 1
    read_plain_field Content-Encoding
    [[ $FIELD == gzip ]] ||
        explain "Content-Encoding: gzip" "without it, a browser takes the compressed bytes for the page; here: $FIELD" || return 1
    read_plain_field Content-Type
    [[ $FIELD != "text/css;charset=utf-8" ]] || return 0
    because "a compressed copy comes with a Content-Type of its own, and not with that of the page"
    explain "Content-Type: text/css; charset=utf-8" "the type is that of the page, when it is unpacked; here: $FIELD"
}
# Says why, if the copy is sent for any request that has "gzip" somewhere.
because_anywhere() {
    [[ -f $HTML/$PAGE.gz ]] || return 0 # to open a FIFO is to wait
    ! "$CLIENT" -t 3 "$PORT" send "GET /$PAGE HTTP/1.1"$'\r\nHost: test\r\nX: gzip\r\nConnection: close\r\n\r\n' read 2>/dev/null 3>&- |
        "$CLIENT" -E "$HTML/$PAGE.gz" ||
        because "a request that has gzip anywhere gets the compressed copy: only the field Accept-Encoding counts, and in its list the whole word gzip"
}
expect_itself() { # HINT
    is_file || because_anywhere
    expect_file "$HTML/$PAGE" "$1" || return 1
    read_field Content-Encoding
    [[ -z $FIELD ]] || explain "no Content-Encoding" "the file itself is not compressed"
}
expect_vary() {
    read_field Vary
    local names=",${FIELD//[[:space:]]/,},"
    [[ ${names,,} == *,accept-encoding,* || $names == *",*,"* ]] || explain "Vary: Accept-Encoding" \
        "a cache must know that this address has two answers, or it gives the wrong one to the next client; here: ${FIELD:-no Vary}"
}

# Each of these values of Accept-Encoding asks for the compressed copy, or for the file itself; or each of these header fields,
# or groups of them, with CR LF in between.
ask_for() { # copy|file VALUE|FIELDS...
    local fields wanted="the file itself"
    [[ $1 == file ]] || wanted="the compressed copy"
    for fields in "${@:2}"; do
        [[ $fields == *:* ]] || fields="Accept-Encoding: $fields"
        get "/$PAGE" "$fields"
        try "${fields//$'\r\n'/, then }: not $wanted" "is_$1" || break
    done
    [[ ! -s $JOB/wrong ]] || because_anywhere
}

# bats test_tags=weight:8
@test "a client that accepts gzip is sent page.css.gz for page.css" {
    make_page
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "open html/$PAGE.gz when html/$PAGE is there and the client accepts gzip" || return 1
    get "/$PAGE?query" "Accept-Encoding: gzip, deflate, br"
    expect_copy "a browser sends a list" || return 1
    mkdir -p "$HTML/$NAME-gzip"
    echo "<title>$NAME</title>" >"$HTML/$NAME-gzip/index.html"
    random_bytes 500 >"$HTML/$NAME-gzip/index.html.gz"
    get "/$NAME-gzip/" "Accept-Encoding: gzip"
    is_body "$HTML/$NAME-gzip/index.html.gz" || explain "the bytes of index.html.gz" "the page of a directory may have a copy, too" || return 1
    read_field Content-Type
    [[ $FIELD == text/html* ]] || explain "Content-Type: text/html; charset=utf-8" "here: $FIELD"
}

# bats test_tags=weight:5
@test "curl --compressed shows the page, though fewer bytes come" {
    make_page txt
    for _ in {1..200}; do echo "the same line $NAME 中文"; done >"$HTML/$PAGE"
    gzip -c "$HTML/$PAGE" >"$HTML/$PAGE.gz"
    local come
    come=$(curl -s --max-time "$LIMIT" --compressed -D "$ANSWER" -o "$JOB/page" -w '%{size_download}' "http://127.0.0.1:$PORT/$PAGE" 2>"$JOB/client" 3>&-) ||
        explain "an answer that curl can unpack" "curl says: $(said "$JOB/client"), and ends with $?; Content-Encoding: gzip is for the compressed copy, and for nothing else" || return 1
    cmp -s "$HTML/$PAGE" "$JOB/page" || explain "html/$PAGE, unpacked by curl" "curl has printed: $(head -c 200 "$JOB/page" | printable)" || return 1
    [[ $come == "$(wc -c <"$HTML/$PAGE.gz")" ]] || explain "$(wc -c <"$HTML/$PAGE.gz") bytes, as in html/$PAGE.gz" "$come bytes came"
}

# bats test_tags=weight:5
@test "the weight 0 refuses gzip, and any other accepts it" {
    make_page
    ask_for copy "gzip;q=1" "gzip;q=0.5" "gzip; q=0.001" "gzip ;Q=0.01" "br;q=0,gzip;q=0.8,deflate;q=0"
    ask_for file "gzip;q=0" "gzip;q=0.000" "gzip;q=0." "gzip ; Q=0" "br, gzip;q=0, deflate"
    expect_no_wrong "the copy if gzip has no weight, or one above 0" "RFC 9110, section 12.4.2: q=0 means that it is not acceptable; q=0.001 is little, but not 0"
}

# bats test_tags=weight:5
@test "every answer that may come compressed has Vary: Accept-Encoding" {
    make_page
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "first of all: a client that accepts gzip gets the copy" || return 1
    expect_vary || return 1
    for fields in "X: y" "Accept-Encoding: br" "Accept-Encoding: gzip;q=0"; do
        get "/$PAGE" "$fields"
        expect_itself "a client that does not accept gzip gets the file itself ($fields)" || return 1
        expect_vary || return 1
    done
}

# bats test_tags=weight:4
@test "a star stands for gzip where gzip is not named" {
    make_page
    ask_for copy "*" "*;q=1" "br, *" "identity, *;q=0, gzip" "gzip, identity, *;q=0"
    ask_for file "identity, *;q=0" "gzip;q=0, *" "*, gzip;q=0"
    expect_no_wrong "what the list says of gzip, and only if it does not name it, what it says of *" "RFC 9110, section 12.5.3"
}

# bats test_tags=weight:4
@test "the field is found in any case, at any place, with any white space" {
    make_page
    ask_for copy "ACCEPT-ENCODING: GZIP" "accept-encoding: GZip" "Accept-Encoding:gzip" $' \t gzip \t ' "br,gzip" $'br ,\tgzip\t, x' ", ,gzip,," \
        $'Accept: text/css,*/*;q=0.1\r\nAccept-Encoding: br,gzip\r\nAccept-Language: zh'
    expect_no_wrong "the compressed copy" "names of fields and of codings have no case; a list has commas, and spaces or tabs where it likes" || return 1
    send 'GET /%s HTTP/1.1\r\nAccept-Encoding: gzip\r\nHost: test\r\nConnection: close\r\n\r\n' "$PAGE"
    expect_copy "the field may be the first" || return 1
    send 'GET /%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n' "$PAGE"
    expect_copy "the field may be the last" || return 1
    send 'GET /%s HTTP/1.1\nHost: test\nAccept-Encoding: gzip\nConnection: close\n\n' "$PAGE"
    expect_copy "a line may end with LF alone"
}

# bats test_tags=weight:4
@test "several lines of Accept-Encoding are one list" {
    make_page
    ask_for copy $'Accept-Encoding: br\r\nAccept-Encoding: gzip' $'Accept-Encoding: gzip\r\nX: y\r\nAccept-Encoding: br' \
        $'Accept-Encoding: identity, *;q=0\r\nAccept-Encoding: gzip' $'Accept-Encoding:\r\nAccept-Encoding: gzip'
    ask_for file $'Accept-Encoding: *\r\nAccept-Encoding: gzip;q=0' $'Accept-Encoding: gzip;q=0\r\nAccept-Encoding: *'
    expect_no_wrong "what the lists say when they are put together" "RFC 9110, section 5.3: a field that is a list may come in several lines"
}

# bats test_tags=weight:5
@test "whoever does not name gzip in Accept-Encoding gets the file itself" {
    make_page
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "first of all: a client that accepts gzip gets the copy" || return 1
    ask_for file "" "br, deflate" "identity" "gzipped" "gzip2" "gzi" "bgzip, not-gzip, gzip-not" "br;q=0.5, *gzip" \
        "X-Accept-Encoding: gzip" "Accept-Encodings: gzip" "Accept-Encodin: gzip" "Accept: gzip" "TE: gzip" \
        "User-Agent: Accept-Encoding: gzip" "X: y, Accept-Encoding: gzip"
    expect_no_wrong "the file itself" "compare whole words: the name of the field up to its colon, and each coding in the list" || return 1
    for target in "/$PAGE" "/$PAGE?Accept-Encoding:gzip" "http://gzip/$PAGE"; do
        get "$target"
        expect_itself "there is no field that accepts gzip: its name in the target is none" || return 1
    done
    send 'GET /%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nAccept-Encoding: gzip\r\n\r\n' "$PAGE"
    expect_itself "what follows the blank line is no field"
}

# bats test_tags=weight:2
@test "HEAD of a file gets the head of GET, compressed or not" {
    make_page
    for fields in "Accept-Encoding: gzip" "X: y"; do
        get "/$PAGE" "$fields"
        expect_vary || return 1
        expect_same_for_head "/$PAGE" "$fields" || return 1
    done
}

# bats test_tags=weight:3
@test "where no copy can be read, the file itself is sent" {
    make_page
    expect_fallback() { # HINT
        get "/$PAGE" "Accept-Encoding: gzip"
        expect_itself "$1"
    }
    chmod 0 "$HTML/$PAGE.gz"
    expect_fallback "html/$PAGE.gz may not be read" || return 1
    rm -f "$HTML/$PAGE.gz"
    expect_fallback "html/$PAGE.gz is not there" || return 1
    ln -s nothing "$HTML/$PAGE.gz"
    expect_fallback "html/$PAGE.gz is a symbolic link to nothing" || return 1
    rm "$HTML/$PAGE.gz"
    mkfifo "$HTML/$PAGE.gz"
    expect_fallback "html/$PAGE.gz is a FIFO: open_file() does not wait for it" || return 1
    rm "$HTML/$PAGE.gz"
    mkdir "$HTML/$PAGE.gz"
    expect_fallback "html/$PAGE.gz is a directory" || return 1
    rmdir "$HTML/$PAGE.gz"
    random_bytes 500 >"$HTML/$PAGE.gz"
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "html/$PAGE.gz is there now: look for it at each request"
}

# bats test_tags=weight:3
@test "a copy stands for its file alone" {
    make_page
    get "/$PAGE.gz" "Accept-Encoding: gzip"
    expect_file "$HTML/$PAGE.gz" "asked for by its name, it is a file like others" || return 1
    read_field Content-Encoding
    encoding=$FIELD
    read_field Content-Type
    [[ -z $encoding && $FIELD == application/octet-stream ]] || explain "Content-Type: application/octet-stream, and no Content-Encoding" \
        "whoever asks for page.css.gz wants the compressed file, not the page" || return 1
    mkdir "$HTML/$PAGE.directory"
    echo x | tee "$HTML/$PAGE.directory.gz" "$HTML/$PAGE.missing.gz" "$HTML/$PAGE.locked.gz" >"$HTML/$PAGE.locked"
    chmod 0 "$HTML/$PAGE.locked"
    while read -r status target; do
        get "$target" "Accept-Encoding: gzip"
        try "$target" expect_status "$status" "" || break
    done <<<"404 /$PAGE.missing
301 /$PAGE.directory
404 /$PAGE.directory/
403 /$PAGE.locked"
    expect_no_wrong "the status that these have without a copy" "first open the file itself; only if that succeeds, look for its copy" || return 1
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "html/$PAGE and its copy are there"
}

# bats test_tags=weight:2
@test "400 compressed files later, nothing has leaked" {
    make_page
    fields=$'HTTP/1.1\r\nHost: test\r\nConnection: close\r\n'
    get "/$PAGE" "Accept-Encoding: gzip"
    expect_copy "first of all: a client that accepts gzip gets the copy" || return 1
    settle
    before=$(count_descriptors)
    client -t 60 -r 100 send "GET /$PAGE $fields"$'Accept-Encoding: gzip\r\n\r\n' read >/dev/null
    client -t 60 -r 100 send "GET /$PAGE $fields"$'\r\n' read >/dev/null
    client -t 60 -r 100 send "HEAD /$PAGE $fields"$'Accept-Encoding: gzip\r\n\r\n' read >/dev/null
    client -t 60 -r 100 send "GET /$PAGE.gz $fields"$'Accept-Encoding: gzip\r\n\r\n' read >/dev/null
    rm -f "$ANSWER" "$SENT"
    settle
    (($(count_descriptors) <= before)) || explain "$before open descriptors, as before 400 requests" \
        "here are $(count_descriptors): of the two files, one is sent and closed, and the other is closed, too"
}
