# The server under test: the tree that it serves, its start and its end.

# How a server is started: in a place where it sees nothing but itself and its site, with limits, and as a user
# with no rights but to read, so that a test can take a file or a process away from it.
AS=("${BASH_SOURCE[0]%/*}/confine" -r "$PLACE" -w "$SITE" -r "$HTML" "$SERVER_USER")

# Stage 8 never rests. So its server gets a ninth of the CPU time that another session gets. (Linux shares the CPU out by
# sessions first, and then, by nice, among the processes of a session; in a container, by nice alone.)
IN_SESSION=(setsid)
# A homework's server goes before the sessions that it may start, which would take the CPU from the homeworks beside it.
# shellcheck disable=SC2016
[[ -z ${GRADED:-} || $SANDBOX == user ]] || IN_SESSION=(setsid sh -c '{ echo -15 >/proc/self/autogroup; } 2>/dev/null; exec "$@"' -)
# shellcheck disable=SC2016
((STAGE != 8)) || IN_SESSION=(setsid sh -c '{ echo 10 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 10 "$@"' -)

random_name() { # so that no server can know it
    printf '%04x%04x%02x' "$RANDOM" "$RANDOM" $((RANDOM % 256))
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
        skip "port 8080 is taken, and there are no namespaces here: end what listens on it (ss -ltnp)"
    fi
    if [[ -e $TOGETHER-started ]]; then
        launch >"$JOB/first-start" || { lingers "$ASKED" && launch_again; } || { cat "$JOB/first-start" && return 1; }
        return
    fi
    exec 6>"$TOGETHER-turn"
    flock 6
    if hopeless; then
        not_tried_again || failed=yes
    elif ! launch >"$JOB/first-start"; then # once may be bad luck
        launch_again || failed=yes
    fi
    exec 6>&- # with the last descriptor, the lock is gone
    [[ -z $failed ]]
}

# Starts it once more. In stages 1 to 4 the port cannot be another: where connections of the server before keep it from starting,
# it has to wait until the kernel forgets them, after 60 s. Only one test is about that. (Not for more than a few times.)
launch_again() {
    stop_server
    discard "$JOB/explained"
    if ((STAGE < 5)) && lingers "$ASKED" && (($(count_lines "$JOB/waits") < 4)); then
        echo "$SECONDS" >>"$JOB/waits"
        within 130 forgotten "$ASKED" || true
    fi
    launch
}

launch() {
    discard "$JOB/killed" "$JOB/first" "$JOB/ended" # the shell beside an earlier server may note its end only now
    # A shell beside the server notes its exit status, and then waits: children outlive the server.
    # shellcheck disable=SC2016,SC2046
    (cd "$SITE" && exec "${IN_SESSION[@]}" "${AS[@]}" sh -c '"$@" 2>&8 8>&- 9>&- & wait $!; echo $? >&9; exec sleep infinity' - \
        "$PLACE/server" $(port_arguments "$ASKED")) >"$LOG" 8>>"$ERRORS" 9>"$JOB/ended" 2>/dev/null 3>&- 6>&- </dev/null &
    PID=$!
    disown "$PID" # bash need not report its end
    echo "$PID" >"$JOB/group"
    local end=$((SECONDS + LIMIT))
    LAUNCHED=$SECONDS
    # Most servers say where they listen. So it is looked for when they have said something, or after 0.5 s.
    for _ in {1..25}; do [[ ! -s $LOG && ! -s $JOB/ended ]] || break; pause 0.02; done
    until find_server; do
        if [[ -s $JOB/ended ]] || ! alive "$PID" || ((SECONDS >= end)); then
            give_up "a server that listens on port $ASKED" "the server does not start to listen on port $ASKED" || return 1
        fi
        pause 0.1
    done
    echo "$PID $PORT $ASKED" >"$JOB/running"
    status_of SigCgt >"$JOB/caught"
    printf 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' >"$SENT"
    client file "$SENT" answer >"$JOB/first" || true
    [[ -s $JOB/first ]] || give_up "an answer to GET /" "$(crash || echo "the server listens on port $PORT, but does not answer GET /$( ((STAGE != 7)) ||
        echo " (does the main thread close the client's socket, too? all threads share it, so only the one that serves the client closes it)")")" || return 1
    discard "$JOB/failures" "$SENT"
    : >>"$TOGETHER-started"
    within 3 has_none || true # what belongs to the first client is not the server's own
    : >"$JOB/frame"
    look
    printf '%s\n' "${FOUND[@]}" >"$JOB/frame"
    echo "$DESCRIPTORS" >"$JOB/descriptors"
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
    [[ -e $JOB/failures || -e $TOGETHER-killed || -e $TOGETHER-failures ]] || return 1
    (($(count_lines "$JOB/failures") >= 2 || $(count_lines "$TOGETHER-killed") >= 3)) ||
        { [[ ! -e $TOGETHER-started ]] && (($(count_lines "$TOGETHER-failures") >= 2)); }
}
count_lines() { # FILE, which may not be there
    local lines=()
    [[ ! -e $1 ]] || mapfile -t lines <"$1"
    echo "${#lines[@]}"
}
not_tried_again() {
    because "$(cat "$TOGETHER-failures" "$JOB/failures" "$TOGETHER-killed" 2>/dev/null | tail -n 1)"
    explain "a server that can be tested" "several starts have failed, so it is not tried again"
}

# Where the server listens: on the port that it was given, or on another, if that is what it does (and not what
# an earlier server still does, which ends just now). Sets PORT, and PID to the process that has the socket, which a
# script may have started.
find_server() {
    local user=$SERVER_USER line words hex socket holder holders sockets=()
    [[ $user != self ]] || user=$EUID
    find_listeners
    for line in "${LISTENERS[@]}"; do
        read -ra words <<<"$line"
        [[ ${words[7]} == "$user" ]] || continue
        hex=${words[1]##*:}
        if ((16#$hex == ASKED)); then
            sockets=("$ASKED ${words[9]}" "${sockets[@]}")
        elif ((SECONDS > LAUNCHED + 1)); then
            sockets+=("$((16#$hex)) ${words[9]}")
        fi
    done
    for socket in "${sockets[@]}"; do
        holders=$(find /proc/[0-9]*/fd -lname "socket:\[${socket#* }\]" 2>/dev/null | cut -d / -f 3 | sort -n)
        for holder in "$PID" $holders; do
            [[ $'\n'$holders$'\n' == *$'\n'"$holder"$'\n'* ]] || continue
            # Without namespaces, other programs of ours may listen, too: this one is of our session.
            [[ $SANDBOX != none || $user != "$EUID" ]] || { read_stat "$holder" && [[ ${STAT[3]} == "$(<"$JOB/group")" ]]; } || continue
            PORT=${socket% *} PID=$holder
            return
        done
    done
    return 1
}

# Ends the server, and all that it has started.
stop_server() {
    local group
    : >>"$JOB/killed"
    read -r group <"$JOB/group"
    kill -KILL -- "-$group" 2>/dev/null || true
    [[ $SANDBOX != none || $SERVER_USER == self ]] || end_processes
    wait_until "a server that ends when it is killed" is_gone
    discard "$JOB/running"
}
# Whether its process is gone; and its socket, where the next server may want the same port.
is_gone() { ! alive "$PID" && { ((STAGE >= 5 && ${PORT:-0} == ASKED)) || ! listens "${PORT:-0}"; }; }

# Ends the server, but not what it has started.
kill_server() {
    : >>"$JOB/killed"
    kill -KILL "$PID"
    wait_until "the server's process ends when it is killed" eval "! alive $PID"
}

death_by_signal() { # WHO NUMBER
    local signal
    signal=SIG$(kill -l "$2")
    case $signal in
    SIGPIPE) echo "$1 dies of SIGPIPE: it sends to a client that has gone (send(2): MSG_NOSIGNAL; or signal(2): SIG_IGN)" ;;
    SIGSEGV | SIGBUS) echo "$1 dies of $signal: it uses memory that is not its own (a debugger shows where)" ;;
    SIGABRT) echo "$1 dies of SIGABRT: the C library or a sanitizer has found memory in disorder" ;;
    *) echo "$1 dies of $signal" ;;
    esac
}

# Whether the server is a script whose first line names a program that is not there. Sets SCRIPT to that line.
lacks_program() {
    local word words=()
    { IFS= read -r SCRIPT <"$PLACE/server"; } 2>/dev/null || true
    [[ $SCRIPT == '#!'* ]] || return 1
    read -ra words <<<"${SCRIPT#'#!'}"
    for word in "${words[@]}"; do
        [[ $word == */env || $word == -* ]] || break
    done
    ! type -P -- "${word:-}" >/dev/null
}

# Says of which signal a child dies that gets once more what was sent last. Fails if none does, or if this system lets nobody look.
crash() {
    ((STAGE == 6)) && alive "$PID" || return 1
    local watcher signal=
    "$CLIENT" -t 3 -w "$PID" >"$JOB/watched" 2>/dev/null 3>&- &
    watcher=$!
    within 2 test -s "$JOB/watched" || true
    "$CLIENT" -t 3 "$PORT" file "$SENT" read >/dev/null 2>&1 3>&- || true
    wait "$watcher" 2>/dev/null || true
    signal=$(sed -n 's/^signal //p' "$JOB/watched")
    [[ -n $signal ]] && death_by_signal "a child of the server" "$signal"
}

# Says what is wrong with all answers of the server, if something is: then that is the cause, whatever a test looks at. The first
# test that fails looks for it; if the server does not answer then, so do the next two.
flaw() {
    ((STAGE >= 3)) && alive "$PID" || return 0
    if [[ ! -e $JOB/flaw ]]; then
        echo >>"$JOB/looks"
        if (($(count_lines "$JOB/looks") > 3)) || look_for_flaw >"$JOB/seen" 2>/dev/null 3>&-; then mv "$JOB/seen" "$JOB/flaw"; fi
    fi
    [[ ! -e $JOB/flaw ]] || echo "$(<"$JOB/flaw")"
}
# Sets ANSWERS to how many come. Fails if the server is silent for 3 s: that may be the machine.
get_answers() { # ACTION...
    local result=0
    "$CLIENT" -t 3 "$PORT" "$@" >"$JOB/answers" || result=$?
    ANSWERS=$(grep -ac '^HTTP/1' "$JOB/answers" || true)
    ((result != 4))
}
look_for_flaw() {
    local first=$'GET / HTTP/1.1\r\nHost: test\r\n\r\n' rest=$' HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'
    local last="GET /$rest" base result=0 other ANSWER=$JOB/last
    for _ in {1..20}; do # one that takes EAGAIN for the end answers now and then
        result=0
        "$CLIENT" -t 3 "$PORT" send "$last" read >"$ANSWER" || result=$?
        if [[ -s $ANSWER ]]; then break; elif ((result == 4)); then return 1; fi
    done
    [[ -s $ANSWER ]] || return 1
    if "$CLIENT" -t 3 "$PORT" send "GET /$NAME-missing$rest" read | head -n 1 | grep -q '^HTTP/1.. 200'; then
        echo "a file that is not there is answered with 200, and not with 404"
        return 0
    fi
    if ((STAGE == 6)); then
        read -r base <"$JOB/descriptors"
        ((result != 4)) || ! look || ((DESCRIPTORS <= base)) ||
            echo "the parent keeps its copy of each client's socket: after fork() it must close(client)"
        return 0
    fi
    ((STAGE >= 8)) || return 0
    "$CLIENT" -t 6 "$PORT" send "GET / HT" wait 5000 &
    other=$!
    read_field Content-Length
    if get_answers wait 200 send "$last" read && ((ANSWERS == 0)); then
        echo "who sends a request a moment after connecting gets no answer: recv() fails with EAGAIN, which means nothing yet, and not the end"
    elif ! get_answers send "$last" read; then
        kill "$other" 2>/dev/null || true
        ! get_answers send "$last" read ||
            echo "a client that stalls holds up the others: no call may wait for it (each client's socket is non-blocking, not only the listener)"
    elif ((STAGE == 9)) && [[ $FIELD =~ ^[0-9]{1,9}$ && $FIELD != $(body | wc -c) ]]; then
        echo "Content-Length is not the length of the body"
    elif ((STAGE == 9)) && get_answers send "$first" answer send "$last" read && ((ANSWERS == 1)); then
        echo "the connection is closed after each answer: in HTTP/1.1 it stays open, unless one side says Connection: close"
    fi
    kill "$other" 2>/dev/null || true
    wait "$other" || true
}

# Says how the server has ended, if it has done so by itself.
death() {
    [[ ! -e $JOB/killed && -e $JOB/group ]] || return 0
    alive "${PID:-}" || within 2 test -s "$JOB/ended" || true # the shell beside it notes it in a moment
    if [[ -s $JOB/ended ]]; then
        local status signal
        status=$(<"$JOB/ended")
        [[ $status =~ ^[0-9]{1,3}$ ]] || status=0 # bash runs a command in what it takes for a sum
        if ((status > 128)); then
            death_by_signal "the server" $((status - 128))
        elif ((status > 125)) && lacks_program; then
            echo "the server ends at once: there is no such program as the first line of its script names$([[ $SCRIPT != *$'\r' ]] ||
                echo ": this line ends with CR LF, as on Windows, and so the CR belongs to the name"): ${SCRIPT%$'\r'}"
        elif lingers "$ASKED" && tail -n 1 "$ERRORS" | grep -qi "in use"; then
            echo "the server ends at its start, because connections of the one before still linger (the notes: 2msl): it does not set SO_REUSEADDR"
        else
            echo "the server ends by itself, with exit status $status$( ((STAGE != 7)) || echo " (exit() in a thread ends all threads)")$([[ $STAGE != 6 || -z ${STARVED:-} ]] ||
                echo ": when fork() fails, it returns -1, and the parent must not go on as if it were the child")"
        fi
    elif ! alive "$(<"$JOB/group")"; then
        if [[ -s $TOGETHER-killed ]]; then echo "the server was $(tail -n 1 "$TOGETHER-killed")"; else echo "the server was killed"; fi
    fi
}
has_died() { [[ -s $JOB/ended && ! -e $JOB/killed ]]; } # by itself

# Starts another program as a server, which prints to $JOB/other. Sets OTHER, its process.
start_other() { # PROGRAM ARGUMENT...
    discard "$JOB/other"
    (cd "$SITE" && exec "${IN_SESSION[@]}" "${AS[@]}" "$@") >"$JOB/other" 2>&1 3>&- </dev/null &
    OTHER=$!
    disown "$OTHER"
}

other_is_alive() { alive "$OTHER"; }

# Starts a server that has to end by itself, in this directory. Sets ENDED, its exit status; what it says is
# in $JOB/said and $JOB/complaint. It runs on if it waits for 5 s (some servers try bind() again for 2 or 3 s), or has used
# 5 s of the CPU: on a busy machine its end may take long.
try_server() { # DIRECTORY ARGUMENT...
    local since=$SECONDS
    ENDED=0 TICKS=0
    (cd "$1" && exec timeout -s KILL $((6 * LIMIT)) "${AS[@]}" "$PLACE/server" "${@:2}") >"$JOB/said" 2>"$JOB/complaint" 3>&- </dev/null &
    TRIED=$!
    while alive "$TRIED" && ((SECONDS - since < 5 && TICKS < 500)); do
        look_at_group "$TRIED"
        [[ -n $ASLEEP ]] || since=$SECONDS
        pause 0.05
    done
    { kill -KILL -- "-$TRIED"; wait "$TRIED"; } 2>/dev/null || ENDED=$?
    TRIED=
}

# Whether it has said this on stderr, in one line.
complains() { # PATTERN
    local lines
    mapfile -t lines <"$JOB/complaint"
    # shellcheck disable=SC2053
    ((${#lines[@]} == 1)) && [[ ${lines[0]} == $1 ]]
}

expect_end() { # STATUS [HINT]
    [[ $ENDED == "$1" ]] || explain "a program that ends with status $1" "$( ((ENDED == 137)) && echo "it runs on" || echo "the status is $ENDED")${2:+; $2}; it says: $(said "$JOB/complaint")"
}

