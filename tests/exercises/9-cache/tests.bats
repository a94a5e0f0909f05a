#!/usr/bin/env bats
# Open files are kept for a second.
# The file that this test asks for may be open already:
# Replaces: out of descriptors for the file, the answer is 503
bats_require_minimum_version 1.5.0
load ../../lib/helpers

end=$'HTTP/1.1\r\nHost: test\r\n\r\n'
last=$'HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

# How many descriptors of the server stand for these files.
count_descriptors_of() { # FILE...
    stat -L -c %d:%i "/proc/$PID/fd/"* 2>/dev/null | grep -cxF -f <(stat -c %d:%i "$@") || true
}
# Waits until all files of earlier tests are closed.
forget_files() {
    none_open() {
        (($(stat -L -c '%d:%i %F' "/proc/$PID/fd/"* 2>/dev/null | sed -n 's/ regular.*//p' |
            grep -cvxF -f <(stat -c %d:%i "$LOG" "$ERRORS")) == 0))
    }
    wait_until "all files closed when their second is over" none_open
}

# A file that the server has not seen yet.
new_file() { # CONTENTS
    FILE=$(random_name).html
    echo "$1 $FILE" >"$HTML/$FILE"
}
# Another file gets its name.
replace_file() {
    echo "new, and longer than the old one: $FILE" >"$JOB/new"
    cp "$JOB/new" "$HTML/$FILE.new"
    cp "$HTML/$FILE" "$JOB/old"
    mv "$HTML/$FILE.new" "$HTML/$FILE"
}

# Plays a scene that has to be over before the first second of its file is. On a busy machine it may not be: when it has
# failed, and took longer since start, nothing is known, and it is played again, with another file.
in_a_second() { # COMMAND...
    local start tries=0
    while new_file old && rm -f "$JOB/explained" && start=${EPOCHREALTIME/./} && ! "$@" >"$JOB/scene"; do
        ((${EPOCHREALTIME/./} - start > 900000 && ++tries < 10)) || { cat "$JOB/scene" && return 1; }
    done
}

serve_once() {
    get "/$FILE" || return 1
    expect_file "$HTML/$FILE" "a file that is asked for the first time"
}
stay_open() {
    serve_once || return 1
    (($(count_descriptors_of "$HTML/$FILE") == 1)) || explain "one descriptor for $FILE, when its response has been sent" \
        "here are $(count_descriptors_of "$HTML/$FILE"): keep the file open for a second; /proc/PID/fd shows what the server has open"
}
serve_twice() {
    serve_once || return 1
    replace_file
    get "/$FILE" || return 1
    expect_file "$JOB/old" "within a second, a name means the file that is open already: look for it before open()"
}

# bats test_tags=weight:4
@test "a file stays open when its response has been sent" {
    in_a_second stay_open
}

# bats test_tags=weight:4
@test "a file that is asked for again within a second is not opened again" {
    in_a_second serve_twice
}

# bats test_tags=slow,weight:5
@test "a file is opened anew after a second, however often it is asked for" {
    in_a_second serve_twice || return 1
    renewed() { get "/$FILE" && body | cmp -s - "$JOB/new"; }
    eventually renewed || explain "the new file, a second after the old one was opened" \
        "it is asked for all the time: that must not make its second longer" || return 1
    rm "$HTML/$FILE"
    missing() { get "/$FILE" && [[ $STATUS == 404 ]]; }
    eventually missing || explain "404, a second after the file was opened" "it is not there any more"
}

# bats test_tags=slow,weight:2
@test "a file that nobody asks for any more is closed after its second" {
    in_a_second stay_open || return 1
    closed() { (($(count_descriptors_of "$HTML/$FILE") == 0)); }
    wait_until "$FILE closed, two seconds after it was opened" closed
}

# bats test_tags=weight:2
@test "at most 64 files stay open" {
    mkdir -p "$HTML/many"
    for number in {1..200}; do
        echo "$number $NAME" >"$HTML/many/$number"
        printf 'GET /many/%s %s' "$number" "$end"
    done >"$JOB/requests"
    printf 'GET / %s' "$last" >>"$JOB/requests"
    cat "$HTML/many/"{1..200} "$HTML/index.html" >"$JOB/bodies"
    ask_for_many() {
        client file "$JOB/requests" read >"$ANSWER" || explain "201 answers" "$(said "$JOB/client")" || return 1
        open=$(count_descriptors_of "$HTML/many/"*)
        grep -avE $'\r$' "$ANSWER" | cmp -s - "$JOB/bodies" || explain "201 answers, each its file" "where the table is full, a file is served all the same" || return 1
        ((open >= 2 && open <= 64)) || explain "some of 200 files still open, and at most 64" "here are $open"
    }
    in_a_second ask_for_many
}

# bats test_tags=given
@test "clients that download the same file at the same time each get all of it" {
    random_bytes 3000000 >"$HTML/large-$NAME"
    for number in 1 2 3; do
        client -b 20000 send "GET /large-$NAME $last" wait 300 read >"$JOB/$number" 3>&- &
    done
    wait
    for number in 1 2 3; do
        cp "$JOB/$number" "$ANSWER"
        read_status
        expect_file "$HTML/large-$NAME" "an open file has one offset, for all who read it: sendfile() can be given one of your own" || return 1
    done
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=slow,given
@test "a file that is being sent is not closed" {
    random_bytes 12000000 >"$JOB/large"
    mkdir -p "$HTML/other"
    for number in {1..100}; do
        echo "$number" >"$HTML/other/$number"
        printf 'GET /other/%s %s' "$number" "$end"
    done >"$JOB/requests"
    printf 'GET / %s' "$last" >>"$JOB/requests"
    mkfifo "$JOB/go" # the slow client waits here before it reads
    download() {
        cp "$JOB/large" "$HTML/large-$NAME"
        forget_files || return 1
        "$CLIENT" -t 60 -b 50000 "$PORT" send "GET /large-$NAME $last" file "$JOB/go" read >"$JOB/slow" 2>"$JOB/client" 3>&- &
        OTHER=$!
        opened() { (($(count_descriptors_of "$HTML/large-$NAME") > 0)); }
        wait_until "the file is opened" opened || return 1
        echo new | tee "$JOB/new" >"$HTML/new"
        mv "$HTML/new" "$HTML/large-$NAME"
        renewed() { get "/large-$NAME" && is_body "$JOB/new"; }
        wait_until "the new file, a second later" renewed || return 1
        client file "$JOB/requests" read >/dev/null
        feed "$JOB/go" </dev/null || return 1
        on_time
        wait "$OTHER" || true
        cp "$JOB/slow" "$ANSWER"
        read_status
        expect_file "$JOB/large" "its time was up, others were opened: but somebody was still sending it"
    }
    in_time download
}

# Takes all descriptors from the server but those that it has: one of them for $FILE, which nobody needs any more.
take_descriptors() {
    (($(count_descriptors_of "$HTML/$FILE") == 1)) || explain "$FILE still open" "keep a file open for a second" || return 1
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    limit "$PID" --nofile="$(free_descriptor "$PID"):"
}
give_descriptors() { limit "$PID" --nofile="$soft:"; }

# bats test_tags=weight:2
@test "out of descriptors, a file that nobody needs makes room for another" {
    mkfifo "$JOB/rest" # the client waits here for its second request
    other=$(random_name)
    echo "other $other" >"$HTML/$other"
    starve() {
        forget_files || return 1
        : >"$ANSWER"
        start=${EPOCHREALTIME/./}
        "$CLIENT" -t "$LIMIT" "$PORT" send "GET /$FILE $end" answer file "$JOB/rest" read >"$ANSWER" 2>"$JOB/client" 3>&- &
        OTHER=$!
        answered() { grep -aq "old $FILE" "$ANSWER"; }
        wait_until "an answer to GET /$FILE" answered || return 1
        take_descriptors || { kill "$OTHER" && return 1; }
        printf 'GET /%s %s' "$other" "$last" | feed "$JOB/rest" || return 1
        wait "$OTHER" || true
        give_descriptors
        grep -aq "other $other" "$ANSWER" || explain "two answers with status 200" \
            "open() fails with EMFILE, but a file is open that nobody needs: close such files, and try again"
    }
    in_a_second starve
}

# bats test_tags=slow,weight:2
@test "out of descriptors, a file that nobody needs makes room for a client" {
    starve() {
        forget_files || return 1
        start=${EPOCHREALTIME/./}
        hold send "GET /$FILE $end" answer
        take_descriptors || return 1
        get / || true
        give_descriptors
        release
        # Without its help the file is closed, too, but later.
        ms=$(((${EPOCHREALTIME/./} - start) / 1000))
        [[ -n $STATUS ]] && ((ms < 1000)) || explain "an answer to another client at once" "it took $ms ms: accept4() fails with EMFILE, \
but a file is open that nobody needs: close such files, and try again"
    }
    in_a_second starve
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "a file that appears is served at once" {
    for _ in 1 2 3; do
        missing=$(random_name)
        get "/$missing"
        expect_status 404 "no such file" || return 1
        echo "here $missing" >"$HTML/$missing"
        get "/$missing"
        expect_file "$HTML/$missing" "only what could be opened is kept: nobody knows when a file will appear" || return 1
    done
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=given
@test "hundreds of files later, nothing has leaked" {
    mkdir -p "$HTML/leak"
    for number in {1..150}; do
        head -c $((number * 250)) "$HTML/$NAME.bin" >"$HTML/leak/$number"
        printf 'GET /leak/%s %s' "$number" "$end"
        printf 'HEAD /leak/%s %s' "$number" "$end"
    done >"$JOB/requests"
    printf 'GET / %s' "$last" >>"$JOB/requests"
    for _ in 1 2; do # the first round shows how much the cache takes
        forget_files || return 1
        descriptors=$(count_descriptors) memory=$(resident_kb)
        for _ in 1 2 3; do
            client file "$JOB/requests" wait 20 reset
            client file "$JOB/requests" read >"$ANSWER" || explain "301 answers" "$(said "$JOB/client")" || return 1
        done
    done
    rm -f "$ANSWER"
    as_before() { (($(count_descriptors) <= descriptors)); }
    eventually as_before || explain "$descriptors descriptors, as before" "here are $(count_descriptors)" || return 1
    ! measures_memory || (($(resident_kb) < memory + 2048)) || explain "no more memory than before" "$memory KiB before, $(resident_kb) now"
}
