#!/usr/bin/env bats
# What a homework can see of a classmate's, the kit's and the machine's files; without namespaces, they are closed meanwhile.
# Needs: gnuplot:gnuplot-nox parallel:parallel python3:python3
bats_require_minimum_version 1.5.0
load kits

# These tests close directories to other users, or are another user: they take turns.
setup_file() {
    export BATS_NO_PARALLELIZE_WITHIN_FILE=true SMALL=$BATS_FILE_TMPDIR/small
    leave_bats
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all
    make_kit "$SMALL" 5_args.bats 6_fork.bats
}
setup() {
    leave_bats
    cd "$BATS_TEST_DIRNAME/../.." || return 1
}

@test "port 8080 taken, and no namespaces: no grade, one line that says what to do, and an empty row in grades.csv" {
    without_namespaces
    mkdir -p "$BATS_TEST_TMPDIR"/class/{nothing,broken} "$BATS_TEST_TMPDIR/grades"
    echo 'int main(void) { return 0; }' >"$BATS_TEST_TMPDIR/class/nothing/server.c"
    echo 'int main(void) { return 0 }' >"$BATS_TEST_TMPDIR/class/broken/server.c"
    echo '{"homework": "nothing", "digest": "of an older one", "score": 100}' >"$BATS_TEST_TMPDIR/grades/nothing.json"
    # In a network of its own, if there are any: the real port 8080 may be needed.
    in=(tests/lib/sandbox -w "$PWD" -w "$BATS_TEST_TMPDIR")
    [[ $(tests/lib/sandbox -q) == root ]] || in=()
    # shellcheck disable=SC2016
    "${in[@]}" env TMPDIR="$BATS_TEST_TMPDIR" "${WITHOUT[@]}" bash -c '
        python3 -c "import socket, time; s = socket.create_server((\"127.0.0.1\", 8080)); print(flush=True); time.sleep(300)" >"$1/taken" &
        until [[ -s $1/taken ]] || ! kill -0 "$!"; do sleep 0.1; done
        for format in table json gradescope; do
            tests/grader/grade --format "$format" 1 "$1/class/nothing" >"$1/out-$format" 2>"$1/err-$format"
            echo "$?" >"$1/status-$format"
        done
        tests/grader/grade-all -o "$1/grades" 1 "$1/class" >"$1/all" 2>&1
        echo "$?" >"$1/status-all"
        kill "$!"' - "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
    for format in table json gradescope; do
        [[ $(<status-$format) == 2 && ! -s out-$format && $(tail -n 1 err-$format) == "tests/grader/grade: not graded: port 8080 is taken, "* ]] ||
            { cat status-$format err-$format out-$format && return 1; }
        [[ $(grep -c '^tests/' err-$format) == 1 ]]
    done
    [[ $(<status-all) == 1 ]]
    grep '^nothing: not graded: port 8080 is taken, ' all
    grep '^,nothing,,,,"not graded: port 8080 is taken, ' grades/grades.csv
    grep '^,broken,0,' grades/grades.csv
    [[ ! -e grades/nothing.json && $(<grades/nothing.txt) == "nothing: not graded: "* ]]
}

# What a homework finds must not be in its report: a classmate's work, the environment, a file of the kit or of ours.
look_for_secrets() { # HOMEWORKS IN A CLASS... : they are graded beside a classmate, and earn nothing
    cd "$SMALL" || return 1
    local class=$BATS_TEST_TMPDIR/class grades=$BATS_TEST_TMPDIR/grades mark=stolen-mark-$RANDOM
    rm -rf "$class" "$grades"
    mkdir -p "$class/classmate" build
    for name; do cp -R "tests/grader/homework/$name" "$class"; done
    [[ -z ${IN:-} ]] || find "$class" -type f -exec sed -i "s|find / |find $IN |" {} +
    echo "$mark" >"build/$mark"
    printf '#!/bin/sh\n# %s\nexec sleep 100\n' "$mark" >"$class/classmate/server" # is tested beside them
    chmod +x "$class/classmate/server"
    MARK=$mark "${AS[@]}" tests/grader/grade-all -j 2 -o "$grades" 6 "$class"
    rm -f "build/$mark"
    [[ $(tail -n +2 "$grades/grades.csv" | cut -d, -f3 | sort -u) == 0 ]]
    [[ -n ${IN:-} ]] || mark+="|grade-all|BATS_" # without namespaces, the arguments of commands can be seen
    run -1 grep -rE "$mark|@test \"[a-z]" "$grades"
}

@test "nothing of a classmate's, the kit's or the machine's files can get into a report" {
    AS=()
    look_for_secrets reads-all
}

@test "without root, a homework finds neither a classmate's work nor the kit" {
    ((EUID == 0)) || skip "this is how all other tests run"
    setpriv --reuid=23456 --regid=23456 --clear-groups tests/lib/sandbox -q || skip "this system gives namespaces only to root"
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
    install -d -o 23456 "$BATS_TEST_TMPDIR/tmp"
    AS=(env TMPDIR="$BATS_TEST_TMPDIR/tmp" HOME=/ setpriv --reuid=23456 --regid=23456 --clear-groups)
    chmod 777 "$BATS_TEST_TMPDIR"
    look_for_secrets reads-all runs-kit steals-classmate
}

@test "without namespaces, permissions keep a homework from a classmate's work and the kit" {
    ((EUID == 0)) || skip "this needs root"
    without_namespaces
    AS=("${WITHOUT[@]}") IN="$SMALL $BATS_TEST_TMPDIR" # another kit on this machine is not ours to close
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" # they are closed by themselves
    look_for_secrets reads-all runs-kit steals-classmate
}

# The modes of the system's directories, of what is ours, and of what is somebody else's in /tmp.
modes() { stat -c '%a %n' / /*/ /usr/*/ /var/*/ /home/*/ "$PWD" "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"/*/ "$BYSTANDER" 2>/dev/null; }
begin_bystander() { BYSTANDER=$(mktemp -d) && chmod 755 "$BYSTANDER"; }
teardown() {
    [[ -z ${BYSTANDER:-} ]] || rm -r "$BYSTANDER"
    [[ -z ${grade:-} ]] || { kill "$grade" && wait "$grade"; } 2>/dev/null || true
}

@test "without namespaces, a right homework earns 100 as root, and only the kit and the class are closed meanwhile" {
    ((EUID == 0)) || skip "this needs root"
    without_namespaces
    cd "$SMALL"
    mkdir "$BATS_TEST_TMPDIR/class o'b"
    cp -R tests/grader/homework/right-stdio "$BATS_TEST_TMPDIR/class o'b"
    mark=mark-$RANDOM$RANDOM
    echo "const char mark[] = \"$mark\";" >>"$BATS_TEST_TMPDIR/class o'b/right-stdio/server.c"
    begin_bystander
    before=$(modes)
    "${WITHOUT[@]}" tests/grader/grade --format json 6 "$BATS_TEST_TMPDIR/class o'b/right-stdio" >"$BATS_TEST_TMPDIR/json" 2>"$BATS_TEST_TMPDIR/log" &
    grade=$!
    # Another homework may know the names of all files from /proc, but reads none that this one is in: a suite has one, too.
    find_files() {
        mapfile -t files < <(grep -rlsF "$mark" "${TMPDIR:-/tmp}"/kit.* "${TMPDIR:-/tmp}"/grade.*)
        ((${#files[@]} >= 2)) && [[ ${files[*]} == */kit.* ]]
    }
    until find_files || ! kill -0 "$grade"; do sleep 0.1; done
    expected="> 750 $BATS_TEST_TMPDIR/class o'b/"
    [[ $(grep -xF "755 $PWD" <<<"$before" || true) == '' ]] || expected="> 750 $PWD"$'\n'$expected
    diff <(sort <<<"$expected") <(diff <(echo "$before") <(modes) | grep '^> ' | sort)
    ((${#files[@]} >= 2))
    for file in "${files[@]}"; do
        run ! setpriv --reuid=33333 --regid=33333 --clear-groups cat "$file"
    done
    wait "$grade"
    [[ $(jq -r '"\(.score) \(.place)"' "$BATS_TEST_TMPDIR/json") == "100 no namespaces, as root" ]] || { jq -c "[.score, (.tests[] | select(.status != \"passed\"))]" "$BATS_TEST_TMPDIR/json" && return 1; }
    diff <(echo "$before") <(modes)
}

@test "what was closed is open again afterwards: after a signal, after another run that is longer, and after SIGKILL and the next run" {
    ((EUID == 0)) || skip "this needs root"
    without_namespaces
    directory=$BATS_TEST_TMPDIR/one other=$BATS_TEST_TMPDIR/other
    mkdir -m 775 "$directory" "$other"
    mode() { stat -c %a "$directory"; }
    begin() { # sets CLOSED: a run that lasts
        "${WITHOUT[@]}" tests/grader/closed "$directory" -- sleep 1000 3>&- &
        CLOSED=$!
        until pgrep -P "$CLOSED" -x sleep >/dev/null; do sleep 0.1; done
    }
    end() { # SIGNAL: the run, and its command
        command=$(pgrep -P "$CLOSED" -x sleep)
        kill "-$1" "$CLOSED"
        wait "$CLOSED" || true
    }
    for signal in TERM HUP; do
        begin
        [[ $(mode) == 770 ]]
        end "$signal"
        [[ $(mode) == 775 && ! -e /proc/$command ]]
    done
    begin
    "${WITHOUT[@]}" tests/grader/closed "$directory" -- true
    [[ $(mode) == 770 ]]
    end KILL
    [[ $(mode) == 770 ]]
    kill "$command"
    # The next run may have another directory for temporary files, and namespaces.
    TMPDIR=/var/tmp tests/grader/closed "$other" -- true
    [[ $(mode) == 775 ]]
}

@test "/, directories of the system and home directories are not closed: one line, exit status 2, and no grade" {
    ((EUID == 0)) || skip "this needs root"
    without_namespaces
    mkdir "$BATS_TEST_TMPDIR/home"
    cp -R tests/grader/homework/right-stdio "$BATS_TEST_TMPDIR/home"
    begin_bystander
    before=$(modes)
    for directory in / /bin /etc /usr /usr/bin /usr/local/share /var /var/lib /tmp /var/tmp /dev/shm /home /opt /proc "$HOME" "$BATS_TEST_TMPDIR/home"; do
        HOME=$BATS_TEST_TMPDIR/home run -2 "${WITHOUT[@]}" tests/grader/closed "$BATS_TEST_TMPDIR" "$directory" -- echo
        [[ ${#lines[@]} == 1 && $output == "tests/grader/closed: "*": move what is yours into a directory of its own" ]] || { echo "$directory: $output" && return 1; }
    done
    HOME=$BATS_TEST_TMPDIR/home run -2 "${WITHOUT[@]}" tests/grader/grade 6 "$BATS_TEST_TMPDIR/home/right-stdio"
    [[ ${#lines[@]} == 1 && $output == *" is a home directory, "* ]]
    HOME=$BATS_TEST_TMPDIR/home run -2 "${WITHOUT[@]}" tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/home"
    [[ ${#lines[@]} == 1 && ! -e $BATS_TEST_TMPDIR/grades/grades.csv ]]
    diff <(echo "$before") <(modes | grep -v '/grades/$')
}
