#!/usr/bin/env bats
# An answer describes itself: status, Content-Type. An error response says why.
bats_require_minimum_version 1.5.0
load lib/helpers

# A page that says why: HTML, UTF-8, with its status in it.
expect_page() {
    read_page
    read_plain_field Content-Type
    # A page of nothing but ASCII needs no charset.
    [[ $FIELD == "text/html;charset=utf-8" || ($FIELD == "text/html" && $BODY != *[![:ascii:]]*) ]] ||
        explain "Content-Type: text/html; charset=utf-8" "the page has Chinese characters; here: $FIELD" || return 1
    [[ $BODY == *"<"* ]] || explain "a small HTML page" "tell the reader why"
}

@test "a missing page gets 404, and a page that says so in two languages" {
    get "/$(random_name).html"
    expect_status 404 "no such file: 404 Not Found" || return 1
    expect_page || return 1
    [[ $BODY == *"sorry, 您访问的页面不存在"* ]] || explain "the notes' sentence: sorry, 您访问的页面不存在" "in UTF-8"
}

@test "Content-Type follows the suffix" {
    while read -r suffix type; do
        echo x >"$HTML/$NAME.$suffix"
        get "/$NAME.$suffix"
        expect_status 200 "a file that is there" || return 1
        read_plain_field Content-Type
        [[ $FIELD =~ ^($type)$ ]] || echo "          .$suffix is ${type//|/ or }, not: $FIELD" >>"$JOB/wrong"
    done <<'TYPES'
html text/html;charset=utf-8
htm text/html;charset=utf-8
css text/css;charset=utf-8
js text/javascript;charset=utf-8|application/javascript;charset=utf-8
mjs text/javascript;charset=utf-8|application/javascript;charset=utf-8
txt text/plain;charset=utf-8
json application/json|application/json;charset=utf-8
svg image/svg\+xml|image/svg\+xml;charset=utf-8
png image/png
jpg image/jpeg
jpeg image/jpeg
gif image/gif
webp image/webp
ico image/x-icon|image/vnd.microsoft.icon
wasm application/wasm
pdf application/pdf
mp4 video/mp4
unknown application/octet-stream
html.bak application/octet-stream
TYPES
    expect_no_wrong "a Content-Type that follows the suffix" "the suffix begins at the last dot; text types have charset=utf-8" || return 1
    echo x >"$HTML/html"
    get /html
    read_field Content-Type
    [[ $FIELD == application/octet-stream ]] || explain "application/octet-stream" "no suffix, no type" || return 1
    for target in / "/$NAME/" "/$NAME/?page=2.png" "/index.html?v=1.css"; do
        get "$target"
        read_plain_field Content-Type
        [[ $FIELD == "text/html;charset=utf-8" ]] || echo "          $target is text/html, not: $FIELD" >>"$JOB/wrong"
    done
    expect_no_wrong "a Content-Type that follows the suffix" \
        "it is the suffix of the file that is sent, not of the target: / is index.html, and a query is no name"
}

@test "HEAD gets the head of GET, and no body" {
    for target in / "/$NAME.bin" "/$(random_name)" "/$NAME" /%zz; do
        get "$target"
        expect_same_for_head "$target" || return 1
    done
}

@test "a directory without its last slash gets 301 to the name with it" {
    here="(http://(test|127\.0\.0\.1:$PORT|localhost:$PORT))"
    mkdir -p "$HTML/$NAME/a b"
    for target in "/$NAME" "/$NAME/deep" "/$NAME/a%20b"; do
        get "$target"
        expect_status 301 "relative links in the directory's page only work below /directory/" || return 1
        read_field Location
        [[ $FIELD =~ ^$here?"$target/"$ ]] ||
            explain "Location: $target/" "the same path, encoded, with a slash; a host, if it has one, is this one; here: $FIELD" || return 1
        expect_page || return 1
    done
    query="page=2&x=%0d%0aSet-Cookie:%20y&z=%2F+%3f/"
    get "/$NAME?$query"
    read_field Location
    [[ $FIELD =~ ^$here?"/$NAME/?$query"$ ]] ||
        explain "Location: /$NAME/?$query" "the slash stands at the end of the path, before the query, which is kept as it is: \
decoded, %0d%0a would end the line; here: $FIELD" || return 1
    mkdir -p "$HTML/$NAME/empty/index.html"
    get "/$NAME/empty/"
    expect_status "404|403" "index.html is a directory here: that is no page, and to send the client to itself helps nobody" || return 1
    get "//$NAME"
    read_field Location
    [[ $FIELD != //* ]] || explain "no Location that begins with //" "a browser takes //name for a host"
}

@test "a malformed request line gets 400" {
    for line in "GET" "GET " "GET /" "GET / " "GET  HTTP/1.1" "GET /a" "/ HTTP/1.1" " / HTTP/1.1" "GET / HTTP/1.1 x" \
        "GET / x HTTP/1.1" "GET /%%zz HTTP/1.1" "GET /%%4 HTTP/1.1" \
        "GET /a%% HTTP/1.1" "GET /%%+1 HTTP/1.1" "GET /%%-1 HTTP/1.1" "GET /%%0x41 HTTP/1.1" \
        "GET index.html HTTP/1.1" "GET / http/1.1" "GET / HTTP/1.x" "GET / HTTP1.1" \
        "GET / HTTP/ 1.1" "GET / FTP/1.1" "GET / HTTP/1.11" "G@T / HTTP/1.1" "GET /a\001b HTTP/1.1" \
        "GET /\177 HTTP/1.1" "GET /\000 HTTP/1.1" "GET / HTTP/1.1\000" "(GET) / HTTP/1.1" "GET / HTTP/1.1\rx" "GET http:/// HTTP/1.1" "GET http://?x HTTP/1.1"; do
        send "$line\r\nHost: test\r\nConnection: close\r\n\r\n"
        try "$line" expect_status 400 "" || break
        [[ $STATUS != 400 ]] || expect_page || return 1
    done
    # RFC 9112, section 3: a server may be lenient with white space.
    for line in "GET  / HTTP/1.1" "GET /  HTTP/1.1" "GET / HTTP/1.1 " "GET\t/\tHTTP/1.1"; do
        send "$line\r\nHost: test\r\nConnection: close\r\n\r\n"
        try "$line" expect_status "400|200" "" || break
    done
    send 'GET / HTTP/1\r\nHost: test\r\nConnection: close\r\n\r\n'
    try "GET / HTTP/1" expect_status "400|505" "" || true
    expect_no_wrong "an answer with status 400" \
        "RFC 9112, section 3: method SP target SP HTTP/1.x, single spaces, no control characters; the target begins with /"
}

@test "a # in the target gets 400" {
    for target in "/#x" "/index.html#top" "/?query#x"; do
        get "$target"
        try "$target" expect_status 400 "" || break
        [[ $STATUS != 400 ]] || expect_page || return 1
    done
    expect_no_wrong "an answer with status 400" "RFC 9112, section 3.2: a fragment is no part of a request; clients keep it to themselves"
}

@test "another method gets 405, and is told which are allowed" {
    for method in POST PUT DELETE OPTIONS PATCH get GETS HEADS "$(random_name)"; do
        ask "$method" /
        # RFC 9110, section 9.1: 501 is for a method that nobody knows.
        [[ $STATUS != 501 || ! $method =~ ^(get|GETS|HEADS|[0-9a-f]+)$ ]] || continue
        try "$method /" expect_status 405 "" || break
        [[ $STATUS == 405 ]] || continue
        read_field Allow
        [[ ${FIELD//[ $'\t']/} =~ ^(GET,HEAD|HEAD,GET)$ ]] || explain "Allow: GET, HEAD" "RFC 9110, section 15.5.6" || return 1
        expect_page || return 1
    done
    expect_no_wrong "an answer with status 405" "only GET and HEAD are answered here; get is another method than GET"
}

@test "a file that may not be read gets 403" {
    echo "locked $NAME" >"$HTML/locked-$NAME.html"
    chmod 000 "$HTML/locked-$NAME.html"
    get "/locked-$NAME.html"
    expect_status 403 "open() fails with EACCES: the file is there, but not for us" || return 1
    expect_page
}

@test "a head over 8 KiB gets 431" {
    start=$'GET / HTTP/1.1\r\nHost: test\r\nX: '
    send '%s%0*d\r\n\r\n' "$start" $((8193 - ${#start} - 4)) 0
    expect_status 431 "one byte more than 8192" || return 1
    expect_page || return 1
    send 'GET /%09000d HTTP/1.1\r\nHost: test\r\n\r\n' 0
    expect_status "431|414" "a request line may be too long too"
}

@test "a client that sends a head of 1 MB receives 431" {
    printf -v kilobytes '%065536d' 0
    client send $'GET / HTTP/1.1\r\nHost: test\r\nX: ' repeat 16 "$kilobytes" read >"$ANSWER" ||
        explain "431, and then the end" "close() with unread input resets the connection: read on until the client closes" || return 1
    read_status
    expect_status 431 "answer as soon as 8 KiB have come without a blank line" || return 1
    read_page
    [[ $BODY == *"</"* ]] || explain "the whole page" "the reset has destroyed it"
}

@test "a client that POSTs 1 MB receives 405" {
    printf -v kilobytes '%065536d' 0
    client send $'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n' repeat 16 "$kilobytes" \
        read >"$ANSWER" || explain "405, and then the end" "close() with unread input resets the connection" || return 1
    read_status
    expect_status 405 "the body need not be read to refuse it"
}

@test "out of descriptors for the file, the answer is 503" {
    limit_all() { # to what is open already, in the process that has the client
        find_children
        for process in "$PID" "${FOUND[@]}"; do # a child may end in between
            limit "$process" --nofile="${1:-$(free_descriptor "$process")}:" 2>/dev/null || true
        done
    }
    limit_of_all() { find_children && for process in "$PID" "${FOUND[@]}"; do free_descriptor "$process"; done; }
    settle
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    descriptors=$DESCRIPTORS children=$CHILDREN
    accepted() { look && ((DESCRIPTORS > descriptors || CHILDREN > children)); }
    steady() { local before && before=$(limit_of_all) && pause 0.3 && [[ $(limit_of_all) == "$before" ]] && asleep; }
    mkfifo "$JOB/rest" # the client waits here for the rest of its request
    starve() {
        ((tries == 0)) || limit_all "$soft"
        "$CLIENT" -t "$LIMIT" "$PORT" send G file "$JOB/rest" read >"$ANSWER" 3>&- &
        OTHER=$!
        wait_until "the server accepts the client" accepted
        wait_until "the server's descriptors do not change while its client is silent" steady
        limit_all
        printf 'ET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' | feed "$JOB/rest" || return 1
        on_time
        wait "$OTHER" || explain "the answer, and then the end" "the client exits with $? (3: reset)" || return 1
        read_status
        expect_status 503 "open() fails with EMFILE: that is not the client's fault"
    }
    in_time starve || return 1
    limit_all "$soft"
    expect_page || return 1
    expect_service "with descriptors again, all is well"
}

@test "a version other than HTTP/1 gets 505" {
    for version in HTTP/2 HTTP/2.0 HTTP/3 HTTP/3.0 HTTP/9.9; do
        send 'GET / %s\r\nHost: test\r\nConnection: close\r\n\r\n' "$version"
        if [[ $version == *.* ]]; then expected=505; else expected="505|400"; fi # without a dot it is malformed, too
        try "$version" expect_status "$expected" "" || break
        [[ $STATUS != "$expected" ]] || expect_page || return 1
    done
    expect_no_wrong "an answer with status 505" "RFC 9110, section 15.6.6" || return 1
    send 'GET / HTTP/1.0\r\n\r\n'
    expect_status 200 "HTTP/1.0 is understood"
}

@test "a path that would leave html/ gets 404" {
    for target in /../index.html /..%2findex.html /%2e%2e/secret.txt "/$NAME/../../secret.txt" "/.." "/$NAME/.." \
        "/$NAME/%2e%2E/" //etc/passwd /index.html%00 "/index.html/" "/%2e%2e%2f%2e%2e%2fetc/passwd"; do
        get "$target"
        try "$target" expect_status 404 "" || break
        [[ $STATUS != 404 ]] || expect_page || return 1
    done
    expect_no_wrong "an answer with status 404" "a segment .. is refused, however it is written, also where it would lead back in" || return 1
    echo dots >"$HTML/..$NAME..txt"
    get "/..$NAME..txt"
    expect_status 200 "a name may have dots: only .. as a whole segment leads out"
}

@test "an error response repeats nothing that the client sent" {
    mark="<script>$NAME"
    expect_no_echo() {
        local answer
        IFS= read -r -d '' answer <"$ANSWER" || true
        [[ ${answer,,} != *"<script"* && ${answer,,} != *"${NAME,,}"* ]]
    }
    for line in "GET /$mark HTTP/1.1" "GET /%%3Cscript%%3E$NAME HTTP/1.1" "$mark / HTTP/1.1" "GET / $mark" "GET /%%zz$mark HTTP/1.1" \
        "POST /$mark HTTP/1.1" "GET /$mark HTTP/2.0"; do
        send "$line\r\nHost: $mark\r\nReferer: $mark\r\nConnection: close\r\n\r\n"
        try "$line" expect_no_echo || break
    done
    # The Location of a redirect repeats the query, as it must; its page would have to write &lt; for <.
    get "/$NAME?$mark"
    read_page
    [[ ${BODY,,} != *"<script"* ]] || echo "          GET /$NAME?$mark: $BODY" >>"$JOB/wrong"
    expect_no_wrong "a page with nothing of the request" "what the client sent may be a script, and the page would run it"
}

@test "the log has the status of an error response" {
    mark=$(random_name)
    get "/$mark"
    ask POST "/$mark"
    ask HEAD "/$mark"
    for line in "GET /$mark 404" "POST /$mark 405" "HEAD /$mark 404"; do
        eventually grep -qE "^\[[0-9]+\] $line$" "$LOG" || {
            because_on_stderr "$mark"
            explain "this line on stdout: [process id] $line" "the log ends with: $(said "$LOG")" || return 1
        }
    done
}

# Sets DATE to a time of the past, as HTTP writes it.
http_date() { # SECONDS AGO
    TZ=UTC0 printf -v DATE '%(%a, %d %b %Y %T GMT)T' $((EPOCHSECONDS - $1))
}

@test "every answer has the date" {
    for request in "GET /" "HEAD /" "GET /$NAME" "GET /nothing" "POST /" "GET /%zz"; do
        # shellcheck disable=SC2086
        ask $request
        read_field Date
        [[ $FIELD =~ ^(Mon|Tue|Wed|Thu|Fri|Sat|Sun),\ [0-9]{2}\ [A-Z][a-z]{2}\ [0-9]{4}\ [0-9]{2}:[0-9]{2}:[0-9]{2}\ GMT$ ]] ||
            { http_date 0 && explain "Date: $DATE" "RFC 9110, section 6.6.1, in English, in GMT; here: $FIELD"; } || return 1
        for ((ago = -1; ago <= 20; ago++)); do
            http_date "$ago"
            [[ $DATE != "$FIELD" ]] || break
        done
        ((ago <= 20)) || { http_date 0 && explain "the time of now, in GMT: $DATE" "here: $FIELD: gmtime() is the time \
in Greenwich, localtime() is that of where the server runs"; } || return 1
    done
    ANSWER=$JOB/first read_field Date # the answer to its first request
    first=$FIELD
    later() { get / && read_field Date && [[ $FIELD != "$first" ]]; }
    eventually later || explain "another Date than that of the first answer" "every answer has the time when it is sent; here: $FIELD"
}

@test "an answer is a status line, fields, a blank line" {
    status_line=$'^HTTP/1\\.[01] [0-9]{3} [^[:cntrl:]]*\r\n' field="^[A-Za-z0-9!#\$%&'*+.^_\`|~-]+:"
    for target in / "/$(random_name)"; do
        get "$target"
        read_page
        # The reason may be empty, but not the space before it (RFC 9112, section 4).
        [[ $HEAD =~ $status_line ]] || explain "HTTP/1.1 404 Not Found" "version, status, reason" || return 1
        [[ $HEAD == *$'\n\r\n' ]] || explain "a blank line after the fields" "it ends the head: without it, the page is taken for fields" || return 1
        mapfile -t lines <<<"${HEAD%$'\r\n'}"
        for line in "${lines[@]:1:${#lines[@]}-2}"; do
            [[ $line =~ $field ]] || explain "fields: a name, a colon, a value" "here is: $line" || return 1
            [[ $line == *$'\r' ]] || explain "lines that end in CR LF" "" || return 1
        done
    done
}

@test "an empty line before the request is skipped" {
    for empty in '\r\n' '\n'; do
        send "${empty}GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        expect_status 200 "RFC 9112, section 2.2: at least one empty line before the request line is ignored" || return 1
    done
}

@test "empty lines that come in pieces before the request are skipped" {
    close=$'Host: test\r\nConnection: close\r\n\r\n'
    client send $'\r\n\r\n\r\n' silence 200 send $'\r\n' silence 200 send $'GET / HTTP/1.1\r\n'"$close" read >"$ANSWER" ||
        explain "no answer before the request, and one after it" "after each recv(): is the text ended by a 0, and does its length count what was removed? \
$(said "$JOB/client")" || return 1
    read_status
    expect_status 200 "after each recv(): is the text ended by a 0, and does its length count what was removed?"
}

@test "a request line that is too long gets 414" {
    send 'GET /%09000d HTTP/1.1\r\nHost: test\r\n\r\n' 0
    expect_status 414 "there is no end of a line in the first 8192 bytes: 414 URI Too Long (RFC 9110, section 15.5.15)" || return 1
    expect_page
}

@test "an absolute target is the same as its path" {
    for target in "http://test/$NAME/" "HTTP://test:8080/$NAME/?x=http://y/" "http://[::1]/$NAME/"; do
        get "$target"
        try "$target" expect_file "$HTML/$NAME/index.html" "" || break
    done
    for target in "http://test?x" "http://test"; do
        get "$target"
        try "$target" expect_file "$HTML/index.html" "" || true
    done
    expect_no_wrong "the file of the path" "RFC 9112, section 3.2.2: a server takes http://host/path, too, as a proxy is asked"
}

@test "a name that is too long, or leads round in a circle, gets 404" {
    get "/$(printf '%0300d' 0)"
    expect_status 404 "open() fails with ENAMETOOLONG: there can be no such file" || return 1
    ln -sf "circle-$NAME" "$HTML/circle-$NAME"
    get "/circle-$NAME"
    expect_status 404 "open() fails with ELOOP: a symbolic link leads to itself" || return 1
    get "/index.html/x"
    expect_status 404 "open() fails with ENOTDIR: index.html is no directory"
}
