#!/usr/bin/env bats
# A socket that listens, the head of a request, an answer, the end: what every stage does.
bats_require_minimum_version 1.5.0
load lib/helpers

@test "the server listens on the port that it is given, and stages 1 to 4 on 8080" {
    ((PORT == ASKED)) && return
    because "the server listens on port $PORT, whatever port it is given"
    explain "a server on port $ASKED" "in stages 1 to 4 it is 8080, later the first argument; it goes through htons()"
}

@test "the server says in one line where it listens" {
    explain_start() { explain "the line \"listening on http://127.0.0.1:$PORT/\" first on stdout" \
        "print it, and flush it, as soon as listen() has succeeded; here: $(said "$LOG")"; }
    eventually test -s "$LOG" || explain_start || return 1
    IFS= read -r line <"$LOG" || true
    [[ $line == "listening on http://127.0.0.1:$PORT/" ]] || explain_start
}

# bats test_tags=until:1
@test "every request is answered with 200 and hello world" {
    for request in "GET / HTTP/1.1" "GET /$(random_name) HTTP/1.0" "POST /x HTTP/1.1" "$(random_name)"; do
        send '%s\r\nHost: test\r\n\r\n' "$request"
        try "$request" expect_status 200 "" || break
        read_page
        [[ -s $JOB/wrong || $BODY == "hello world"*([$'\r\n']) ]] || explain "hello world as the body, and no byte after it" \
            "a blank line ends the head; \"hello world\" has 11 bytes: sizeof counts the 0 at its end, too" || return 1
    done
    expect_no_wrong "an answer with status 200" "stage 1 answers anything"
}

@test "a request in two pieces is answered once, after the blank line" {
    client send $'GET / HTTP/1.1\r\nHost: te' silence 300 send $'st\r\nConnection: close\r\n\r\n' read \
        >"$ANSWER" || { because_reset && explain "no answer before the blank line, and an end after it" "one recv() need not be the whole request"; } || return 1
    read_status
    expect_status 200 "receive until the blank line has come" || return 1
    read_page
    [[ $BODY != *HTTP/1.[01]\ * ]] || explain "one answer" "a piece is no request" || return 1
    receive send $'GET / HTTP/1.1\r\nHost: test\r\n' shutdown read
    [[ $STATUS != 200 ]] || explain "no page" "the client has ended its half of the connection, but its request has no blank line"
}

@test "a request is answered in whatever pieces it comes" {
    printf 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' >"$SENT"
    for size in 1 2 3 7 40; do
        receive pieces "$size" "$SENT" read || return 1
        try "in pieces of $size bytes" expect_status 200 "" || break
    done
    expect_no_wrong "an answer with status 200" "one recv() need not be the whole request; the blank line itself may come in pieces"
}

@test "a head whose lines end with LF alone is answered, as nc sends it" {
    for ends in '\n \n' '\n \r\n' '\r\n \n'; do
        line=${ends% *} last=${ends#* }
        IF_SILENT="a line may end with LF alone (RFC 9112, section 2.2): a blank line is LF after LF, or LF CR LF" \
            send "GET / HTTP/1.1${line}Host: test${line}Connection: close$line$last" || return 1
        try "lines that end with $line, and $last as the blank line" expect_status 200 "" || break
    done
    expect_no_wrong "an answer with status 200" "a person who types a request into nc sends LF alone (RFC 9112, section 2.2)"
}

@test "a browser's request is answered" {
    how="read"
    ((STAGE < 9)) || how="answer" # the connection stays open
    for program in Chromium Firefox curl; do
        read_request_of "$program"
        printf '%s' "$REQUEST" >"$SENT"
        receive file "$SENT" "$how" || return 1
        try "$program, ${#REQUEST} bytes" expect_status 200 "" || break
    done
    expect_no_wrong "an answer with status 200" "a browser sends a dozen fields, and lines of hundreds of bytes: is every \
array large enough for them?$( ((STAGE != 6)) || echo " A child that dies (SIGSEGV) closes the connection without an answer")"
}

@test "a head with long lines, or many of them, is answered" {
    printf -v long '%07500d' 0
    printf -v fields 'X-%s: 1\r\n' {1..600}
    printf -v segments '/a%.0s' {1..1800}
    missing="404|414" method="400|405|501" directory=301
    ((STAGE > 1)) || missing=200 method=200 directory=200
    answered() { # WHAT STATUS LINE [FIELDS]
        send '%s\r\nHost: test\r\nConnection: close\r\n%s\r\n' "$3" "${4:-}" || return 1
        try "$1" expect_status "$2" ""
    }
    all_of() { # SIZE: what has so many bytes
        answered "a query of $1 bytes" 200 "GET /?${long:0:$1} HTTP/1.1" &&
            answered "a field of $1 bytes" 200 "GET / HTTP/1.1" "X: ${long:0:$1}"$'\r\n' || return 1
        ((STAGE == 2)) || # it answers nothing but files
            { answered "a target of $1 bytes" "$missing" "GET /${long:0:$1} HTTP/1.1" &&
                answered "a method of $1 bytes" "$method" "${long:0:$1} / HTTP/1.1" &&
                answered "a host of $1 bytes in the target" 200 "GET http://${long:0:$1}/ HTTP/1.1" &&
                answered "a directory, and a query of $1 bytes" "$directory" "GET /$NAME?${long:0:$1} HTTP/1.1"; }
    }
    for size in 100 300 1100 4200 7500; do all_of "$size" || break; done
    answered "600 fields" 200 "GET / HTTP/1.1" "$fields" || true
    answered "the name of a field with 7500 bytes" 200 "GET / HTTP/1.1" "$long: 1"$'\r\n' || true
    ((STAGE == 2)) || answered "a target of 1800 segments" "$missing" "GET $segments HTTP/1.1" || true
    expect_no_wrong "an answer" "a head may have 8192 bytes, and all of them may be in one line, or one word: no array for a \
part of it may be smaller, unless lengths are checked$( ((STAGE != 6)) || echo "; a child that dies (SIGSEGV) sends no answer")"
}

@test "a head of 8 KiB is not too long" {
    start=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX: '
    send '%s%0*d\r\n\r\n' "$start" $((8192 - ${#start} - 4)) 0
    [[ $(wc -c <"$SENT") == 8192 ]]
    expect_status 200 "the head, with its blank line, may have 8192 bytes"
}

# bats test_tags=until:8
@test "the connection ends after one answer, which says so" {
    send 'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
    expect_status 200 "the status line is: HTTP/1.1 200 OK" || return 1
    # An answer that is HTTP/1.0 need not say so (RFC 9112, section 9.3).
    read_plain_field Connection
    read -r version _ <"$ANSWER"
    [[ $version == HTTP/1.0 || $FIELD == close ]] ||
        explain "Connection: close" "HTTP/1.1 stays open unless the answer says otherwise" || return 1
    for request in "GET /$(random_name)" "GET /$NAME" "GET /%zz" "HEAD /" "POST /"; do
        # shellcheck disable=SC2086
        ask $request
        [[ -s $ANSWER ]] || continue
        read_plain_field Connection
        read -r version _ <"$ANSWER"
        [[ $version == HTTP/1.0 || $FIELD == close ]] || explain "Connection: close" "error responses say so, too" || return 1
    done
    request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'
    send "$request$request"
    read_page
    [[ $BODY != *HTTP/1.[01]\ * ]] || explain "one answer, and the end" \
        "two requests in one piece got two answers: after Connection: close nothing more is answered"
}

@test "an answer is as long as it says, and no byte longer" {
    : >"$HTML/empty-$NAME"
    for request in "GET /" "GET /$NAME.bin" "GET /empty-$NAME" "GET /$(random_name)" "GET /$NAME" "GET /%zz" "POST /"; do
        # shellcheck disable=SC2086
        ask $request
        [[ ! -s $ANSWER ]] || is_whole || echo "          $request: $PROBLEM" >>"$JOB/wrong"
        read_page
        [[ $request == *.bin || $BODY != *'\0' ]] || echo "          $request: a 0 byte ends its page" >>"$JOB/wrong"
    done
    expect_no_wrong "bodies as long as Content-Length says, or chunks that end, or neither" \
        "Content-Length counts bytes, not characters (中 has 3); sizeof counts the 0 that ends a string, strlen() does not" || return 1
    send 'GET / HTTP/1.0\r\n\r\n'
    read_field Transfer-Encoding
    [[ -z $FIELD ]] ||
        explain "no Transfer-Encoding in an answer to HTTP/1.0" "such a client does not know chunks (RFC 9112, section 6.1)"
}

@test "a 0 byte in a head is a byte like any other" {
    IF_SILENT="does strstr() look for the blank line? It takes the 0 for the end of the string" \
        send 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX: a\000b\r\n\r\n' || return 1
    expect_status "200|400" "does strstr() look for the blank line? It takes the 0 for the end of the string"
}

@test "what a client sends is no format of printf" {
    expected=()
    for format in %s%s%s%s%s%s%s%s %n%n%n%n%n%n%n%n %99999d%x%x %5\$n%c; do
        mark=$(random_name)
        send 'GET /?%s HTTP/1.1\r\nHost: test\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n' "$mark$format" "$format"
        try "$format" expect_status 200 "" || break
        expected+=("$mark$format")
    done
    hint="printf(text) takes each % in the text for a conversion, and %n writes into memory: printf(\"%s\", text)"
    expect_no_wrong "an answer with status 200" "$hint" || return 1
    expect_service "$hint" || return 1
    for format in "${expected[@]}"; do # a line with the random name of a request has all of its target
        ! grep -qF "${format%%\%*}" "$LOG" || grep -qF "$format" "$LOG" ||
            explain "?$format in the log" "$hint; it has: $(said "$LOG")" || return 1
    done
}

@test "a client that has shut down its sending half gets its answer" {
    half_closed() { grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$PORT") [0-9A-F]+:[0-9A-F]+ 08 " /proc/net/tcp; }
    target=/ file=$HTML/index.html
    ((STAGE == 1)) || { target=/large-$NAME file=$HTML$target && random_bytes 12000000 >"$file"; }
    printf 'GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$target" >"$SENT"
    settle
    kill -STOP "$PID" # so that all has come when the server looks
    "$CLIENT" -t "$LIMIT" "$PORT" file "$SENT" shutdown read >"$ANSWER" 2>"$JOB/client" 3>&- &
    OTHER=$!
    all_sent() { half_closed || ! alive "$OTHER"; } # it has its answer already if the server has other processes
    within "$LIMIT" all_sent || { kill -CONT "$PID" && explain "a client that connects" "it does not"; } || return 1
    kill -CONT "$PID"
    wait "$OTHER" || true
    read_status
    hint="it has nothing more to send, but it still receives: recv() returns 0, and epoll says EPOLLRDHUP, for such a client, too"
    expect_status 200 "$hint" || return 1
    ((STAGE == 1)) || expect_file "$file" "$hint"
}

# bats test_tags=until:1
@test "a request is logged in one line: process, bytes, status" {
    logged() { grep -cE '^\[[0-9]+\] [0-9]+ bytes 200$' "$LOG" || true; }
    id() { sed -nE '$s/^\[([0-9]+)\].*/\1/p' "$LOG"; }
    before=$(logged)
    get "/$(random_name)"
    one_more() { (($(logged) == before + 1)); }
    eventually one_more || explain "one more line such as [4242] 78 bytes 200 on stdout" \
        "print it when the request is known, and flush it: stdout is no terminal here; it ends with: $(said "$LOG")" || return 1
    expect_own_id "$(id)"
}

@test "only this machine is served" {
    # 127.0.0.2 is this machine too, but another address: who listens on 0.0.0.0 has it as well.
    ! grep -qsE "^ *[0-9]+: 00000000:$(printf %04X "$PORT") 0+:0000 0A" /proc/net/tcp || explain \
        "a server that listens on 127.0.0.1" "it listens on 0.0.0.0: the whole campus network gets in"
    ! grep -qsE ":$(printf %04X "$PORT") 0+:0000 0A" /proc/net/tcp6 || explain \
        "a server that listens on 127.0.0.1" "it listens on an IPv6 address"
}

@test "a port that is taken is named in one line, and the exit status is 1" {
    # shellcheck disable=SC2046
    try_server "$SITE" $(port_arguments "$PORT")
    if ((ENDED == 137)); then
        # shellcheck disable=SC2046
        start_other "$PLACE/server" $(port_arguments "$PORT")
        two() { (($(grep -ciE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$PORT") 0+:0000 0A" /proc/net/tcp) > 1)); }
        ! eventually two || because "two servers can have the same port at once: SO_REUSEPORT is set (SO_REUSEADDR | SO_REUSEPORT is that one, too)"
    fi
    expect_end 1 "bind() and listen() return -1 then" || return 1
    # The words are those of the C library, but every language has its own way to write them.
    complains "*$PORT*" && grep -qiE 'address (already )?in use|EADDRINUSE|AddrInUse' "$JOB/complaint" ||
        explain "one line such as: bind 127.0.0.1:$PORT: Address already in use" "it says: $(said "$JOB/complaint")"
}

@test "the server can be started again at once" {
    hold send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' read
    kill_server
    wait_until "nobody listens on the port of a server that has ended" eval "! listens $PORT"
    because "the server cannot be started again: its old connections still linger (the notes: 2msl), and it does not set SO_REUSEADDR"
    launch >"$JOB/scene" || { discard "$JOB/explained" && explain "a server that starts" "it says: $(said "$ERRORS")"; } || return 1
    release
    expect_service "the new server serves"
}

@test "a server that is stopped and continued loses no client" {
    stop_and_continue() {
        rm -f "$JOB/rest"
        mkfifo "$JOB/rest" # the client waits here for the rest of its request
        "$CLIENT" -t "$LIMIT" "$PORT" send $'GET / HTTP/1.1\r\nHost: te' file "$JOB/rest" read >"$ANSWER" 2>"$JOB/client" 3>&- &
        OTHER=$!
        wait_until "the server accepts the client" has_client || return 1
        wait_until "the server waits for the rest of the request" asleep || return 1
        kill -STOP "$PID" "${FOUND[@]}" || true # a child may end in between
        wait_until "the server is stopped" all_are T || return 1
        kill -CONT "$PID" "${FOUND[@]}" || true
        printf 'st\r\nConnection: close\r\n\r\n' | feed "$JOB/rest" || true
        on_time
        wait "$OTHER" || true
        read_status
        expect_status 200 "after Ctrl-Z and fg, or when strace -p looks at the server, a recv() that waits fails with EINTR: that is no failure, call it again"
    }
    in_time stop_and_continue
}

@test "a client that resets its connection does not end the server" {
    request=$'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
    client -r 20 reset
    client -r 20 send "GET / HT" reset
    client -r 20 send "$request" reset
    client -r 20 send "$request$request" wait 2 reset
    client -r 20 send "$request" shutdown reset
    hold # so that the next ones are gone before a server with one process looks at them
    client -n 3 send "$request" shutdown reset
    release
    expect_service "recv() from such a client fails with ECONNRESET, send() with EPIPE: close it, and go on"
}

@test "a client that leaves at any moment does not end the server" {
    request=$'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
    for ((length = 0; length < ${#request}; length += 5)); do
        client -r 5 send "${request:0:length}" close
        client -r 5 send "${request:0:length}" shutdown read >/dev/null ||
            { because_reset && explain "the end of the connection" "recv() returns 0: no more will come"; } || return 1
    done
    client -r 20 send "$request" close
    expect_service "recv() returns 0, and the server goes on"
}

@test "garbage does not end the server" {
    random_bytes 5000 | tr -d '\r\n' >"$SENT"
    client file "$SENT" close
    random_bytes 100000 >"$SENT"
    client file "$SENT" close
    printf '\0\0\0\r\n\r\n' >"$SENT"
    client file "$SENT" read >/dev/null || true
    expect_service "a request can be any bytes, and of any length"
}

# bats test_tags=slow
@test "a client that says nothing is dropped after 5 seconds" {
    ((LIMIT <= 15)) || LIMIT=15
    expect_drop "$(client closed || true)" "no recv() may wait for ever (SO_RCVTIMEO)"
}

@test "a client that stays connected after its answer keeps nobody waiting" {
    # One try that is fast enough shows it: on a busy machine, each of them may be slow.
    for _ in 1 2 3; do
        hold send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' answer-head
        start=${EPOCHREALTIME/./}
        expect_service "the next client has no answer" || return 1
        ms=$(((${EPOCHREALTIME/./} - start) / 1000))
        release
        ((ms >= 2500)) || return 0
    done
    explain "an answer to the next client at once" "it took $ms ms: does the server wait until the first client \
closes its connection? A client with nothing more to send is closed at once"
}

@test "500 requests later, nothing has leaked" {
    # Long requests: who keeps a copy of each, or of its target, has 2 MiB more in the end.
    printf -v query '?%06000d' 0
    printf -v close 'Host: test\r\nX: %01500d\r\nConnection: close\r\n\r\n' 0
    requests() {
        client -t 120 -r "$1" send "GET /$query HTTP/1.1"$'\r\n'"$close" read
        client -t 120 -r "$1" send "GET /nothing$query HTTP/1.1"$'\r\n'"$close" read
        client -t 120 -r "$1" send "GET /$NAME$query HTTP/1.1"$'\r\n'"$close" read
        client -t 120 -r "$1" send "GET /$NAME.bin$query HTTP/1.1"$'\r\n'"$close" reset
        client -t 120 -r "$1" send "bad"$'\r\n'"$close" read
        client -t 120 -r "$1" send "HEAD /$NAME.bin HTTP/1.1"$'\r\n'"$close" read
        client -t 120 -r 20 send "GET /$NAME.device HTTP/1.1"$'\r\n'"$close" read
    }
    requests 10 >/dev/null
    # The children and threads of clients that have left may take a moment to end.
    settled() { look && ((CHILDREN <= children && THREADS <= threads && DESCRIPTORS <= descriptors)); }
    settle
    children=$CHILDREN threads=$THREADS descriptors=$DESCRIPTORS memory=$(resident_kb)
    requests 100 >/dev/null
    eventually settled || { because_of_children "$children" && explain "as many children, threads and descriptors as before: $children, $threads, $descriptors" \
        "now there are $CHILDREN, $THREADS, $DESCRIPTORS: what is opened for a client must be closed"; } || return 1
    ! measures_memory || (($(resident_kb) < memory + 2048)) || explain "no more memory than before" "$memory KiB before, $(resident_kb) now"
}

# Takes all descriptors from the server but those that it has.
take_descriptors() {
    local lowest
    settle
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    for _ in 1 2 3; do
        lowest=$(free_descriptor "$PID")
        limit "$PID" --nofile="$lowest:"
        # The accept() that waits already has its descriptor; it is the next one that fails.
        "$CLIENT" -t 2 "$PORT" send $'GET / HTTP/1.0\r\n\r\n' read >/dev/null 2>&1 3>&- || true
        # Has an earlier client left only now, and given one back?
        (($(free_descriptor "$PID") < lowest)) || return 0
    done
}
give_descriptors() {
    alive "$PID" || explain "a server that goes on" "accept() has failed with EMFILE: wait, and try again" || return 1
    limit "$PID" --nofile="$soft:"
    release
}

# bats test_tags=slow
@test "out of descriptors, the server waits, and serves again when some are free" {
    take_descriptors
    hold send $'GET / HTTP/1.0\r\n\r\n'
    ! alive "$PID" || percent=$(percent_running)
    give_descriptors || return 1
    expect_service "accept() fails with EMFILE, later it works again" || return 1
    ((STAGE == 8 || percent < BUSY)) || explain "a server that waits" "it runs for $percent% of the time: accept() fails at once, again and again"
}

# bats test_tags=slow
@test "an accept() that fails leaves a line on stderr" {
    lines() { count_lines "$ERRORS"; }
    before=$(lines)
    take_descriptors
    hold send $'GET / HTTP/1.0\r\n\r\n'
    complained() { (($(lines) > before)); }
    eventually complained || { explain "a line on stderr" "accept() fails with EMFILE: say so with perror()" || give_descriptors || true; return 1; }
    before=$(lines) start=${EPOCHREALTIME/./}
    pause 1.5
    complaints=$(($(lines) - before)) ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    give_descriptors || return 1
    ((complaints <= ms / 50)) || explain "a line now and then" "$complaints lines in $ms ms: wait before the next accept()"
}
