# More than 100 requests, good and bad, for two servers that have to answer alike.

# Prints requests, one in a line, as a format for printf.
corpus() {
    local method target version field long longest end='\r\nHost: test\r\nConnection: close\r\n\r\n'
    printf -v long '%0500d' 0
    printf -v longest '%08300d' 0
    for method in GET HEAD POST get OPTIONS; do
        for target in / /index.html "/$NAME" "/$NAME/" "/$NAME.bin" /nothing /%%2e%%2e/x /%%zz '/#x' '*' x http://test/ //etc/passwd; do
            printf '%s\n' "$method $target HTTP/1.1$end"
        done
    done
    for version in HTTP/1.0 HTTP/1.2 HTTP/1 HTTP/2 HTTP/2.0 HTTP/0.9 HTTP/11.1 http/1.1 HTTP/1.1x ' HTTP/1.1' ''; do
        printf '%s\n' "GET / $version$end"
        printf '%s\n' "HEAD /nothing $version$end"
    done
    for field in 'Connection: keep-alive' 'Connection: upgrade,Close' 'Host: second' 'Content-Length: 0' 'Content-Length: 3' \
        'Content-Length: x' 'Content-Length: 3\r\nContent-Length: 4' 'Transfer-Encoding: chunked\r\nContent-Length: 3' \
        'Transfer-Encoding: chunked' 'Transfer-Encoding: chunked, gzip' 'No colon' 'Space : x' ' folded' ': x' 'X: \001' 'X:' "X: $long"; do
        printf '%s\n' "GET / HTTP/1.1\r\n$field$end"
        printf '%s\n' "GET /nothing HTTP/1.0\r\n$field\r\n\r\n"
        printf '%s\n' "POST / HTTP/1.0\r\n$field\r\n\r\nabc"
    done
    printf '%s\n' "\r\nGET / HTTP/1.1$end"
    printf '%s\n' "GET / HTTP/1.1\nHost: test\nConnection: close\n\n"
    printf '%s\n' "GET /$longest HTTP/1.1$end"
    printf '%s\n' "\001\002\003$end"
}

# Puts the corpus through the server, and keeps the answers in a directory.
record_answers() { # DIRECTORY
    local line number=0
    mkdir "$1"
    while read -r line; do
        ANSWER=$1/$((++number)) QUIET=15 send "$line" # a connection that stays open is closed after 5 s
    done <"$JOB/corpus"
    # But for the value of a Date that is well-formed.
    LC_ALL=C sed -s -i '1,/^\r$/s/^Date:[ \t]*[A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] [0-9]\{4\} [0-9:]\{8\} GMT[ \t]*\r$/Date: (now)\r/I' "$1"/*
}

compare_with_twin() {
    corpus >"$JOB/corpus"
    (($(count_lines "$JOB/corpus") >= 100))
    record_answers "$JOB/ours"
    stop_server
    mv "$PLACE/server" "$JOB/first"
    cp "$JOB/twin" "$PLACE/server"
    start_server
    record_answers "$JOB/theirs"
    stop_server
    mv "$JOB/first" "$PLACE/server"
    diff -r "$JOB/theirs" "$JOB/ours" || explain "the same answers as the stage before" "see the difference above"
}
