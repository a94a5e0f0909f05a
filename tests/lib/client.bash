# Requests, and what comes back: with the test client (client.c), and curl.

# curl, as it is without a file of the user's.
curl() { command curl -q --noproxy '*' "$@"; }

# The test client, at our port; its complaints are in $JOB/client. A server that has let many requests wait for nothing is
# given less time for the next: one that never answers would take hours, and one that is unlucky once never does that.
client() { # OPTION... ACTION...
    local options=() quiet=${QUIET:-6} seconds=$LIMIT result=0
    if [[ ${*: -1} == read && -e $TOGETHER-hung ]] && (($(count_lines "$TOGETHER-hung") >= 8)); then seconds=8 quiet=2; fi
    while [[ $1 == -* ]]; do options+=("$1" "$2") && shift 2; done
    [[ " $* " == *" $SENT "* ]] || printf '%s' "$*" >"$SENT"
    "$CLIENT" -t "$seconds" -q "$quiet" "${options[@]}" "$PORT" "$@" 2>"$JOB/client" 3>&- || result=$?
    RESULT=$result
    if [[ $result == 4 && ${*: -1} == read ]]; then # out of time
        echo >>"$TOGETHER-hung"
        [[ " ${options[*]} " == *" -b "* ]] || because "an answer comes, but the connection is not closed after it"
    fi
    return "$result"
}

# Sends bytes as they are (escapes as for printf), and takes what comes until the end.
send() { # FORMAT [ARGUMENT...]
    # shellcheck disable=SC2059
    printf "$@" >"$SENT"
    receive file "$SENT" read
}

# The test client, which takes what comes until the end. What a test knows of the reason why an answer may not come
# is in IF_SILENT.
receive() { # OPTION... ACTION...
    local result=0
    client "$@" >"$ANSWER" || result=$?
    read_status
    ((result == 4)) || return 0
    [[ -s $ANSWER || -z ${IF_SILENT:-} ]] || { CAUSE='' explain "an answer" "$IF_SILENT" || return 1; }
    [[ -s $ANSWER ]] || because "a request gets no answer, and the connection is not closed"
    local hint="close() the socket when the answer is sent, also after an error"
    ((STAGE != 6)) || hint+="; after fork() the parent has a copy of it, and closes it too"
    [[ " $* " != *" -b "* ]] || hint="the answer stops before its end: send() may take less than it is given, and when there is room again, the rest goes \
(stage 9: EPOLLOUT says when)"
    explain "an answer, and the end of the connection" "$hint"
}

# A request that every stage understands, and that ends with the connection.
ask() { # METHOD TARGET [FIELD...]
    local field fields=
    for field in "${@:3}"; do fields+="$field"$'\r\n'; done
    send '%s %s HTTP/1.1\r\nHost: test\r\n%sConnection: close\r\n\r\n' "$1" "$2" "$fields"
}

get() { ask GET "$@"; } # TARGET [FIELD...]

# Sets REQUEST to what a program sends that asks for /: a page of the kit's, after a visit to others on this machine that have
# left cookies. (Chromium 156, Firefox 150 and curl 8.)
read_request_of() { # PROGRAM
    local agent='Mozilla/5.0 (Windows NT 10.0; Win64; x64' fields host="127.0.0.1:$PORT" cookies
    local accept='Accept: text/html,application/xhtml+xml,application/xml;q=0.9'
    printf -v cookies 'Cookie: session=%0180d; theme=dark; token=%0300d; seen=1' "$RANDOM" "$RANDOM"
    case $1 in
    Chromium)
        fields=("Connection: keep-alive" "Cache-Control: max-age=0" 'sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"'
            'sec-ch-ua-mobile: ?0' 'sec-ch-ua-platform: "Windows"' 'Upgrade-Insecure-Requests: 1'
            "User-Agent: $agent) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
            "$accept,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
            'Sec-Fetch-Site: same-origin' 'Sec-Fetch-Mode: navigate' 'Sec-Fetch-User: ?1' 'Sec-Fetch-Dest: document'
            "Referer: http://$host/" 'Accept-Encoding: gzip, deflate, br, zstd' 'Accept-Language: zh-CN,zh;q=0.9,en;q=0.8'
            "$cookies")
        ;;
    Firefox)
        fields=("User-Agent: $agent; rv:150.0) Gecko/20100101 Firefox/150.0"
            "$accept,*/*;q=0.8"
            'Accept-Language: zh-CN,zh;q=0.8,zh-TW;q=0.7,zh-HK;q=0.5,en-US;q=0.3,en;q=0.2'
            'Accept-Encoding: gzip, deflate, br, zstd' 'Sec-GPC: 1' 'Connection: keep-alive' "Referer: http://$host/" "$cookies" 'Upgrade-Insecure-Requests: 1'
            'Sec-Fetch-Dest: document' 'Sec-Fetch-Mode: navigate' 'Sec-Fetch-Site: same-origin' 'Sec-Fetch-User: ?1'
            'Priority: u=0, i')
        ;;
    *) fields=('User-Agent: curl/8.14.1' 'Accept: */*') ;;
    esac
    printf -v REQUEST '%s\r\n' "GET / HTTP/1.1" "Host: $host" "${fields[@]}" ''
}

# What follows looks at $ANSWER without starting a process for it: there are thousands of answers.

read_status() { # sets STATUS
    STATUS=
    local line
    IFS= read -r line <"$ANSWER" 2>/dev/null || true
    if [[ $line =~ ^HTTP/1\.[01]\ ([0-9]{3})\  ]]; then STATUS=${BASH_REMATCH[1]}; fi
}

# Sets FIELD to the values of a header field, a line each.
read_field() { # NAME
    local line
    FIELD=
    while IFS= read -r line && [[ $line != $'\r' ]]; do
        [[ ${line,,} == "${1,,}":* ]] || continue
        line=${line#*:} line=${line#"${line%%[![:space:]]*}"}
        FIELD+=${FIELD:+$'\n'}${line%"${line##*[![:space:]]}"}
    done <"$ANSWER"
}
# The same, in lower case, without spaces and quotes: where these do not count.
read_plain_field() { # NAME
    read_field "$1"
    FIELD=${FIELD//[ \"]/} FIELD=${FIELD,,}
}

# Sets HEAD to the head, with its blank line, but for the value of a Date that is well-formed; and BODY to what follows it, as
# a text: for pages, not for any bytes. Where it has a 0 byte, it ends, with \0.
read_page() {
    local text='' date='^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$'
    ! IFS= read -r -d '' text <"$ANSWER" || text+='\0'
    HEAD=${text%%$'\n\r\n'*} BODY=
    [[ $HEAD == "$text" ]] || BODY=${text#"$HEAD"$'\n\r\n'} HEAD+=$'\n\r\n'
    read_field Date
    [[ ! $FIELD =~ $date ]] || HEAD=${HEAD/"$FIELD"/(now)}
    read_field Transfer-Encoding
    [[ -n $FIELD ]] || return 0
    ! IFS= read -r -d '' BODY < <("$CLIENT" -B <"$ANSWER") || BODY+='\0' # chunks are put together
}

# The body, byte by byte; one in chunks is put together.
body() { "$CLIENT" -B <"$ANSWER"; }
is_body() { "$CLIENT" -E "$1" <"$ANSWER"; } # FILE

# Whether the body is as long as the head says: a Content-Length, if there is one, and chunks. Sets PROBLEM.
is_whole() { PROBLEM=$("$CLIENT" -C <"$ANSWER"); }

# Sets ANSWERS to the status of each answer in $ANSWER, where several have come one after the other.
read_statuses() {
    local line
    ANSWERS=()
    while IFS= read -r line; do
        if [[ $line =~ ^HTTP/1\.[01]\ ([0-9]{3})\  ]]; then ANSWERS+=("${BASH_REMATCH[1]}"); fi
    done <"$ANSWER"
}

# Gives the bytes on stdin to a client that waits for them at a FIFO. Fails if it has gone.
feed() { # FIFO
    timeout "$LIMIT" tee "$1" >/dev/null
}

# Clients that hold their connections, until release.
hold() { # OPTION... ACTION...
    local options=()
    while [[ $1 == -* ]]; do options+=("$1" "$2") && shift 2; done
    printf '%s' "$*" >"$SENT"
    : >"$JOB/holding"
    "$CLIENT" -t 60 "${options[@]}" "$PORT" "$@" hold >"$JOB/holding" 2>&1 3>&- &
    HOLDER=$!
    disown "$HOLDER"
    within "$LIMIT" grep -aq '^holding' "$JOB/holding" || explain "a client that comes to the end of this" "it hangs, or gets no connection"
}

release() {
    kill "${HOLDER:-}" 2>/dev/null || true
    HOLDER=
}
