# What can be seen of processes, from outside: Linux shows it in /proc. What is asked often starts no process for it.

# Waits, without a process for it: nobody writes into this FIFO.
pause() { # SECONDS
    [[ -n ${NOBODY:-} ]] || exec {NOBODY}<>"$JOB/nobody"
    read -r -t "$1" -u "$NOBODY" || true
}

# Waits until a command succeeds. Fails if it does not in time, or the server dies meanwhile.
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        if ((SECONDS >= end)) || has_died; then return 1; fi
        pause 0.1
    done
}
eventually() { within "$SOON" "$@"; } # COMMAND...

# Sets SOCKETS to how many sockets of TCP are in use in this network, those for IPv4 alone, or those for IPv6. (For the next table,
# /proc/net/tcp, the kernel goes through all connections that it may have, and so it takes long: it is read at once, if at all.)
count_sockets() { # [6]
    local name number
    SOCKETS=0
    while read -r name _ number _; do
        if [[ $name == TCP* ]]; then SOCKETS=$number; fi
    done 2>/dev/null <"/proc/net/sockstat${1:-}" || true # without IPv6, there is no such file
}
# Sets LISTENERS to the sockets that listen: their lines of /proc/net/tcp, and of tcp6.
find_listeners() {
    local lines line version
    LISTENERS=()
    for version in '' 6; do
        count_sockets "$version"
        ((SOCKETS > 0)) || continue
        mapfile -t -s 1 -n 100 lines <"/proc/net/tcp$version"
        for line in "${lines[@]}"; do # those that listen come first
            [[ $line == *" 0A "* ]] || break
            LISTENERS+=("$line")
        done
    done
}

# Whether somebody listens on a port of this machine.
listens() { # PORT
    local hex
    printf -v hex %04X "$1"
    find_listeners
    [[ " ${LISTENERS[*]} " == *":$hex "*([0-9A-F]):0000" 0A "* ]]
}

# Whether connections of this port are left that nobody listens for any more.
lingers() { # PORT
    local hex
    printf -v hex %04X "$1"
    ! listens "$1" && awk -v port=":$hex\$" '$2 ~ port {found = 1; exit} END {exit !found}' /proc/net/tcp*
}
forgotten() { ! lingers "$1"; } # PORT

# Sets UNSENT to the bytes that the server has sent, and that its clients have not received yet: those in the kernel.
count_unsent() {
    local words hex
    printf -v hex %04X "$PORT"
    UNSENT=0
    while read -ra words; do
        UNSENT=$((UNSENT + 16#${words[4]%%:*}))
    done < <(grep -E "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:[0-9A-F]+ 01 " /proc/net/tcp)
}

# Whether a process of the server, whichever, has the socket of a client: before accept(), and after close(), it has no inode.
# The states are those of /proc/net/tcp: 01 is an established connection, 08 one that the client has closed, 0A the listener.
has_connection() { # [STATE|STATE...]
    local hex
    printf -v hex %04X "$PORT"
    awk -v port=":$hex\$" -v states="^(${1:-0[1-9B]})\$" '$2 ~ port && $4 ~ states && $10 > 0 {found = 1; exit} END {exit !found}' \
        /proc/net/tcp*
}
has_client() { has_connection "01|08"; }
# Whether there is none, with a server that listens: mostly, then its socket is the only one.
has_none() {
    local sum
    count_sockets
    sum=$SOCKETS
    count_sockets 6
    sum=$((sum + SOCKETS))
    ((sum == 1)) || ! has_connection
}

free_port() {
    local port
    while port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); listens "$port"; do continue; done
    echo "$port"
}

# The words of a process's line in /proc/PID/stat from its state on, in STAT; its name may have any characters. Fails if there
# is no such process.
read_stat() { # PID
    local line=
    { IFS= read -r -d '' line <"/proc/$1/stat" || [[ -n $line ]]; } 2>/dev/null || return 1
    read -ra STAT <<<"${line##*)}"
}
alive() { read_stat "$1" && [[ ${STAT[0]} != [ZX] ]]; } # PID

# Sets FOUND to the processes that the server has started for its clients, and those that they have.
find_children() {
    local process session frame=()
    read -r session <"$JOB/group"
    mapfile -t frame <"$JOB/frame"
    FOUND=()
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        read_stat "$process" || continue
        [[ ${STAT[3]} != "$session" || " ${frame[*]} " == *" $process "* ]] || FOUND+=("$process")
    done
}
# Of the processes of a group: sets ASLEEP, if all wait for something, or have ended, and TICKS to the CPU time that they have
# used, in 10 ms.
look_at_group() { # GROUP
    local process
    ASLEEP=yes TICKS=0
    for process in /proc/[0-9]*; do
        if read_stat "${process#/proc/}" && ((STAT[2] == $1)); then
            TICKS=$((TICKS + STAT[11] + STAT[12]))
            [[ ${STAT[0]} == [SZ] ]] || ASLEEP=
        fi
    done
}
# Whether all processes of the server that are alive are in this state: S (asleep), T (stopped).
all_are() { # STATE
    local process
    find_children
    for process in "$PID" "${FOUND[@]}"; do
        ! alive "$process" || [[ ${STAT[0]} == "$1" ]] || return 1
    done
}
# Whether all of them wait for something, and so have done what they had to. Stage 8 never waits.
asleep() { all_are S || ((STAGE == 8)); }
# Says why children are zombies, if there are so many of them.
zombies() { # COUNT
    local process zombies=0 caught
    [[ -e $JOB/caught ]] || return 1
    find_children
    for process in "${FOUND[@]}"; do
        if read_stat "$process" && [[ ${STAT[0]} == Z ]]; then zombies=$((zombies + 1)); fi
    done
    ((zombies >= $1)) || return 1
    caught=$(<"$JOB/caught")
    if ((16#$caught >> 16 & 1)) && ! ((16#$(status_of SigCgt) >> 16 & 1)); then # SIGCHLD is 17: bit 16
        echo "its children are zombies: the handler of SIGCHLD was called only once, because signal() has installed it: use sigaction()"
    else
        echo "its children are zombies: they have ended, and the parent does not wait for them (ignore SIGCHLD, or install a handler with \
sigaction() that calls waitpid(-1, NULL, WNOHANG) until no ended child is left)"
    fi
}
count_descriptors() { count_entries "/proc/$PID/fd"; }
# All three, without a process for it: sets CHILDREN, THREADS and DESCRIPTORS.
look() {
    local descriptors=("/proc/$PID/fd/"*) threads=("/proc/$PID/task/"*)
    find_children
    CHILDREN=${#FOUND[@]} THREADS=${#threads[@]} DESCRIPTORS=${#descriptors[@]}
    [[ -e /proc/$PID/fd ]] || THREADS=0 DESCRIPTORS=0
}
count_entries() { # DIRECTORY
    local entries=("$1"/*)
    [[ -e $1 ]] || entries=()
    echo "${#entries[@]}"
}

# Sanitizers need memory of their own, so that of the server is not measured then.
measures_memory() { [[ -z $SANITIZE ]]; }
resident_kb() { memory_kb VmRSS; }
memory_kb() { status_of "$1"; } # FIELD
status_of() { # FIELD: its number in /proc/PID/status, 0 when the server has died
    local field number
    while read -r field number _; do
        [[ $field != "$1:" ]] || { echo "$number" && return; }
    done 2>/dev/null <"/proc/$PID/status" || true
    echo 0
}
cpu_ticks() { # the CPU time of the server, in 10 ms
    alive "$PID" || return 1
    echo $((STAT[11] + STAT[12]))
}

# How much of the next seconds the server uses the CPU, in percent. A busy machine leaves it less, never more: one that waits
# uses next to nothing everywhere, and one that asks again and again still has 10% beside 8 other programs on two cores.
BUSY=5
percent_running() { # [SECONDS]
    local before start
    before=$(cpu_ticks) start=${EPOCHREALTIME/./}
    pause "${1:-1}"
    echo $((($(cpu_ticks) - before) * 1000000 / (${EPOCHREALTIME/./} - start)))
}
wake_ups() { status_of voluntary_ctxt_switches; }

# Waits until the server has nothing of earlier clients, or has kept it for 3 s; a connection, for 8 s.
settle() {
    local now before="" since=$SECONDS base
    read -r base <"$JOB/descriptors"
    while look && now="$DESCRIPTORS $CHILDREN $THREADS"; do
        if [[ $now != "$before" ]]; then before=$now since=$SECONDS; fi
        ((SECONDS - since < 3)) || { ((SECONDS - since < 8)) && has_connection; } || return 0
        ((DESCRIPTORS > base || CHILDREN > 0)) || return 0
        pause 0.1
    done
}

# Skips a test that needs more descriptors than anybody is allowed here.
need_descriptors() { # COUNT
    local hard
    hard=$(ulimit -Hn)
    [[ $hard == unlimited ]] || ((hard >= $1)) ||
        skip "the hard limit of descriptors is $hard here (ulimit -Hn), and this test needs $1: raise it"
}

# The lowest descriptor that is free in a process.
free_descriptor() { # PID
    local number=0
    while [[ -e /proc/$1/fd/$number || -L /proc/$1/fd/$number ]]; do number=$((number + 1)); done
    echo "$number"
}

# Reads or sets a limit of a process; only its own user may. One that has died has none.
limit() { # PID OPTION...
    local as=()
    [[ $SERVER_USER == self ]] || as=(setpriv --reuid="$SERVER_USER" --regid="$SERVER_USER" --clear-groups)
    alive "$1" || return 1
    "${as[@]}" prlimit --pid "$@"
}

# A request to a server that can start neither process nor thread.
get_without_processes() {
    local soft
    STARVED=yes
    soft=$(limit "$PID" --nproc --output SOFT --noheadings)
    limit "$PID" --nproc=1:
    IF_SILENT="the socket of a client that nobody can serve is closed; fork() returns -1 then, pthread_create() an error number, which is above 0" get /
    limit "$PID" --nproc="$soft:"
}
