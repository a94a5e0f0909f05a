#!/usr/bin/env bats
# make watch: that it shows what there is.
# Needs: patch:patch
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all
    for mistake in 6-zombies 6-parent-keeps-socket; do tests/mistakes/build "$mistake" >/dev/null; done
    PLACE=$(tests/lib/sandbox -q || echo none)
    export PLACE
    [[ $PLACE != none ]] || echo "# this system gives us no namespaces, so make watch is hardly tested" >&3
}
setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export OUTPUT=$BATS_TEST_TMPDIR
}

# Runs the script on stdin in a place of its own, where port 8888 is free and no other server runs. It can use these:
scene() {
    [[ $PLACE != none ]] || skip "no namespaces"
    export -f start connect leave shows picture_is picture_is_not
    tests/lib/sandbox -w "$OUTPUT" timeout 120 bash -euo pipefail
}
start() { # STAGE [SERVER]: sets STAGE and SERVER, which tests/watch sees, and PID
    export STAGE=$1 SERVER=${2:-} PID
    "${2:-$(echo stage"$1"_*/server)}" 8888 >"$OUTPUT/log" 2>&1 &
    PID=$!
    for _ in {1..400}; do
        ! grep -qs listening "$OUTPUT/log" || return 0
        sleep 0.05
    done
    return 1
}
# A client, which says nothing. A server drops it after 5 s: on a busy machine, too early for us. So "shows" makes it anew.
connect() { CONNECTED=yes; }
leave() { CONNECTED='' && exec 5>&-; }
# Draws until a condition holds, for at most 30 s.
shows() { # COMMAND...
    local end=$((SECONDS + 30))
    until { [[ -z ${CONNECTED:-} ]] || exec 5<>/dev/tcp/127.0.0.1/8888; } && PICTURE=$(tests/watch -n "${DRAWINGS:-1}" "$STAGE") && "$@"; do
        ((SECONDS < end)) || { echo "not to be seen: $*; the last picture: $PICTURE" && exit 1; }
    done
}
picture_is() { [[ $PICTURE =~ $1 ]]; } # REGEX
picture_is_not() { [[ ! $PICTURE =~ $1 ]]; }

@test "watch says which server to start, and shows it as soon as it runs" {
    scene <<'SCENE'
    tests/watch -n 80 6 >"$OUTPUT/pictures" &
    for _ in {1..400}; do ! grep -qs 'no server' "$OUTPUT/pictures" || break; sleep 0.05; done
    grep -qx 'no server of stage 6 is running: start ./stage6_fork/server 8888' "$OUTPUT/pictures"
    start 6
    for _ in {1..400}; do ! grep -q "^process $PID, child of $$: sleeping" "$OUTPUT/pictures" || exit 0; sleep 0.05; done
    cat "$OUTPUT/pictures" && exit 1
SCENE
}

@test "watch shows the child of stage 6 as long as its client is connected, and the client in no other process" {
    scene <<'SCENE'
    start 6
    shows picture_is "process $PID, .*: sleeping, CPU .*listening on 127\.0\.0\.1:8888"
    picture_is_not "child of $PID"
    connect
    one_child() {
        picture_is "    process [0-9]+, child of $PID: .* connection from 127\.0\.0\.1:[0-9]+, ESTABLISHED" &&
            picture_is_not "open in" && picture_is_not "connection.*connection"
    }
    shows one_child
    leave
    shows picture_is_not "child of $PID"
SCENE
}

@test "watch shows a connection that parent and child have both, and that is left over in the parent" {
    scene <<'SCENE'
    start 6 build/mistakes/6-parent-keeps-socket/server
    connect
    shows picture_is "connection from 127\.0\.0\.1:[0-9]+, ESTABLISHED   <- open in [0-9]+, too.*child of $PID.*open in $PID, too"
    leave
    shows picture_is "connection from 127\.0\.0\.1:[0-9]+, CLOSE_WAIT"
    shows picture_is_not "child of $PID"
SCENE
}

@test "watch shows a zombie" {
    scene <<'SCENE'
    start 6 build/mistakes/6-zombies/server
    exec 5<>/dev/tcp/127.0.0.1/8888 5>&-
    shows picture_is "    process [0-9]+, child of $PID: zombie, .* memory 0 kB"
SCENE
}

@test "watch shows the threads of stage 7, in one process" {
    scene <<'SCENE'
    start 7
    connect
    shows picture_is "thread $PID: sleeping.*thread [0-9]+: .* connection from"
    picture_is_not "child of $PID"
    leave
    shows picture_is_not "thread $PID"
SCENE
}

@test "watch shows a client that waits for stage 5 to accept it" {
    scene <<'SCENE'
    start 5
    connect # this one is served, and the next waits
    one_waits() { exec 6<>/dev/tcp/127.0.0.1/8888 && PICTURE=$(tests/watch -n 1 5) && picture_is "8888, [1-9] waiting for accept\(\)"; }
    shows one_waits
SCENE
}

@test "watch shows that stage 8 takes CPU time when nobody is connected, and stage 9 none" {
    scene <<'SCENE'
    export DRAWINGS=2 # the second has the CPU time since the first
    start 8
    shows picture_is "process $PID, .*process $PID, [^%]* CPU ([2-9][0-9]|1[0-9][0-9]) %"
    kill "$PID"
    wait "$PID" || true
    start 9
    shows picture_is "process $PID, .*process $PID, child of [0-9]+: sleeping, CPU 0 %.* epoll"
SCENE
}

@test "watch knows a server whose program has been built again since" {
    cp -R tests stage6_fork "$OUTPUT"
    mkdir "$OUTPUT/html"
    scene <<'SCENE'
    cd "$OUTPUT"
    start 6
    cp stage6_fork/server new && mv new stage6_fork/server
    shows picture_is "process $PID, "
SCENE
}

@test "watch draws on a terminal no more than fits, and leaves it as it was" {
    type -P script >/dev/null || skip "no script(1) here: install bsdutils"
    scene <<'SCENE'
    start 6
    script -qec 'stty rows 5 cols 30; stty -a >"$OUTPUT/before"; tests/watch -n 2 6; stty -a >"$OUTPUT/after"' /dev/null </dev/null >"$OUTPUT/terminal"
    cmp "$OUTPUT/before" "$OUTPUT/after"
    grep -q $'^\e\[?1049h\e\[?25l' "$OUTPUT/terminal"
    [[ $(<"$OUTPUT/terminal") == *$'\e[?25h\e[?1049l' ]]
    sed 's/\x1b\[H/\n/g; s/\x1b\[[?0-9;]*[a-zA-Z]//g; s/\r//' "$OUTPUT/terminal" >"$OUTPUT/text"
    (($(wc -l <"$OUTPUT/text") == 10 && $(wc -L <"$OUTPUT/text") == 30)) || { cat -A "$OUTPUT/text" && wc -lL "$OUTPUT/text" && exit 1; }
SCENE
}

@test "watch says in one line what it does not understand" {
    for arguments in "" x 0 10 "6 7" "-n 0 6" "-n" "-x 6"; do
        # shellcheck disable=SC2086
        run -2 tests/watch $arguments
        [[ ${#lines[@]} == 1 && $output == "tests/watch: "* ]] || { echo "$arguments: $output" && return 1; }
    done
    SERVER=README.md run -2 tests/watch 6
    [[ $output == "tests/watch: SERVER=README.md is no program" ]]
}
