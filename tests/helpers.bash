# What the tests share. From tests/suite: STAGE, WORK (the programs), JOB (a directory of our own).

CLIENT=$WORK/client
SITE=$JOB/site
HTML=$SITE/html
ANSWER=$JOB/answer
SENT=$JOB/sent
LOG=$JOB/log
ERRORS=$JOB/errors

# How a server is started: with limits, and as a user with no rights but to read, so that a test can take
# a file or a process away from it, also when root runs the tests.
AS=("$BATS_TEST_DIRNAME/confine" "$SERVER_USER")

# The seconds that anything may take. When a test of this suite has failed, and that took long, they are
# fewer for the next: a server with many faults keeps nobody waiting for minutes.
LIMIT=20
[[ ! -e $JOB/impatient ]] || LIMIT=12

# Stage 8 never rests. Here it has what the servers of the other suites leave of the CPU.
((STAGE != 8)) || AS=(nice -n 10 "${AS[@]}")

random_name() { # so that no server can know it
    od -An -N5 -tx1 /dev/urandom | tr -d ' \n'
}

random_bytes() { # COUNT
    head -c "$1" /dev/urandom
}

# The tree that every suite has: random contents, and random names for all but the index.
make_site() {
    NAME=$(random_name)
    mkdir -p "$HTML/$NAME/deep/er"
    echo "<title>start $NAME</title>" >"$HTML/index.html"
    echo "<title>directory $NAME</title>" >"$HTML/$NAME/index.html"
    echo "<title>deep $NAME</title>" >"$HTML/$NAME/deep/er/$NAME.html"
    random_bytes 300000 >"$HTML/$NAME.bin"
    echo "secret $NAME" >"$SITE/secret.txt"
    mkfifo "$HTML/$NAME.fifo"
    ln -s /dev/zero "$HTML/$NAME.device"
    export NAME
}

free_port() {
    local port
    while port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); listens "$port"; do continue; done
    echo "$port"
}

# Whether somebody listens on a port of this machine.
listens() { # PORT
    grep -qsE ":$(printf %04X "$1") 0+:0000 0A" /proc/net/tcp /proc/net/tcp6
}

alive() { # PID
    [[ -e /proc/$1/status ]] && ! grep -q '^State:.Z' "/proc/$1/status"
}

# The arguments that make a server of this stage listen on a port.
port_arguments() { # PORT
    if ((STAGE >= 5)); then echo "$1"; fi
}

# Starts the server in $SITE and waits until it listens. Sets PID and PORT; it prints to $LOG and
# $ERRORS.
start_server() {
    ASKED=8080
    if ((STAGE >= 5)); then
        ASKED=$(free_port)
    elif listens 8080; then
        skip "port 8080 is taken, and this system gives us no namespaces"
    fi
    launch
}

launch() {
    # shellcheck disable=SC2046
    (cd "$SITE" && exec setsid "${AS[@]}" "$JOB/server" $(port_arguments "$ASKED")) \
        >"$LOG" 2>>"$ERRORS" 3>&- </dev/null &
    PID=$!
    disown "$PID" # bash need not report its end
    echo "$PID" >"$JOB/group"
    local end=$((SECONDS + LIMIT))
    until find_server; do
        if ! alive "$PID" || ((SECONDS >= end)); then
            give_up "a server that listens on port $ASKED" "it says: $(said "$ERRORS")" || return 1
        fi
        sleep 0.02
    done
    echo "$PID $PORT $ASKED" >"$JOB/running"
    client send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' answer >"$JOB/first" 2>&1 || true
    [[ -s $JOB/first ]] || give_up "an answer to GET /" "it listens on port $PORT, and says nothing" || return 1
    rm -f "$JOB/failures"
    count_descriptors >"$JOB/descriptors"
    count_children >"$JOB/children"
}

# The server cannot be used. After the second time in a row, it is not tried again.
give_up() { # EXPECTED HINT
    echo "${2//$'\n'/ }" >>"$JOB/failures"
    explain "$1" "$2"
}

# Where the server listens: on the port that it was given, or on another, if that is what it does. Sets
# PORT, and PID to the process that has the socket, which a script may have started.
find_server() {
    local user=$SERVER_USER hex number inode='' holders
    [[ $user != root ]] || user=0
    while read -r hex number; do
        PORT=$((16#$hex)) inode=$number
        ((PORT != ASKED)) || break
    done < <(awk -v user="$user" '$4 == "0A" && $8 == user {print substr($2, length($2) - 3), $10}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    [[ -n $inode && ($SANDBOX != none || $user != 0 || $PORT == "$ASKED") ]] || return 1
    holders=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | cut -d / -f 3 | sort -n)
    grep -qx "$PID" <<<"$holders" || PID=${holders%%$'\n'*}
}

# Ends the server, and all that it has started.
stop_server() {
    kill -KILL -- "-$(<"$JOB/group")" 2>/dev/null || true
    [[ $SERVER_USER == root ]] || end_processes
    wait_until "a server that ends when it is killed" eval "! listens $PORT"
    rm -f "$JOB/running"
}

# Starts a server that has to end by itself, in this directory. Sets ENDED, its exit status; what it says is
# in $JOB/said and $JOB/complaint.
try_server() { # DIRECTORY ARGUMENT...
    ENDED=0
    (cd "$1" && timeout "$LIMIT" "${AS[@]}" "$JOB/server" "${@:2}") >"$JOB/said" 2>"$JOB/complaint" 3>&- </dev/null || ENDED=$?
}

expect_end() { # STATUS [HINT]
    [[ $ENDED == "$1" ]] || explain "a program that ends with status $1" "the status is $ENDED (124: it runs on) ${2:-}; it says: $(said "$JOB/complaint")"
}

# One server serves all tests of a suite; it is started for the first, and again if a test has failed or
# has ended it.
setup_file() {
    make_site
}
setup() {
    rm -f "$ANSWER" "$SENT"
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        if alive "$PID" && listens "$PORT"; then return 0; fi
        stop_server
    elif [[ -e $JOB/failures ]] && (($(wc -l <"$JOB/failures") >= 2)); then
        explain "a server that can be tested" "it was started twice: $(tail -n 1 "$JOB/failures")" || return 1
    fi
    start_server
}
teardown() {
    for process in ${HOLDER:-} ${OTHER:-}; do kill -KILL "$process" 2>/dev/null || true; done
    if [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
        ((SECONDS < 15)) || touch "$JOB/impatient"
        [[ ! -e $JOB/group ]] || stop_server
    fi
    ! grep -A 20 -E 'Sanitizer|runtime error' "$ERRORS"
}
teardown_file() {
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        stop_server
    fi
}

# What came, or a program said, so that it can be shown.
printable() { # the bytes on stdin
    LC_ALL=C tr -d '\r' | LC_ALL=C tr '\000-\010\013-\037\177' '?' | head -n 14 | sed '2,$s/^/          /'
}
said() { # FILE...
    tail -q -c 400 "$@" | printable
}

# Says why a test fails, and fails.
explain() { # EXPECTED HINT
    echo "expected: $1"
    [[ ! -s $SENT ]] || echo "sent:     $(head -c 400 "$SENT" | printable)"
    [[ ! -e $ANSWER ]] || echo "received: $(head -c 600 "$ANSWER" | printable)"
    echo "hint:     $2"
    return 1
}

# Waits until a command succeeds, and fails with a hint if it does not in time.
wait_until() { # HINT COMMAND...
    local hint=$1 end=$((SECONDS + LIMIT))
    shift
    until "$@"; do
        ((SECONDS < end)) || explain "what the hint says, in $LIMIT s at most" "$hint" || return 1
        sleep 0.1
    done
}

# Plays a scene in which clients keep the server waiting. It bears that for 5 s, and a busy machine may take
# longer over the scene: if it failed then, it is played again, and more often if a client came away with nothing.
in_time() { # COMMAND...
    local first=$SECONDS most=$LIMIT LIMIT=5 start result=0
    while rm -f "$ANSWER" && start=$SECONDS && ! "$@" >"$JOB/scene"; do
        [[ ! -e $ANSWER || -s $ANSWER ]] || most=60
        ((SECONDS - start >= 4 && SECONDS - first < most)) || { result=1 && break; }
        release
        settle
    done
    cat "$JOB/scene"
    return "$result"
}

client() { # OPTION... ACTION...: the test client, at our port
    local options=()
    while [[ $1 == -* ]]; do options+=("$1" "$2") && shift 2; done
    "$CLIENT" -t "$LIMIT" "${options[@]}" "$PORT" "$@" 3>&-
}

# Sends bytes as they are (escapes as for printf), and takes what comes until the end.
send() { # FORMAT [ARGUMENT...]
    local never=""
    # shellcheck disable=SC2059
    printf "$@" >"$SENT"
    client file "$SENT" read >"$ANSWER" 2>"$JOB/client" || { (($? == 4)) && never=yes; }
    read_status
    [[ -z ${never:-} ]] || explain "the end of the connection" "the server neither goes on nor closes the connection"
}

# A request that every stage understands, and that ends with the connection.
ask() { # METHOD TARGET [FIELD...]
    local field fields=
    for field in "${@:3}"; do fields+="$field"$'\r\n'; done
    send '%s %s HTTP/1.1\r\nHost: test\r\n%sConnection: close\r\n\r\n' "$1" "$2" "$fields"
}

get() { ask GET "$@"; } # TARGET [FIELD...]

read_status() { # STATUS from $ANSWER
    STATUS=
    local line
    IFS= read -r line <"$ANSWER" 2>/dev/null || true
    if [[ $line =~ ^HTTP/1\.[01]\ ([0-9]{3})\  ]]; then STATUS=${BASH_REMATCH[1]}; fi
}

# The value of a header field of $ANSWER, and its body.
field() { # NAME
    sed -n '/^\r$/q; s/\r$//; p' "$ANSWER" | sed -n "s/^$1:[[:space:]]*//Ip"
}
body() { # a body in chunks is put together (RFC 9112, section 7.1)
    if [[ $(field Transfer-Encoding) == chunked ]]; then
        sed '1,/^\r$/d' "$ANSWER" | perl -0777 -ne 'while (s/^([0-9a-f]+).*\n//i && hex $1) { print substr($_, 0, hex $1, ""); s/^\r?\n// }'
    else
        sed '1,/^\r$/d' "$ANSWER"
    fi
}

# An answer, but for the value of a Date that is well-formed.
without_date() { # FILE
    LC_ALL=C sed '1,/^\r$/s/^Date: [A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] [0-9]\{4\} [0-9:]\{8\} GMT\r$/Date: (now)\r/' "$1"
}

expect_status() { # STATUS HINT: one status, or several, as 403|404
    [[ -n $STATUS && "|$1|" == *"|$STATUS|"* ]] || explain "an answer with status $1" "$2"
}

# A client that is too slow is dropped: at once would be wrong, and much later too.
expect_drop() { # MILLISECONDS HINT
    (($1 >= 4500 && $1 < 20000)) || explain "the connection closed after 5 s" "it took $1 ms: $2"
}

expect_file() { # FILE HINT
    if ((STAGE >= 3)); then expect_status 200 "$2" || return 1; fi
    body | cmp -s - "$1" || explain "the bytes of ${1#"$SITE"/} ($(wc -c <"$1")) as the body" "$2; here are $(body | wc -c) bytes"
}

# No file: stage 2 closes without a byte, from stage 3 on the status says why.
expect_no_file() { # STATUS HINT
    if ((STAGE >= 3)); then
        expect_status "$1" "$2"
    else
        [[ ! -s $ANSWER ]] || explain "the connection closed, and no answer" "$2"
    fi
}

# The server is as good as new: it serves a page.
expect_service() { # HINT
    get /
    [[ $STATUS == 200 ]] || explain "an answer to the next request" "$1"
}

# Reads or sets a limit of the server; only its own user may.
limit() { # PID OPTION...
    "${AS[@]}" prlimit --pid "$@"
}

# A request to a server that can start neither process nor thread.
get_without_processes() {
    local soft
    soft=$(limit "$PID" --nproc --output SOFT --noheadings)
    limit "$PID" --nproc=1:
    get /
    limit "$PID" --nproc="$soft:"
}

# A client that gets none leaves a line on stderr, or in the log: it names the call, or says why it failed.
expect_complaint() { # CALL
    complaints() { cat "$ERRORS" "$LOG" | grep -ciE "${1%??}|unavailable|EAGAIN|process|thread"; }
    local before
    settle
    before=$(complaints "$1")
    get_without_processes
    more() { (($(complaints "$1") > before)); }
    wait_until "say on stderr that $1 failed, and why" more "$1"
}

# The processes that the server has started, and those that they have.
children() { pgrep --session "$(<"$JOB/group")" | grep -vx "$PID" || true; }
count_children() { children | wc -w; }
count_threads() { count_entries "/proc/$PID/task"; }
count_descriptors() { count_entries "/proc/$PID/fd"; }
count_entries() { # DIRECTORY
    local entries=("$1"/*)
    echo "${#entries[@]}"
}
# Sanitizers need memory of their own, so that of the server is not measured then.
measures_memory() { [[ -z $SANITIZE ]]; }
resident_kb() { awk '/^VmRSS/ {print $2}' "/proc/$PID/status"; }
cpu_ticks() { sed 's/.*) //' "/proc/$PID/stat" | awk '{print $12 + $13}'; }

# Waits until the server has nothing of earlier clients, or has kept it for 3 s.
settle() {
    local now before="" since=$SECONDS
    while now="$(count_descriptors) $(count_children) $(count_threads)"; do
        if [[ $now != "$before" ]]; then before=$now since=$SECONDS; fi
        ((SECONDS - since < 3)) || return 0
        ((${now%% *} > $(<"$JOB/descriptors") || $(count_children) > $(<"$JOB/children"))) || return 0
        sleep 0.1
    done
}

# The lowest descriptor that is free in a process.
free_descriptor() { # PID
    local number=0
    while [[ -e /proc/$1/fd/$number || -L /proc/$1/fd/$number ]]; do number=$((number + 1)); done
    echo "$number"
}

# Clients that hold their connections, until release.
hold() { # OPTION... ACTION...
    local options=()
    while [[ $1 == -* ]]; do options+=("$1" "$2") && shift 2; done
    : >"$JOB/holding"
    "$CLIENT" -t 60 "${options[@]}" "$PORT" "$@" hold >"$JOB/holding" 2>&1 3>&- &
    HOLDER=$!
    disown "$HOLDER"
    wait_until "the client did not get that far" grep -aq '^holding' "$JOB/holding"
}
release() {
    kill "${HOLDER:-}" 2>/dev/null || true
    HOLDER=
}
