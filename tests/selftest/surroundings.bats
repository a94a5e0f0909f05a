#!/usr/bin/env bats
# The same result on every machine: the kit's own servers, a mistake, and homeworks, in all surroundings that have ever made a
# difference. tests/selftest/place makes them. With FULL=1 everything is done everywhere, not only what is quick.
# Needs: unshare:util-linux ip:iproute2 busybox:busybox localedef:libc-bin patch:patch
bats_require_minimum_version 1.5.0

# All rows are started here, a few at a time, each in a copy of the kit; the tests look at what has come out.
setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all build/client
    tests/mistakes/build 6-zombies >/dev/null
    ROOM=$(mktemp -d "${TMPDIR:-/tmp}/surroundings.XXXXXX")
    chmod 755 "$ROOM"
    export ROOM
    mkdir "$ROOM"/{caller,busybox,old,kit,rows}
    cp -R Makefile html stage* tests "$ROOM/kit"
    cp -R --parents build/client build/mistakes/6-zombies "$ROOM/kit"
    chown -R 12345:12345 "$ROOM/kit"
    for locale in zh_CN en_US de_DE; do localedef -i "$locale" -f UTF-8 "$ROOM/caller/$locale.UTF-8"; done
    for program in $(busybox --list); do ln -s "$(type -P busybox)" "$ROOM/busybox/$program"; done
    printf '#!/bin/sh\necho Bats 1.2.1\n' >"$ROOM/old/bats"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "npm: the proxy $http_proxy does not answer" >&2\nexit 1\n' >"$ROOM/old/npm"
    chmod 755 "$ROOM"/old/*
    echo 'proxy = 127.0.0.1:9' >"$ROOM/caller/.curlrc"
    printf 'echo junk >&2\ngrep() { return 1; }\nshopt -s nullglob\nset -o noclobber\n' >"$ROOM/caller/junk"

    # The tests: of stage 2 all, of stage 6 those that are quick and not of stage 2, but none that needs a browser; on a slow
    # machine, of both what is new. Then a mistake, for three tests.
    for stage in 2 6; do
        tests/list "$stage" | awk -F '\t' -v stage="$stage" -v full="${FULL:-}" -v slow="$SLOW" \
            'full || ((stage == 2 || ($4 == "quick" && $3 !~ /^[12]_/)) && (!slow || $2 == "new")) {print $5}' >"$ROOM/kit/build/names-$stage"
    done
    EXPECTED=$(cat "$ROOM"/kit/build/names-* | wc -l)
    LOSES="^(a child serves one client, and ends|500 requests later, nothing has leaked|two servers run side by side on two ports)\$"
    export EXPECTED

    # In its place, what the caller has is /mnt/first.
    languages="export LOCPATH=/mnt/first"
    pass root -- ""
    pass user -u -b "$ROOM/caller" -- "$languages LANG=zh_CN.UTF-8 LC_ALL=zh_CN.UTF-8"
    pass root-alone -n -- ""
    pass user-alone -n -u -- ""
    pass old-bubblewrap -o -- ""
    pass old-bubblewrap-user -o -u -- ""
    pass english -b "$ROOM/caller" -- "$languages LANG=en_US.UTF-8; umask 077"
    pass german -b "$ROOM/caller" -- "$languages LC_ALL=de_DE.UTF-8 LC_NUMERIC=de_DE.UTF-8"
    pass junk -b "$ROOM/caller" -- "export http_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 HOME=/mnt/first CDPATH=/tmp:/usr BASH_ENV=/mnt/first/junk
        export POSIXLY_CORRECT=1 GREP_OPTIONS=-v GREP_COLORS=mt=1 TZ=Asia/Shanghai LD_PRELOAD=/nothing.so IFS=: SIZED=x SANDBOX=none
        curl() { return 1; }; cd() { return 1; }; export -f curl cd"
    pass signals -d S256 -- "trap '' PIPE CHLD INT TERM; exec 0<&-"
    pass noexec -x -- ""
    pass blanks -6 -- "mkdir '/tmp/a b'; export TMPDIR='/tmp/a b'"
    grade graded-root-alone -n -- ""
    grade graded-user-alone -n -u -- ""
    grade graded-chinese -b "$ROOM/caller" -- "$languages LANG=zh_CN.UTF-8 LC_ALL=zh_CN.UTF-8"

    run_it busybox -u -b "$ROOM/busybox" -- "" "tests/run 6"
    run_it old-bats -u -w bats -b "$ROOM/old" -- "export http_proxy=http://127.0.0.1:9" "tests/run 6"
    run_it no-jq -u -w jq -w npm -- "" "tests/run 6"
    run_it few -d 256 -- "" "tests/run 6"
    run_it taken -n -p 8080 -- "mkdir build/lazy; echo 'int main(void) {return 0;}' >build/lazy/server.c" \
        "tests/grader/grade --format json 1 build/lazy"
    for signal in INT TERM; do
        run_it "$signal-alone" -n -u -i "$signal" -- "" "exec tests/run 6"
        run_it "$signal-root-alone" -n -i "$signal" -- "" "exec tests/run 6"
        run_it "$signal" -i "$signal" -- "" "exec tests/run 6"
    done
    setsid xargs -P "$([[ -n $SLOW ]] && echo 2 || echo 4)" -d '\n' -n 1 bash <"$ROOM/order" >"$ROOM/said" 2>&1 3>&- &
    echo $! >"$ROOM/all"
    disown
}
teardown_file() {
    [[ ! -s $ROOM/all ]] || pkill -KILL -s "$(<"$ROOM/all")" || true # with the first process of each place, all in it end
    rm -rf "$ROOM"
}

# A row: a command in a place, with what the caller's shell has done before. The kit is in a directory whose name is hard on
# scripts.
run_it() { # NAME OPTION-OF-PLACE... -- PREPARATION COMMAND
    local row=$ROOM/rows/$1 kit options=()
    shift
    while [[ $1 != -- ]]; do options+=("$1") && shift; done
    mkdir "$row"
    printf '%s\n' "$2" "$3" >"$row/command"
    kit="$row/课程 o'b:r"
    {
        printf 'cp -a %q %q && cd %q && cp ../command build || exit\n' "$ROOM/kit" "$kit" "$kit"
        printf '%q ' tests/selftest/place "${options[@]}" bash build/command
        printf '>%q 2>&1 3>&-\necho $? >%q\n' "$row/output" "$row/new"
        printf 'mv %q %q\n' "$row/new" "$row/status"
    } >"$row/row"
    echo "$row/row" >>"$ROOM/order"
}
pass() { # the same: all tests, and the mistake
    run_it "${@:1:$#-1}" "${*: -1}" "tests/run -o . -f build/names-2 2 -o . -f build/names-6 6
        $(printf 'ONLY=%q SERVER=build/mistakes/6-zombies/server tests/run 6\n' "$LOSES")
        $([[ -z ${FULL:-} ]] || echo "$GRADE")
        true"
}
GRADE="tests/grader/grade --format json 6 tests/grader/homework/right-stdio"
grade() { run_it "${@:1:$#-1}" "${*: -1}" "$GRADE"; } # the same: a homework that is right

# Waits for a row. Sets OUTPUT and STATUS.
wait_for() { # NAME
    until [[ -e $ROOM/rows/$1/status ]]; do
        kill -0 "$(<"$ROOM/all")" || { cat "$ROOM/said" && return 1; }
        sleep 0.2
    done
    OUTPUT=$(<"$ROOM/rows/$1/output") STATUS=$(<"$ROOM/rows/$1/status")
    echo "$OUTPUT"
    echo "exit status: $STATUS"
}

# All tests have passed, the mistake has lost two of three, and nothing is left.
all_pass() { # NAME KIND
    wait_for "$1"
    [[ $STATUS == 0 && $(grep -cE "^(place: $2: |运行环境：$2；)" <<<"$OUTPUT") -ge 2 ]]
    [[ $(grep -xE "[0-9]+ passed, .*" <<<"$OUTPUT") == "$EXPECTED passed, 0 failed"$'\n'"1 passed, 2 failed" ]]
    [[ -z ${FULL:-} ]] || [[ $OUTPUT =~ \"score\":\ *100[,\ ] ]]
}
has_100() { # NAME
    wait_for "$1"
    [[ $STATUS == 0 && $OUTPUT =~ \"score\":\ *100[^0-9.] ]]
}
# One line says what is missing; nothing is tested.
refuses() { # NAME PATTERN
    wait_for "$1"
    [[ $STATUS == 2 && $OUTPUT != *passed* ]]
    [[ $(tail -n 1 <<<"$OUTPUT") =~ $2 ]]
}
# What is interrupted leaves nothing, and has no result.
leaves_nothing() { # NAME
    wait_for "$1"
    [[ $STATUS == 130 && $OUTPUT != *failed* ]]
}

@test "as root, with namespaces" {
    all_pass root "namespaces, as root"
}

@test "as an ordinary user with namespaces, in Chinese" {
    all_pass user "有命名空间，身份：普通用户"
}

@test "as root without namespaces, as in a plain container" {
    all_pass root-alone "no namespaces, as root"
}

@test "as an ordinary user without namespaces" {
    all_pass user-alone "no namespaces, as a user"
}

@test "with a bubblewrap that knows no --size, as root" {
    all_pass old-bubblewrap "namespaces, as root"
}

@test "with a bubblewrap that knows no --size, as an ordinary user" {
    all_pass old-bubblewrap-user "namespaces, as a user"
}

@test "with LANG=en_US.UTF-8, and a umask of 077" {
    all_pass english "namespaces, as root"
}

@test "with LC_ALL=de_DE.UTF-8, where numbers have a decimal comma" {
    all_pass german "namespaces, as root"
}

@test "with proxies, a ~/.curlrc, CDPATH, BASH_ENV, exported functions and other settings" {
    all_pass junk "namespaces, as root"
}

@test "where the caller ignores signals, has closed stdin, and has a soft limit of 256 descriptors" {
    all_pass signals "namespaces, as root"
}

@test "where no program can be run from /tmp" {
    all_pass noexec "namespaces, as root"
}

@test "without IPv6, and with blanks in TMPDIR" {
    all_pass blanks "namespaces, as root"
}

@test "a right homework has 100 points as root without namespaces" {
    has_100 graded-root-alone
}

@test "a right homework has 100 points as an ordinary user without namespaces" {
    has_100 graded-user-alone
}

@test "a right homework has 100 points in Chinese" {
    has_100 graded-chinese
}

@test "in a userland of busybox, one line says which packages are missing" {
    refuses busybox "missing: .*coreutils.*; type: sudo apt-get install .*busybox"
    [[ $(wc -l <<<"$OUTPUT") == 1 ]]
}

@test "with a bats that is too old, and an npm that fails, one sees what npm says, and then what is missing" {
    refuses old-bats "missing: bats \(1.5 or newer; here is: Bats 1.2.1\); type: "
    [[ $OUTPUT == *"npm: the proxy http://127.0.0.1:9 does not answer"* ]]
}

@test "without jq, and without the right to install it, one line says what to type" {
    refuses no-jq "missing: jq; type: sudo apt-get install jq"
    [[ $(wc -l <<<"$OUTPUT") == 1 ]]
}

@test "with a hard limit of 256 descriptors, one line says so" {
    refuses few "256 .*ulimit"
    [[ $(wc -l <<<"$OUTPUT") == 1 ]]
}

@test "without namespaces, and with port 8080 taken, nobody has points for stage 1" {
    wait_for taken
    [[ $OUTPUT == *8080* && ! $OUTPUT =~ \"score\":\ *[1-9] ]]
}

@test "a run that is interrupted leaves no processes" {
    for signal in INT TERM; do
        leaves_nothing "$signal"
        leaves_nothing "$signal-alone"
        leaves_nothing "$signal-root-alone"
    done
}
