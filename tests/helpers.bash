# What the tests share. From tests/suite: STAGE; REPLACED (the tests that an exercise replaces); WORK (the programs);
# JOB (a directory of our own); TOGETHER (how the names of the files begin that all suites of this server share);
# PLACE (what the server sees: itself, and the site that it serves).

CLIENT=$WORK/client
SITE=$PLACE/site
HTML=$SITE/html
ANSWER=$JOB/answer
SENT=$JOB/sent
LOG=$JOB/log
ERRORS=$JOB/errors

# How a server is started: in a place where it sees nothing but itself and its site, with limits, and as a user
# with no rights but to read, so that a test can take a file or a process away from it.
AS=("${BASH_SOURCE[0]%/*}/confine" -r "$PLACE" -w "$SITE" -r "$HTML" "$SERVER_USER")

# The seconds that anything may take, and that we wait for something to happen that takes no time. When a test of
# this stage has failed, and that took long, they are fewer: a server with many faults keeps nobody waiting.
LIMIT=20 SOON=10
[[ ! -e $WORK/impatient-$STAGE ]] || LIMIT=12 SOON=4

# Stage 8 never rests. Here it has what all others leave of the CPU. (Linux shares it out by sessions first, and
# then, by nice, among the processes of a session.)
IN_SESSION=(setsid)
# shellcheck disable=SC2016
((STAGE != 8)) || IN_SESSION=(setsid sh -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 10 "$@"' -)

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
# $ERRORS. Until it has started once, the suites take turns, and the first tries twice: one that never starts is not
# started twelve times at once.
start_server() {
    local failed=
    ASKED=8080
    if ((STAGE >= 5)); then
        ASKED=$(free_port)
    elif listens 8080; then
        skip "port 8080 is taken, and this system gives us no namespaces"
    fi
    if [[ -e $TOGETHER-started ]]; then
        launch
        return
    fi
    exec 6>"$TOGETHER-turn"
    flock 6
    [[ ! -e $WORK/impatient-$STAGE ]] || LIMIT=12
    if hopeless; then
        not_tried_again || failed=yes
    elif ! launch >"$JOB/first-start"; then # once may be bad luck
        stop_server
        rm -f "$JOB/explained"
        launch || failed=yes
    fi
    flock -u 6
    [[ -z $failed ]]
}

launch() {
    rm -f "$JOB/killed" "$JOB/first"
    # A shell beside the server notes its exit status, and then waits: children outlive the server.
    # shellcheck disable=SC2016,SC2046
    (cd "$SITE" && exec "${IN_SESSION[@]}" "${AS[@]}" sh -c '"$@" 2>&8 8>&- 9>&- & wait $!; echo $? >&9; exec sleep infinity' - \
        "$PLACE/server" $(port_arguments "$ASKED")) >"$LOG" 8>>"$ERRORS" 9>"$JOB/ended" 2>/dev/null 3>&- 6>&- </dev/null &
    PID=$!
    disown "$PID" # bash need not report its end
    echo "$PID" >"$JOB/group"
    local end=$((SECONDS + LIMIT))
    LAUNCHED=$SECONDS
    until find_server; do
        if [[ -s $JOB/ended ]] || ! alive "$PID" || ((SECONDS >= end)); then
            give_up "a server that listens on port $ASKED" "the server does not start to listen on port $ASKED" || return 1
        fi
        sleep 0.02
    done
    echo "$PID $PORT $ASKED" >"$JOB/running"
    client send $'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' answer >"$JOB/first" || true
    rm -f "$SENT"
    [[ -s $JOB/first ]] || give_up "an answer to GET /" "the server listens on port $PORT, but does not answer GET /" || return 1
    rm -f "$JOB/failures"
    touch "$TOGETHER-started"
    pgrep --session "$(<"$JOB/group")" >"$JOB/frame"
    count_descriptors >"$JOB/descriptors"
}

# The server cannot be used. After the second time in a row, this suite does not try it again.
give_up() { # EXPECTED CAUSE
    local cause
    cause=$(death)
    because "${cause:-$2}"
    echo "$CAUSE" | tee -a "$JOB/failures" >>"$TOGETHER-failures"
    explain "$1" "start it by hand: $([[ -s $ERRORS ]] || echo "it prints nothing on stderr")$( ((STAGE != 7)) || echo "; the socket of a \
client is closed once, by the thread that serves it: all threads share it")"
}

# Whether the server is not tried any more: by this suite; or, if it has never started, or had to be killed again and again,
# by any.
hopeless() {
    (($(count_lines "$JOB/failures") >= 2 || $(count_lines "$TOGETHER-killed") >= 3)) ||
        { [[ ! -e $TOGETHER-started ]] && (($(count_lines "$TOGETHER-failures") >= 2)); }
}
count_lines() { # FILE, which may not be there
    if [[ -e $1 ]]; then wc -l <"$1"; else echo 0; fi
}
not_tried_again() {
    because "$(cat "$TOGETHER-failures" "$JOB/failures" "$TOGETHER-killed" 2>/dev/null | tail -n 1)"
    explain "a server that can be tested" "several starts have failed, so it is not tried again"
}

# Where the server listens: on the port that it was given, or on another, if that is what it does (and not what
# an earlier server still does, which ends just now). Sets PORT, and PID to the process that has the socket, which a
# script may have started.
find_server() {
    local user=$SERVER_USER hex number inode='' holders
    [[ $user != root ]] || user=0
    while read -r hex number; do
        PORT=$((16#$hex)) inode=$number
        ((PORT != ASKED)) || break
    done < <(awk -v user="$user" '$4 == "0A" && $8 == user {print substr($2, length($2) - 3), $10}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    ((PORT == ASKED || SECONDS > LAUNCHED + 1)) || return 1
    [[ -n $inode && ($SANDBOX != none || $user != 0 || $PORT == "$ASKED") ]] || return 1
    holders=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | cut -d / -f 3 | sort -n)
    grep -qx "$PID" <<<"$holders" || PID=${holders%%$'\n'*}
}

# Ends the server, and all that it has started.
stop_server() {
    touch "$JOB/killed"
    kill -KILL -- "-$(<"$JOB/group")" 2>/dev/null || true
    [[ $SANDBOX != none || $SERVER_USER == root ]] || end_processes
    wait_until "a server that ends when it is killed" eval "! listens ${PORT:-0}"
    rm -f "$JOB/running"
}

# Ends the server, but not what it has started.
kill_server() {
    touch "$JOB/killed"
    kill -KILL "$PID"
    wait_until "the server's process ends when it is killed" eval "! alive $PID"
}

# Says how the server has ended, if it has done so by itself.
death() {
    [[ ! -e $JOB/killed ]] || return 0
    if [[ -s $JOB/ended ]]; then
        local status signal
        status=$(<"$JOB/ended")
        [[ $status =~ ^[0-9]{1,3}$ ]] || status=0 # bash runs a command in what it takes for a sum
        if ((status <= 128)); then
            echo "the server ends by itself, with exit status $status"
            return
        fi
        signal=SIG$(kill -l $((status - 128)))
        case $signal in
        SIGPIPE) echo "the server dies of SIGPIPE: it sends to a client that has gone (send(2): MSG_NOSIGNAL; or signal(2): SIG_IGN)" ;;
        SIGSEGV | SIGBUS) echo "the server dies of $signal: it uses memory that is not its own (a debugger shows where)" ;;
        SIGABRT) echo "the server dies of SIGABRT: the C library or a sanitizer has found memory in disorder" ;;
        *) echo "the server dies of $signal" ;;
        esac
    elif [[ -e $JOB/group ]] && ! alive "$(<"$JOB/group")"; then
        echo "the server was killed: by the tests, for too much memory or too many processes, or by itself"
    fi
}
has_died() { [[ -s $JOB/ended && ! -e $JOB/killed ]]; } # by itself

# Starts another program as a server, which prints to $JOB/other. Sets OTHER, its process.
start_other() { # PROGRAM ARGUMENT...
    rm -f "$JOB/other"
    (cd "$SITE" && exec "${IN_SESSION[@]}" "${AS[@]}" "$@") >"$JOB/other" 2>&1 3>&- </dev/null &
    OTHER=$!
    disown "$OTHER"
}

other_is_alive() { alive "$OTHER"; }

# Starts a server that has to end by itself, in this directory. Sets ENDED, its exit status; what it says is
# in $JOB/said and $JOB/complaint.
try_server() { # DIRECTORY ARGUMENT...
    ENDED=0
    { (cd "$1" && exec timeout -s KILL "$LIMIT" "${AS[@]}" "$PLACE/server" "${@:2}") >"$JOB/said" 2>"$JOB/complaint" 3>&- </dev/null; } 2>/dev/null ||
        ENDED=$?
}

expect_end() { # STATUS [HINT]
    [[ $ENDED == "$1" ]] || explain "a program that ends with status $1" "$( ((ENDED == 137)) && echo "it runs on" || echo "the status is $ENDED")${2:+; $2}; it says: $(said "$JOB/complaint")"
}

# One server serves all tests of a suite; it is started for the first, and again if a test has failed or
# has ended it.
setup_file() {
    make_site
}
setup() { set_up; }
set_up() {
    [[ $'\n'$REPLACED$'\n' != *$'\n'"$BATS_TEST_DESCRIPTION"$'\n'* ]] || skip "the exercise replaces this test"
    # bats notes every command, to say where a test has failed. That takes a third of the time.
    [[ -n ${VERBOSE:-} ]] || trap - DEBUG
    rm -f "$ANSWER" "$SENT" "$JOB/client" "$JOB/wrong" "$JOB/explained"
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        if alive "$PID" && listens "$PORT"; then return 0; fi
        stop_server
    fi
    ! hopeless || not_tried_again || return 1
    start_server
}
teardown() {
    for process in ${HOLDER:-} ${OTHER:-}; do kill -KILL -- "$process" "-$process" 2>/dev/null || true; done
    if [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
        # No point is lost without a word.
        [[ -e $JOB/explained ]] || explain "a server that goes on" "$(said "$JOB/client")" || true
        ((SECONDS < 8)) || touch "$WORK/impatient-$STAGE"
        [[ ! -e $JOB/group ]] || stop_server
    elif [[ -n ${PID:-} && ! -e $JOB/killed ]]; then
        alive "$PID" || explain "a server that goes on" "" || return 1
    fi
    ! grep -A 20 -E 'Sanitizer|runtime error' "$ERRORS"
}
teardown_file() {
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        stop_server
    fi
}

# Bytes, so that they can be shown: CR, LF and all that is not printable as in C.
printable() { # the bytes on stdin
    perl -0777 -pe 's/\r/\\r/g; s/\n(?=.)/\\n\n/gs; s/\n\z/\\n/; s/\t/\\t/g; s/([\x00-\x09\x0b-\x1f\x7f])/sprintf "\\x%02x", ord $1/ge;
        s/((?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})[\x80-\xbf])|([\x80-\xff])/$1 \/\/ sprintf "\\x%02x", ord $2/ge' |
        head -n 14 | sed '2,$s/^/          /'
}
# What a program has printed last.
said() { # FILE...
    tail -q -c 400 "$@" 2>/dev/null | tr -d '\r' | LC_ALL=C tr '\000-\010\013-\037\177' '?' | tail -n 6 | sed '2,$s/^/          /'
}

# Says beforehand what the cause is if the test fails.
because() { CAUSE=$1; } # CAUSE

# Says why a test fails, and fails. What is known of the cause comes first.
explain() { # EXPECTED HINT
    local cause
    [[ ! -e $JOB/explained ]] || return 1 # it has been said
    cause=$(death)
    [[ -n $cause || ! -s $ANSWER || $(head -n 1 "$ANSWER" | tr -d '\0') != HTTP/*[!$'\r'] ]] ||
        cause="the lines of its answers end with LF alone: HTTP wants CR LF, in C \"\\r\\n\""
    [[ -n $cause || ! -s $ANSWER || $(grep -acE '^[A-Za-z-]+:' "$ANSWER") == 0 ]] || grep -qa $'^\r*$' "$ANSWER" ||
        cause="its answers have no blank line between the fields and the body"
    touch "$JOB/explained"
    [[ -z ${cause:=${CAUSE:-}} ]] || echo "cause:    $cause"
    echo "expected: $1"
    [[ ! -s $SENT ]] || echo "sent:     $(head -c 400 "$SENT" | printable)"
    [[ ! -e $ANSWER ]] || echo "received: $(if [[ -s $ANSWER ]]; then head -c 600 "$ANSWER" | printable; else echo "nothing"; fi)"
    [[ -z $cause || ! -s $ERRORS ]] || echo "stderr:   $(said "$ERRORS")"
    [[ -z $2 ]] || echo "hint:     $2"
    return 1
}

# A list of things to try, of which all that go wrong are shown at once: "try ITEM COMMAND..." for each, then
# "expect_no_wrong EXPECTED HINT". Fails if the server has died, or has taken too long: then the rest is not tried.
try() { # ITEM COMMAND...
    if ! "${@:2}" >/dev/null; then
        echo "          $(printable <<<"$1" | sed 's/\\n$//'): $(if [[ -s $ANSWER ]]; then head -n 1 "$ANSWER" | head -c 80 | printable; else echo "nothing"; fi)" >>"$JOB/wrong"
        rm -f "$JOB/explained"
    fi
    ! has_died && ((SECONDS < 2 * LIMIT))
}
expect_no_wrong() { # EXPECTED HINT
    [[ -s $JOB/wrong ]] || return 0
    rm -f "$ANSWER" "$SENT" "$JOB/explained"
    explain "$1" "$2" || true
    echo "wrong:"
    cat "$JOB/wrong"
    return 1
}

# Waits until a command succeeds. Fails if it does not in time, or the server dies meanwhile.
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        if ((SECONDS >= end)) || has_died; then return 1; fi
        sleep 0.1
    done
}
eventually() { within "$SOON" "$@"; } # COMMAND...
wait_until() { # EXPECTED COMMAND...
    eventually "${@:2}" || explain "$1, within $SOON s" ""
}

# Plays a scene in which clients keep the server waiting. It bears that for 5 s, and a busy machine may take
# longer over the scene: if it failed then, it is played again. From "on_time" on the server waits for nobody, and
# if that was said in time, what follows is judged however long it takes.
in_time() { # COMMAND...
    local first=$SECONDS most=12
    [[ ! -e $WORK/impatient-$STAGE ]] || most=0
    local LIMIT=5 SOON=5 start fair result=0
    while rm -f "$ANSWER" && start=$SECONDS fair='' && ! "$@" >"$JOB/scene"; do
        [[ -z $fair ]] || { result=1 && break; }
        ((SECONDS - start >= 4 && SECONDS - first < most)) || { result=1 && break; }
        release
        kill -KILL "${OTHER:-}" 2>/dev/null || true
        settle
        rm -f "$JOB/explained"
    done
    cat "$JOB/scene"
    return "$result"
}
on_time() { ((SECONDS - start >= 4)) || fair=yes; }

# Gives the bytes on stdin to a client that waits for them at a FIFO. Fails if it has gone.
feed() { # FIFO
    timeout "$LIMIT" tee "$1" >/dev/null
}

# The test client, at our port; its complaints are in $JOB/client. A server that has let several requests wait for nothing is
# given less time for the next.
client() { # OPTION... ACTION...
    local options=() quiet=${QUIET:-6} seconds=$LIMIT result=0
    if [[ -e $WORK/hung-$STAGE ]]; then
        quiet=1
        [[ ${*: -1} != read ]] || seconds=8
        [[ ${*: -1} != read ]] || (($(wc -l <"$WORK/hung-$STAGE") < 5)) || seconds=3
    fi
    while [[ $1 == -* ]]; do options+=("$1" "$2") && shift 2; done
    [[ " $* " == *" $SENT "* ]] || printf '%s' "$*" >"$SENT"
    "$CLIENT" -t "$seconds" -q "$quiet" "${options[@]}" "$PORT" "$@" 2>"$JOB/client" 3>&- || result=$?
    if [[ $result == 4 && ${*: -1} == read ]]; then # out of time
        echo >>"$WORK/hung-$STAGE"
        because "an answer comes, but the connection is not closed after it"
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
    explain "an answer, and the end of the connection" "$hint"
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
    sed -n '/^\r$/q; s/[ \t]*\r$//; p' "$ANSWER" | sed -n "s/^$1:[[:space:]]*//Ip"
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
    LC_ALL=C sed '1,/^\r$/s/^Date:[ \t]*[A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] [0-9]\{4\} [0-9:]\{8\} GMT[ \t]*\r$/Date: (now)\r/I' "$1"
}

expect_status() { # STATUS HINT: one status, or several, as 403|404
    [[ -n $STATUS && "|$1|" == *"|$STATUS|"* ]] || explain "an answer with status $1" "$2"
}

# A client that is too slow is dropped: at once would be wrong, and much later too.
expect_drop() { # MILLISECONDS HINT
    # Nothing else than a number may be taken for a sum: bash would run a command that a server has put in it.
    [[ $1 =~ ^[0-9]+$ ]] || explain "the connection closed after 5 s" "after $LIMIT s it is still open: $2" || return 1
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
    IF_SILENT=$1 get / || return 1
    [[ $STATUS != 200 ]] || return 0
    [[ -z $STATUS ]] || because "GET / is answered with $STATUS, not with 200 (/ is html/index.html)"
    explain "an answer to the next request, GET /" "$1"
}

# Reads or sets a limit of the server; only its own user may. A server that has died has none.
limit() { # PID OPTION...
    local as=()
    [[ $SERVER_USER == root ]] || as=(setpriv --reuid="$SERVER_USER" --regid=65534 --clear-groups)
    alive "$1" || return 1
    "${as[@]}" prlimit --pid "$@"
}

# A request to a server that can start neither process nor thread.
get_without_processes() {
    local soft
    soft=$(limit "$PID" --nproc --output SOFT --noheadings)
    limit "$PID" --nproc=1:
    IF_SILENT="the socket of a client that nobody can serve is closed; fork() returns -1 then, pthread_create() an error number, which is above 0" get /
    limit "$PID" --nproc="$soft:"
}

# A client that gets none leaves a line on stderr, or in the log: it names the call, or says why it failed.
expect_complaint() { # CALL
    complaints() { cat "$ERRORS" "$LOG" | grep -ciE "${1%??}|unavailable|EAGAIN|process|thread" || true; }
    local before
    settle
    before=$(complaints "$1")
    get_without_processes
    more() { (($(complaints "$1") > before)); }
    eventually more "$1" || explain "a line on stderr when $1 fails" "say so with perror(), or with the error number that it returns"
}

# The processes that the server has started for its clients, and those that they have.
children() { pgrep --session "$(<"$JOB/group")" | grep -vxF -f "$JOB/frame" || true; }
count_children() { children | wc -w; }
count_threads() { count_entries "/proc/$PID/task"; }
count_descriptors() { count_entries "/proc/$PID/fd"; }
count_entries() { # DIRECTORY
    local entries=("$1"/*)
    echo "${#entries[@]}"
}
# Sanitizers need memory of their own, so that of the server is not measured then.
measures_memory() { [[ -z $SANITIZE ]]; }
resident_kb() { memory_kb VmRSS; }
memory_kb() { # FIELD: 0 when the server has died
    awk -v field="$1:" '$1 == field {kb = $2} END {print kb + 0}' "/proc/$PID/status" 2>/dev/null || echo 0
}
cpu_ticks() { # the CPU time of the server, in 10 ms
    alive "$PID" || return 1
    sed 's/.*) //' "/proc/$PID/stat" | awk '{print $12 + $13}'
}

# How many percent of a second the server runs, or wants to: on a busy machine too, a server that waits is asleep
# whenever one looks.
percent_running() {
    local percent=0
    for _ in {1..20}; do
        [[ ! $(<"/proc/$PID/stat") =~ \)\ R ]] || percent=$((percent + 5))
        sleep 0.05
    done
    echo "$percent"
}

# Waits until the server has nothing of earlier clients, or has kept it for 3 s.
settle() {
    local now before="" since=$SECONDS
    while now="$(count_descriptors) $(count_children) $(count_threads)"; do
        if [[ $now != "$before" ]]; then before=$now since=$SECONDS; fi
        ((SECONDS - since < 3)) || return 0
        ((${now%% *} > $(<"$JOB/descriptors") || $(count_children) > 0)) || return 0
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
