#!/usr/bin/env bats
# A thread for each client: one process, where all is shared.
bats_require_minimum_version 1.5.0
load lib/helpers

request=$'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# bats test_tags=until:7
@test "each client has a thread of its own, as long as it is connected" {
    get / # the first thread may bring another that stays: that of a sanitizer
    settle
    steady() { look && before=$THREADS && pause 0.3 && look && ((THREADS == before)); }
    wait_until "the threads of earlier clients have ended" steady
    ten() { look && ((THREADS == before + 10 && CHILDREN == 0)); }
    connect_ten() {
        threads() {
            ((THREADS != before + 1)) ||
                because "the server waits for one thread before it accepts the next client (pthread_join() at once: pthread_detach() instead)"
            ((CHILDREN == 0 || THREADS > before)) || because "a client is served by a process of its own, and not by a thread"
            explain "10 threads more, and no process, as long as 10 clients are connected" \
                "here are $((THREADS - before)) threads and $CHILDREN processes: pthread_create() for each client"
        }
        hold -n 10 && { eventually ten || threads; } || return 1
        pause 1.5 # a thread whose socket is closed under it lives for another second
        eventually ten || threads
    }
    in_time connect_ten || return 1
    release
    gone() { look && ((THREADS <= before)); }
    wait_until "the clients have left, and so have their threads" gone
}

@test "the log names one process for all requests" {
    mark=$(random_name)
    hold -n 5
    for i in 1 2 3; do
        IF_SILENT="clients that stall hold up another one: does a thread hold a lock while it serves a client?" get "/?$mark-$i"
    done
    release
    three() { (($(grep -c "$mark" "$LOG") == 3)); }
    wait_until "three lines in the log" three
    id=$(awk '/^NSpid/ {print $NF}' "/proc/$PID/status") # as the server sees itself
    [[ $(grep "$mark" "$LOG" | sed 's/ .*//' | sort -u) == "[$id]" ]] ||
        explain "[$id] in all lines of the log" "threads are in one process, which has one getpid(): $(grep "$mark" "$LOG" | sed '2,$s/^/          /')"
}

# bats test_tags=given
@test "clients that are served at the same time do not get each other's answers" {
    random_bytes 3000000 >"$HTML/one-$NAME"
    random_bytes 3000000 >"$HTML/two-$NAME"
    # Both requests come in halves that alternate, and both files are read in turns.
    for file in one two; do
        client send "GET /$file" wait 200 send "-$NAME HTTP/1.1"$'\r\nHost: test\r\n'"Connection: close"$'\r\n' wait 200 \
            send $'\r\n' slowly 100000 5 >"$JOB/$file" 3>&- &
    done
    wait
    for file in one two; do
        cp "$JOB/$file" "$ANSWER"
        read_status
        expect_file "$HTML/$file-$NAME" "is there one buffer, or one variable with the socket, for two threads?" || return 1
    done
}

# bats test_tags=given
@test "requests that are read at the same time are not mixed up" {
    # To read a long path, to open it, and to send a large page takes its time: what is static then, or global, is overwritten
    # while it is in use. Four clients ask for a small page, for its head, for one that is missing, and for a directory; two for
    # a large page.
    printf -v name '%0100d' 0
    method=("" GET HEAD GET GET GET GET) file=("" page.txt page.txt missing "" page.txt page.txt) status=(0 200 200 404 301 200 200)
    rounds=(0 300 300 300 300 15 15) lines=(0 1 0 0 0 20000 20000)
    [[ -z $SANITIZE ]] || rounds=(0 40 40 40 40 2 2) # ThreadSanitizer needs no luck to see it, but takes its time
    for i in {1..6}; do
        mark[i]=$(random_name)
        printf -v path "/$name%.0s" $(seq $((22 - 2 * i)))
        mkdir -p "$HTML/${mark[i]}$path/directory"
        target[i]=/${mark[i]}${path//0/%30}/${file[i]:-directory}
        yes "page ${mark[i]}" | head -n $((lines[i] > 0 ? lines[i] : 1)) >"$HTML/${mark[i]}$path/page.txt" || true # of SIGPIPE
    done
    for i in {1..6}; do
        "$CLIENT" -t 120 -r "${rounds[i]}" "$PORT" send "${method[i]} ${target[i]} HTTP/1.1"$'\r\nHost: test\r\nConnection: close\r\n\r\n' read \
            >"$JOB/mixed-$i" 2>"$JOB/client" 3>&- &
    done
    wait
    shared="two clients at a time share a variable or a buffer: what belongs to one client is local to the function that serves it, not static, not \
global, and not in a function such as strtok() that keeps it"
    because "$shared"
    for i in {1..6}; do
        asked="${rounds[i]} times ${method[i]} of client $i, with status ${status[i]}"
        wrong=$(grep -aoE "HTTP/1\.[01] (200|301|404)" "$JOB/mixed-$i" | grep -cv "${status[i]}" || true)
        ((wrong == 0)) || explain "$asked" "$wrong answers have the status of another client's" || return 1
        right=$(grep -acx "page ${mark[i]}" "$JOB/mixed-$i" || true) any=$(grep -acE "^page [0-9a-f]+$" "$JOB/mixed-$i" || true)
        ((right == any && any == rounds[i] * lines[i])) ||
            explain "$asked" "of $((rounds[i] * lines[i])) lines of its page, $right have come, and $((any - right)) of others" || return 1
        right=$(grep -aciE "^Location: .*${mark[i]}" "$JOB/mixed-$i" || true)
        ((status[i] != 301 || right == rounds[i])) || explain "$asked" "$right answers have its Location" || return 1
    done
    because "lines of the log are mixed up when two clients are served at the same time: print each line with one call, from a buffer of its own"
    for i in {1..6}; do
        count() { logged=$(grep -acE "^\[[0-9]+\] ${method[i]} /${mark[i]}[^ []* $1\$" "$LOG" || true); }
        complete() { count "[0-9]{3}" && ((logged == rounds[i])); }
        eventually complete || explain "${rounds[i]} lines in the log for client $i" "here are $logged" || return 1
    done
    because "$shared"
    for i in {1..6}; do
        count "${status[i]}"
        ((logged == rounds[i])) || explain "${rounds[i]} lines in the log for client $i, with status ${status[i]}" "here are $logged" || return 1
    done
}

# bats test_tags=until:7,given
@test "when pthread_create fails, that client is dropped, and the server goes on" {
    settle
    descriptors=$DESCRIPTORS
    get_without_processes
    [[ ! -s $ANSWER || $STATUS == 503 ]] || explain "the connection closed, or 503: there was no thread for it" "did pthread_create() fail?" || return 1
    expect_service "with threads again, the next client is served" || return 1
    closed() { look && ((DESCRIPTORS <= descriptors)); }
    wait_until "the socket of the client that had no thread is closed" closed
}

# bats test_tags=until:7,given
@test "the log has a line for a pthread_create that fails" {
    expect_complaint "pthread_create()"
}

# bats test_tags=given
@test "500 clients leave no thread and no memory behind" {
    client -r 50 send "$request" read >/dev/null
    look
    threads=$THREADS memory=$(memory_kb VmSize)
    client -t 120 -r 500 send "$request" read >/dev/null ||
        explain "500 answers" "pthread_create() fails after a while: a thread that is neither joined nor detached keeps its stack; the client says: $(said "$JOB/client")" || return 1
    gone() { look && ((THREADS <= threads)); }
    wait_until "all threads of clients that have left have ended" gone
    grown=$(($(memory_kb VmSize) - memory))
    ! measures_memory || ((grown < 100000)) || explain "no more memory than before" \
        "it grew by $grown KiB: a thread that is neither joined nor detached keeps its stack"
}
