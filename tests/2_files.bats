#!/usr/bin/env bats
# The request line names a file under html/, and the answer is that file: nothing else, and all of it.
bats_require_minimum_version 1.5.0
load lib/helpers

@test "/ is html/index.html" {
    get /
    expect_file "$HTML/index.html" "/ means the directory html/, and its page is index.html"
}

@test "a path names a file in directories" {
    get "/$NAME/deep/er/$NAME.html"
    expect_file "$HTML/$NAME/deep/er/$NAME.html" "the path is the name of the file under html/"
}

@test "a directory with its last slash is the index.html in it" {
    get "/$NAME/"
    expect_file "$HTML/$NAME/index.html" "/directory/ means /directory/index.html"
}

@test "the query is ignored" {
    get "/$NAME/deep/er/$NAME.html?name=$NAME&page=2"
    expect_file "$HTML/$NAME/deep/er/$NAME.html" "a file's name ends before the ?" || return 1
    get "/?../../$NAME%zz"
    expect_file "$HTML/index.html" "what follows the ? is no path"
}

@test "%XX is decoded: names with spaces, signs and Chinese characters work" {
    random_name >"$HTML/a b+c%d 中文.html"
    for target in /a%20b+c%25d%20%E4%B8%AD%E6%96%87.html /%61%20b%2Bc%25d%20%e4%b8%ad%e6%96%87.html; do
        get "$target"
        try "$target" expect_file "$HTML/a b+c%d 中文.html" "" || break
    done
    expect_no_wrong "the file \"a b+c%d 中文.html\"" "%20 is a space, %E4%B8%AD is 中, either case of letters; + is a +" || return 1
    random_name >"$HTML/$NAME+1.html"
    get "/$NAME+1.html"
    expect_file "$HTML/$NAME+1.html" "a + in a path is a +: it means a space in the query of a form, and nowhere else" || return 1
    random_name >"$HTML/$NAME%41.html"
    get "/$NAME%2541.html"
    expect_file "$HTML/$NAME%41.html" "%25 is %, and what stands behind it then is not decoded again" || return 1
    random_name >"$HTML/$NAME?1.html"
    get "/$NAME%3F1.html?2"
    expect_file "$HTML/$NAME?1.html" "%3F is a ? in the name: the query is cut off first, and then the rest is decoded" || return 1
    random_name >"$HTML/README-$NAME.TXT"
    get "/README-$NAME.TXT"
    expect_file "$HTML/README-$NAME.TXT" "capital letters are other letters than small ones" || return 1
    mkdir -p "$HTML/$NAME x"
    random_name >"$HTML/$NAME x/index.html"
    get "/$NAME%20x/"
    expect_file "$HTML/$NAME x/index.html" "directories too have names with spaces"
}

@test "a name may have 255 bytes, and stand deep in directories" {
    printf -v long '%0240d' 0
    path=$NAME/$long/1/$long/2/$long/3/$long/$long.html
    mkdir -p "$HTML/${path%/*}"
    random_name >"$HTML/$path"
    get "/$path"
    expect_file "$HTML/$path" "a name may have 255 bytes, and a path 4095 (NAME_MAX, PATH_MAX): is the array for it large enough?"
}

@test "bytes that are no UTF-8 are bytes like any other" {
    send 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nReferer: http://test/\xd6\xd0\xff\r\n\r\n'
    expect_status 200 "a field may have any bytes above 127 (RFC 9110, section 5.5): to decode them as UTF-8 fails" || return 1
    get "/$NAME%d6%d0%ff.html"
    expect_no_file "404|400" "to decode %D6 as UTF-8 fails: it is a byte of some name, of a file that is not there"
}

@test "a file of any bytes arrives to the byte" {
    get "/$NAME.bin"
    expect_file "$HTML/$NAME.bin" "send the bytes of the file, zeros included, once, and nothing else"
}

@test "a change in a file is seen without starting the server again" {
    for target in /index.html "/$NAME/index.html" /index.html; do
        random_name >>"$HTML$target"
        as_it_is() { get "${target%index.html}" && is_body "$HTML$target"; }
        eventually as_it_is || expect_file "$HTML$target" "a page is read when it is asked for, not when the server starts, and not only once" || return 1
    done
}

@test "an empty file is an empty page" {
    : >"$HTML/empty-$NAME"
    get "/empty-$NAME"
    [[ -s $ANSWER ]] || explain "an answer" "a file without bytes is a file"
    expect_file "$HTML/empty-$NAME" "a file without bytes is a file"
}

@test "a reader that pauses gets the whole of a large file" {
    random_bytes 12000000 >"$HTML/large-$NAME"
    printf 'GET /large-%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$NAME" >"$SENT"
    # It reads on after 2.5 s. One try that is not much longer shows that the server goes on then, too; a busy machine needs several.
    for _ in {1..6}; do
        start=${EPOCHREALTIME/./}
        receive -t 60 -b 50000 file "$SENT" wait 2500 read || return 1
        ms=$(((${EPOCHREALTIME/./} - start) / 1000))
        expect_file "$HTML/large-$NAME" "send() may take less than it is given: go on with the rest; a reader that takes nothing for 3 s has not left" || return 1
        ((ms >= 6000)) || return 0
    done
    # As many bytes in pieces that never fill the socket: that is how fast this machine is now.
    start=${EPOCHREALTIME/./}
    client -t 120 -r 40 send "GET /$NAME.bin HTTP/1.1"$'\r\nHost: test\r\nConnection: close\r\n\r\n' read >/dev/null
    ((ms < 6000 + (${EPOCHREALTIME/./} - start) / 500)) ||
        explain "the file in less than 6 s" "it took $ms ms: the server does not see that there is room to send again"
}

# bats test_tags=slow
@test "a reader that is slow, but never stops, gets the whole of a large file" {
    random_bytes 12000000 >"$HTML/large-$NAME" # a third of it may wait in the kernel
    printf 'GET /large-%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$NAME" >"$SENT"
    receive -t 60 -b 100000 file "$SENT" slowly 80000 80
    expect_file "$HTML/large-$NAME" "go on with the rest when send() takes less than it is given; 5 s without progress end a connection, not 5 s in all"
}

@test "a file of more than 2 GiB is sent" {
    for size in 3221225472 4294968296; do # as an int, the one is below 0, and the other is 1000
        random_bytes 1000000 >"$HTML/sparse-$size-$NAME"
        truncate -s "$size" "$HTML/sparse-$size-$NAME"
        client send "GET /sparse-$size-$NAME HTTP/1.1"$'\r\nHost: test\r\nConnection: close\r\n\r\n' take 1100000 >"$ANSWER" || true
        read_field Content-Length
        hint="a size is an off_t: an int ends at 2 GiB"
        [[ -z $FIELD || $FIELD == "$size" ]] || explain "Content-Length: $size" "$hint; here: $FIELD" || return 1
        cmp -s -n 1000000 "$HTML/sparse-$size-$NAME" <(body) ||
            explain "the first bytes of a file that has $size" "$hint; here are $(body | wc -c) bytes" || return 1
    done
}

# bats test_tags=slow,given
@test "a reader that stops is dropped" {
    truncate -s 1G "$HTML/huge-$NAME"
    settle
    descriptors=$DESCRIPTORS children=$CHILDREN
    start=$SECONDS
    hold -b 4096 send "GET /huge-$NAME HTTP/1.0"$'\r\n\r\n' answer-head
    alone() { look && ((DESCRIPTORS <= descriptors && CHILDREN <= children)); }
    within 40 alone || { because_of_children "$children" && explain "the client dropped, its socket and its file closed" \
        "$((SECONDS - start)) s later the server still has them: no send() may wait for ever (SO_SNDTIMEO)"; } || return 1
    ((SECONDS - start >= 4 || STAGE < 6)) || explain "5 s of patience" "it took $((SECONDS - start)) s"
    expect_service "the server goes on"
    release
}

# bats test_tags=given
@test "a client that leaves in the middle of a download does not end the server" {
    truncate -s 1G "$HTML/huge-$NAME"
    for leave in close reset; do
        client -r 5 send "GET /huge-$NAME HTTP/1.0"$'\r\n\r\n' wait 30 "$leave"
    done
    expect_service "send() fails when the client is gone (SIGPIPE, EPIPE, ECONNRESET); the server goes on"
}

@test "200 clients at once get each their own file" {
    need_descriptors $((STAGE < 7 ? 250 : 500)) # for curl; and from stage 7 on, all clients and their files are in one process
    mkdir -p "$HTML/many" "$JOB/many"
    text=$(random_bytes 5000 | base64)
    for ((i = 1; i <= 200; i++)); do
        echo "file $i $NAME $RANDOM ${text:0:RANDOM % 5000}" >"$HTML/many/$i.txt"
    done
    curl --silent --show-error --max-time "$LIMIT" --parallel --parallel-immediate --parallel-max 200 \
        --output "$JOB/many/#1.txt" "http://127.0.0.1:$PORT/many/[1-200].txt" 2>"$JOB/client" 3>&- ||
        explain "200 answers to curl" "is something shared between two clients? does a connection wait that nobody accepts? curl says: $(said "$JOB/client")" || return 1
    wrong=$(diff -rq "$HTML/many" "$JOB/many" | wc -l)
    ((wrong == 0)) || explain "200 files, each as it is under html/" \
        "$wrong are not: is something shared between two clients? does a connection wait that nobody accepts?"
}

# bats test_tags=until:2
@test "a request that names no file ends without a byte, and the reason is on stderr" {
    for target in "/$(random_name)" "/$NAME" /%zz "/index.html/"; do
        known=$(count_lines "$ERRORS")
        complained() { (($(count_lines "$ERRORS") > known)); }
        get "$target"
        expect_no_file - "stage 2 closes the connection, and sends no byte before the file is open" || return 1
        wait_until "a line on stderr that says why $target gets no answer" complained || return 1
    done
    result=0
    curl --silent --max-time "$LIMIT" "http://127.0.0.1:$PORT/$(random_name)" >"$ANSWER" 3>&- || result=$?
    ((result == 52)) || explain "that curl says (52) Empty reply from server" "it ends with $result: close the connection, and send nothing" || return 1
    expect_service "the server goes on"
}

# What must not be served, whatever is done to reach it.
@test "nothing outside html/ is served" {
    expect_nothing_secret() { # stage 2 sends nothing at all
        [[ -s $ANSWER ]] || return 0
        ! grep -aqE "secret $NAME|^root:" "$ANSWER"
    }
    mkdir -p "$HTML/..$NAME" "$SITE/html-private" "$SITE/html$NAME"
    for secret in html-private html$NAME; do echo "secret $NAME" >"$SITE/$secret/secret.txt"; done
    echo "secret $NAME" >"$SITE/html.txt"
    for target in /../secret.txt /..%2fsecret.txt /%2e%2e/secret.txt /%2E%2E%2Fsecret.txt \
        /.%2e/secret.txt "/$NAME/../../secret.txt" "/$NAME/..%2f../secret.txt" /./../secret.txt \
        //../secret.txt "//$SITE/secret.txt" "$SITE/secret.txt" "/%2f$SITE/secret.txt" ../secret.txt secret.txt \
        /....//secret.txt /..././secret.txt "/..$NAME/../../secret.txt" "/index.html%00/../../secret.txt" "/..%00/secret.txt" '/..\secret.txt' /%252e%252e/secret.txt \
        //etc/passwd /etc/passwd ///etc/passwd /../../../../../../../../etc/passwd \
        "http://test/../secret.txt" "/$NAME/deep/../../../secret.txt?" "/..//secret.txt" /.. \
        /../html-private/secret.txt "/../html$NAME/secret.txt" "/$NAME/../../html-private/secret.txt" -private/secret.txt \
        .txt /../html.txt "$SITE/html-private/secret.txt" "/%2e%2e/html$NAME/secret.txt"; do
        get "$target"
        try "$target" expect_nothing_secret || break
        ((STAGE > 2)) || try "$target" expect_no_file - "" || break
    done
    expect_no_wrong "no byte of a file outside html/" \
        "look for .. as a segment after %XX is decoded; a 0 byte ends a C string; // is no second root; html-private/ and html.txt \
beside html/ are outside it, though their names begin so"
}

@test "an encoded 0 byte does not cut a name short" {
    get "/index.html%00.txt"
    expect_no_file 404 "the name decodes to more than C sees of it: refuse it"
}

@test "a FIFO is no file, and opening it holds nobody up" {
    hint="open() of a FIFO waits for a writer, unless O_NONBLOCK; fstat() tells what it is"
    IF_SILENT=$hint get "/$NAME.fifo"
    expect_no_file "404|403" "$hint"
}

@test "a device is no file" {
    get "/$NAME.device"
    expect_no_file "404|403" "fstat() and S_ISREG() tell a regular file"
}

@test "a socket is no file" {
    (cd "$HTML" && perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die' "$NAME.socket")
    get "/$NAME.socket"
    expect_no_file "404|403" "open() of a socket fails with ENXIO: there is no such file to read"
}

# bats test_tags=until:2
@test "stderr tells a path outside html/ from a file that does not exist" {
    reason() { # TARGET : what stderr says after the target
        local known line
        known=$(count_lines "$ERRORS")
        complained() { (($(count_lines "$ERRORS") > known)); }
        get "$1"
        wait_until "a line on stderr that says which target names no file, and why" complained >&2 || return 1
        line=$(tail -n 1 "$ERRORS")
        [[ $line == *"$1"* ]] || explain "the target $1 in the line on stderr" "it says: $line" >&2 || return 1
        echo "${line##*"$1"}"
    }
    outside=$(reason "/../$NAME.bin")
    missing=$(reason "/$(random_name)")
    [[ $outside != "$missing" ]] || explain "two reasons: one for a path outside html/, one for a missing file" "stderr says for both: $missing"
}

@test "without html/ the server does not start, and says where to start it" {
    mkdir -p "$PLACE/empty"
    # shellcheck disable=SC2046
    try_server "$PLACE/empty" $(port_arguments "$(free_port)")
    expect_end 1 || return 1
    complains "*html*" ||
        explain "one line on stderr that names html/" "it says: $(said "$JOB/complaint")"
}

@test "a request is logged in one line: process, method, target, status" {
    target="/?$(random_name)" # every stage answers this with 200
    printf -v long '/?%05000d' 0
    get "$long" # its line may be cut, but it is a line
    get "$target"
    line="GET $target 200"
    other() { grep -aF "$target" "$LOG" | tail -n 1 | printable; }
    eventually grep -qaF "$target" "$LOG" && because "the line of a request in the log is not [process id] $line, but $(other)"
    because_on_stderr "$target"
    eventually grep -qE "^\[[0-9]+\] ${line//\?/\\?}$" "$LOG" || explain "this line on stdout: [process id] $line" \
        "print it when the answer is known, with a line end, and flush it: stdout is no terminal here; it ends with: $(said "$LOG")" || return 1
    [[ $(grep -cF "$line" "$LOG") == 1 ]] || explain "one line" "the log: $(said "$LOG")" || return 1
    [[ $STAGE == 6 ]] || expect_own_id "$(sed -nE "s|^\[([0-9]+)\] ${line//\?/.}\$|\1|p" "$LOG")"
}

# bats test_tags=given
@test "no control character of a client reaches the terminal" {
    send 'GET /\033[31m\007\177x HTTP/1.1\r\nHost: \033[0m\r\nConnection: close\r\n\r\n'
    get "/%1b%5b31m%07%7f"
    expect_service "the server lives on"
    ! LC_ALL=C grep -qP '[\x07\x1b\x7f]' "$LOG" "$ERRORS" || explain "only printable characters in the log" \
        "%1B is ESC when it is decoded; ESC [ 3 1 m in a log makes the terminal red, and worse is possible: $(said "$LOG")"
}

@test "what a client sends after the head, in whatever pieces, does not destroy the answer" {
    whole() { # HINT ACTION... : the answer comes, and then the end, not a reset
        client "${@:2}" read >"$ANSWER" || explain "the whole answer, and then the end" "$1; $(said "$JOB/client")" || return 1
        read_status
        [[ -n $STATUS ]] || explain "an answer" "$1"
    }
    hint="to close a socket with unread input resets the connection: read on until the client closes, or its time is up"
    close=$'HTTP/1.1\r\nHost: test\r\nConnection: close\r\n'
    post="POST / $close"$'Content-Length: 100000\r\n\r\n'
    printf -v hundred '%0100d' 0
    # The body follows the end of the answer: what comes while the server still sends may look like input that it has seen.
    whole "a body that comes later: $hint" send "$post" await-end 500 send abc wait 200 repeat 999 "$hundred" || return 1
    whole "a body in pieces: $hint" send "${post}abc" await-end 500 send def wait 200 repeat 999 "$hundred" || return 1
    printf -v more '%05000d' 0 # in one piece with the head: what comes after the answer may still destroy it
    whole "input after a GET: $hint" send "GET / $close"$'\r\n'"$more" || return 1
    random_bytes 12000000 >"$HTML/large-$NAME" # more than the kernel takes at once
    whole "input during the answer: $hint" send "GET /large-$NAME $close"$'\r\n' wait 100 send "more" || return 1
    expect_file "$HTML/large-$NAME" "$hint"
}

@test "a POST of 1 MB is answered, though nobody reads its body" {
    head=$'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n'
    printf -v kilobytes '%065536d' 0
    client send "$head" repeat 16 "$kilobytes" read >"$ANSWER" || explain "an answer, and then the end" \
        "close() with unread input resets the connection, and the answer is lost: read on until the client closes" || return 1
    read_status
    [[ -n $STATUS ]] || explain "an answer" "read on after the answer, until the client closes"
}

# bats test_tags=slow
@test "a file that was not sent whole ends with a reset" {
    truncate -s 1G "$HTML/huge-$NAME"
    rm -f "$JOB/go"
    mkfifo "$JOB/go" # the client reads no more, until the server has given it up
    printf 'GET /huge-%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$NAME" >"$SENT"
    "$CLIENT" -t 90 -b 4096 "$PORT" file "$SENT" answer-head file "$JOB/go" read >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    alone() { pause 0.9 && ! has_client; } # it takes seconds: there is no hurry
    wait_until "the server accepts a client that does not read" has_client
    within 50 alone || explain "a client that does not read is dropped" "it is still connected: no send() may wait for ever" || return 1
    feed "$JOB/go" </dev/null
    result=0
    wait "$OTHER" || result=$?
    # With a Content-Length, or chunks of which the last is missing, a client knows that it has not all.
    ((result == 3)) || ! is_whole || { rm -f "$ANSWER" && explain "a reset: the client's recv() fails" "the connection ends as if the \
file were whole, and curl says nothing. SO_LINGER with a time of 0 makes close() send a reset"; }
}
