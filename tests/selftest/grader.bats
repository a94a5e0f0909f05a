#!/usr/bin/env bats
# The grader: what it says of made-up homeworks, of which most attack it.
# Needs: patch:patch python3:python3 unzip:unzip zip:zip
bats_require_minimum_version 1.5.0

# A homework: a server of the kit with one change.
plant() { # DIRECTORY STAGE SED-PROGRAM
    mkdir -p "$1"
    sed -E "$3" stage"$2"_*/server.c >"$1/server.c"
    [[ -z $3 ]] || ! cmp -s stage"$2"_*/server.c "$1/server.c"
}

# The class that most tests are about is graded once.
setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all build/client
    export GRADES=$BATS_FILE_TMPDIR/grades CLASS=$BATS_FILE_TMPDIR/class
    cp -R tests/grader/homework "$CLASS"
    # A server that is right in every way that the RFCs allow, and ours is not.
    mkdir "$CLASS/right-otherwise" "$CLASS/shy"
    patch --silent --output "$CLASS/right-otherwise/server.c" stage6_fork/server.c tests/grader/right-otherwise.patch
    # One that does not start at the first try, and says so in two lines.
    sed '/^import time/a if not os.path.exists("once"):\n    open("once", "w"); print("one\\ntwo", file=sys.stderr); sys.exit(1)' \
        tests/grader/homework/right-python/server >"$CLASS/shy/server"
    chmod +x "$CLASS/shy/server"
    plant "$CLASS/stage4" 4 ''
    plant "$CLASS/stage5" 5 ''
    echo "name,mail" >"$CLASS/roster.csv"
    tests/grader/grade-all -j 6 -o "$GRADES" 6 "$CLASS" >"$BATS_FILE_TMPDIR/said" 2>&1
}
setup() { cd "$BATS_TEST_DIRNAME/../.." || return 1; }
grade_of() { jq "$2" "$GRADES/$1.json"; } # HOMEWORK FILTER

# Every test of a stage but those for our own servers alone, as tests/run would run them.
tests_of() { # STAGE
    awk -v stage="$1" '/^# bats test_tags=/ {tags = $0}
        /^@test "/ {
            kit = tags ~ /kit/; until = match(tags, /until:[1-9]/) ? substr(tags, RSTART + 6, 1) : 9
            if (!kit && stage <= until) {sub(/^@test "/, ""); sub(/" \{$/, ""); print}
            tags = ""
        }' tests/[1-"$1"]_*.bats
}

@test "tests/grader/points has a line for every test, and the points of each stage add up to 100" {
    for stage in 1 2 3 4 5 6 7 8 9; do
        points=$(awk -v stage="$stage" '!/^#/ && $stage != "." {sum += $stage} END {print sum}' tests/grader/points)
        [[ $points == 100 ]] || { echo "stage $stage: $points" && return 1; }
        diff <(tests_of "$stage" | sort) <(sed -E '/^#/d' tests/grader/points | awk -v stage="$stage" '$stage != "."' |
            sed -E 's/^\s*((\S+)\s+){9}//' | sort) || { echo "stage $stage: tests on the left, points on the right" && return 1; }
    done
}

@test "every test is named by a mistake that it catches" {
    exercises() { (cd tests/exercises && printf '%s-\n' [1-9]-*); }
    diff <(for stage in 1 2 3 4 5 6 7 8 9; do tests_of "$stage"; done | sort -u) \
        <(find tests/mistakes -name '*.patch' | grep -vF -f <(exercises) | xargs sed -n 's/^Fails: //p' | sort -u) || { echo "tests on the left, names in tests/mistakes on the right" && return 1; }
}

@test "tests/grader/exercise-points has a line for every test of an exercise, and the points of each add up to 50" {
    for exercise in tests/exercises/*/; do
        exercise=$(basename "$exercise")
        worth=$(sed -nE "s/^$exercise +//p" tests/grader/exercise-points)
        [[ $(awk '{sum += $1} END {print sum}' <<<"$worth") == 50 ]] || { echo "$exercise: not 50 points" && return 1; }
        diff <(sed -n 's/^@test "\(.*\)" {$/\1/p' "tests/exercises/$exercise/tests.bats" | sort) <(sed -E 's/^\S+ +//' <<<"$worth" | sort) ||
            { echo "$exercise: tests on the left, points on the right" && return 1; }
        # What it replaces is a test of its stage.
        comm -13 <(tests_of "${exercise%%-*}" | sort) <(sed -n 's/^# Replaces: //p' "tests/exercises/$exercise/tests.bats" | sort) | { ! grep .; } ||
            { echo "$exercise replaces a test that its stage has not" && return 1; }
    done
}

@test "every exercise has two wrong solutions among the mistakes" {
    for exercise in tests/exercises/*/; do
        exercise=$(basename "$exercise")
        (($(find tests/mistakes -name "$exercise-*.patch" | wc -l) >= 2)) || { echo "$exercise has not" && return 1; }
    done
}

@test "the made-up homeworks get the grades that they deserve, and leave nothing behind" {
    cat "$BATS_FILE_TMPDIR/said"
    diff tests/grader/homework.csv <(cut -d, -f1-3 "$GRADES/grades.csv" | grep -vE '^"(shy|stage[45])"') || { cat "$GRADES"/right-*.txt && return 1; }
    for _ in {1..50}; do pgrep left-behind >/dev/null || break; sleep 0.1; done
    run -1 pgrep --list-full left-behind
    left=$(find /tmp /var/tmp /dev/shm /run -name left-server -not -path "*/leaves-file/*" 2>/dev/null || true)
    [[ -z $left ]]
}

@test "what is no directory is no homework" {
    grep -qx "roster.csv is no directory: it is left out" "$BATS_FILE_TMPDIR/said"
    [[ ! -e $GRADES/roster.csv.json ]]
}

@test "a server of an earlier stage keeps its points, and earns none for a concept that it lacks" {
    for name in stage4 stage5; do # 4 listens on another port than it is told
        [[ $(grade_of "$name" '[.tests[] | select(.own) | .earned] | add') == 0 ]] || { cat "$GRADES/$name.txt" && return 1; }
        (($(grade_of "$name" .score) >= 50)) || { cat "$GRADES/$name.txt" && return 1; }
    done
}

@test "a start that fails is tried once more, whatever the server prints" {
    (($(grade_of shy .score) >= 60)) || { cat "$GRADES/shy.txt" && return 1; }
}

@test "one fault in a right server is named in the first line of its report" {
    faults=$BATS_TEST_TMPDIR/faults GRADES=$BATS_TEST_TMPDIR/grades
    plant "$faults/dies-of-sigpipe" 5 's|signal\(SIGPIPE.*|;|'
    plant "$faults/never-closes" 5 's/^    close\(client\);.*//'
    plant "$faults/lf-alone" 5 '/HTTP\/1.1 %s|Connection: close/s/\\r//g'
    plant "$faults/no-index" 5 's/"index.html"/"index.htm"/'
    plant "$faults/other-port" 5 's/htons\(.*\)/htons(8081)/'
    plant "$faults/one-read" 5 's/while \(length < MAX_HEAD .*\{/for (int once = 1; once > 0; once--) {/'
    plant "$faults/no-blank-line" 5 's/close\\r\\n\\r\\n%s/close\\r\\n%s/'
    tests/grader/grade-all -j 7 -o "$GRADES" 5 "$faults"
    while IFS=: read -r name text; do
        first=$(head -n 1 "$GRADES/$name.txt")
        echo "$first"
        [[ $first == *"$text"* ]] || { cat "$GRADES/$name.txt" && return 1; }
    done <<'LINES'
dies-of-sigpipe:the server dies of SIGPIPE
never-closes:the connection is not closed after it
lf-alone:end with LF alone
no-index:GET / is answered with 404
other-port:listens on port 8081
one-read:a request in two pieces is answered once
no-blank-line:no blank line
LINES
    # An answer that came before the time was up is shown, and so is the end of its lines.
    grep -qF 'received: HTTP/1.1 200 OK\r\n' "$GRADES/never-closes.txt"
    [[ $(grade_of no-blank-line '.tests[] | select(.name == "an answer is a status line, fields, a blank line").earned') == 0 ]]
    # None has a tool's message, or nothing to say.
    run -1 grep -hE "line [0-9]+:|helpers.bash|syntax error|can't read|No such process" "$GRADES"/*.txt
    [[ $(jq -s '[.[].tests[] | select(.status == "failed" and .output == "")] | length' "$GRADES"/*.json) == 0 ]]
}

@test "what a server sends is never taken for a sum, in which bash would run a command" {
    SERVER=tests/grader/sends-sum ONLY="after 5 seconds|is answered once" VERBOSE=1 tests/run 9 >"$BATS_TEST_TMPDIR/said" || true
    # Two tests of stage 8 count with the last line of what came. Had bash taken it for a sum, they would pass.
    grep -qx "stage 9, 8_nonblock.bats: 2 failed" "$BATS_TEST_TMPDIR/said"
    run -1 grep -E '^ *a-sum-was-run|syntax error' "$BATS_TEST_TMPDIR/said"
}

@test "an exercise is graded: half for its own tests, half for those of its stage" {
    tests/exercises/build 3-own-404 >/dev/null
    tests/grader/grade --format json 3-own-404 build/exercises/3-own-404 >"$BATS_TEST_TMPDIR/solved"
    tests/grader/grade --format json 3-own-404 stage3_404 >"$BATS_TEST_TMPDIR/unsolved"
    [[ $(jq .score "$BATS_TEST_TMPDIR/solved") == 100 ]]
    jq -e '.max_score == 100 and (.tests | map(select(.suite != "3-own-404").earned) | add) == 50' "$BATS_TEST_TMPDIR/unsolved"
    jq -e '.score < 75 and (.likeliest | test("html/404.html as its body"))' "$BATS_TEST_TMPDIR/unsolved"
}

@test "a handout has no server of its stage or a later one, no mistake and no solution; solved, it earns 100" {
    kit=$PWD later=$BATS_TEST_TMPDIR/later
    as_student() { env -i PATH="${PATH#*/libexec/bats-core:}" HOME="$HOME" make -s "$@"; } # not inside of bats
    tests/grader/handout/pack 6 "$BATS_TEST_TMPDIR/handout.zip"
    # Lines of a later server that are in no earlier one are nowhere in it, however far they are indented.
    lines_of() { cat "$@" | sed -E 's:</?(ins|del|i)>::g; s/^ *//'; }
    lines_of stage[1-5]_*/server.c >"$BATS_TEST_TMPDIR/earlier"
    lines_of stage[6-9]_*/server.c | grep -vxF -f "$BATS_TEST_TMPDIR/earlier" | grep '[[:alpha:]].*;' >"$later"
    cd "$BATS_TEST_TMPDIR" || return 1
    unzip -q handout.zip
    cd handout || return 1
    cmp server.c "$kit/stage5_args/server.c"
    mapfile -t files < <(find . -name '*.c' -o -name '*.md' -o -name '*.html')
    run -1 grep -xF -f "$later" <(lines_of "${files[@]}")
    [[ -z $(find . -name '*.patch') ]]
    as_student grade | grep '^handout, stage 6: 6[0-9] of 100 points'
    cp "$kit/stage6_fork/server.c" .
    [[ $(as_student test ONLY=answer | tail -n 1) == *" passed, 0 failed"* ]]
    [[ $("$kit/tests/grader/grade" --format json 6 . | jq .score) == 100 ]] # by the instructor
}

# What a homework finds must not be in its report: a classmate's work, the environment, a file of the kit or of ours.
look_for_secrets() { # HOMEWORKS IN A CLASS... : they are graded beside a classmate, and earn nothing
    local class=$BATS_TEST_TMPDIR/class grades=$BATS_TEST_TMPDIR/grades mark=stolen-mark-$RANDOM
    rm -rf "$class" "$grades"
    mkdir -p "$class/classmate" build
    for name; do cp -R "tests/grader/homework/$name" "$class"; done
    echo "int main(void) { return 0; } /* $mark */" >"$class/classmate/server.c"
    echo "$mark" | tee "build/$mark" >"$BATS_TEST_TMPDIR/$mark"
    MARK=$mark "${AS[@]}" tests/grader/grade-all -j 2 -o "$grades" 6 "$class"
    rm -f "build/$mark"
    [[ $(tail -n +2 "$grades/grades.csv" | cut -d, -f2 | sort -u) == 0 ]]
    run -1 grep -rE "$mark|grade-all|BATS_|^ *[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ " "$grades" # the last: a line of points
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
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/bwrap"
    chmod +x "$BATS_TEST_TMPDIR/bin/bwrap"
    AS=(env PATH="$BATS_TEST_TMPDIR/bin:$PATH")
    before=$(stat -c '%a %n' "$PWD" /*)
    look_for_secrets reads-all runs-kit steals-classmate
    diff <(echo "$before") <(stat -c '%a %n' "$PWD" /*)
}

@test "a homework is tested again when its files have changed, or REGRADE says so, and not otherwise" {
    mkdir "$BATS_TEST_TMPDIR/class"
    cp -R tests/grader/homework/does-not-build tests/grader/homework/prints-results "$BATS_TEST_TMPDIR/class"
    grade_class() { run -0 --separate-stderr tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/class" && echo "$output"; }
    grade_class
    [[ ${#lines[@]} == 3 ]]
    grade_class
    [[ ${#lines[@]} == 1 ]]
    echo "/* better */" >>"$BATS_TEST_TMPDIR/class/does-not-build/server.c"
    touch -d 2001-01-01 "$BATS_TEST_TMPDIR/class/does-not-build/server.c" # as from an archive
    grade_class
    [[ ${#lines[@]} == 2 && ${lines[0]} == does-not-build* ]]
    REGRADE=1 grade_class
    [[ ${#lines[@]} == 3 ]]
}

@test "points that have been edited count without another test" {
    mkdir "$BATS_TEST_TMPDIR/kit"
    cp -R Makefile tests "$BATS_TEST_TMPDIR/kit"
    mkdir "$BATS_TEST_TMPDIR/class"
    cp -R tests/grader/homework/does-not-build "$BATS_TEST_TMPDIR/class"
    cd "$BATS_TEST_TMPDIR/kit"
    run -0 tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/class"
    seconds=$(jq .seconds "$BATS_TEST_TMPDIR/grades/does-not-build.json")
    sed -i -E '/clients that stall/s/5/25/' tests/grader/points
    run -0 tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/class"
    [[ $(tail -n 1 "$BATS_TEST_TMPDIR/grades/grades.csv") == '"does-not-build",0,120,'* ]] || { cat "$BATS_TEST_TMPDIR/grades/grades.csv" && return 1; }
    [[ $(jq .seconds "$BATS_TEST_TMPDIR/grades/does-not-build.json") == "$seconds" ]]
}

@test "a homework is built from its sources alone" {
    mkdir "$BATS_TEST_TMPDIR/stale"
    echo 'int main(void) { return 0; }' | cc -x c -c -o "$BATS_TEST_TMPDIR/stale/server.o" -
    cc -o "$BATS_TEST_TMPDIR/stale/server" "$BATS_TEST_TMPDIR/stale/server.o"
    printf 'server: server.o\n\tcc -o server server.o\n' >"$BATS_TEST_TMPDIR/stale/Makefile"
    echo 'this is no C' >"$BATS_TEST_TMPDIR/stale/server.c"
    touch -d 2001-01-01 "$BATS_TEST_TMPDIR/stale/server.c" # older than what was made of it
    run -0 --separate-stderr tests/grader/grade --format json 6 "$BATS_TEST_TMPDIR/stale"
    [[ $(jq .built <<<"$output") == false ]] || { echo "$output" && return 1; }
}

@test "a homework that has nothing to build is told what it must have" {
    mkdir "$BATS_TEST_TMPDIR/empty"
    run -0 --separate-stderr tests/grader/grade 6 "$BATS_TEST_TMPDIR/empty"
    [[ $output == *"a homework has server.c, or a Makefile that makes server, or a program of the name server"* ]]
}

@test "a mistake to hunt can be read by its hunters" {
    (umask 022 && tests/mistakes/build 6-zombies >/dev/null)
    [[ $(stat -c %a build/mistakes/6-zombies/server.c) == 644 ]]
}

@test "a homework that does not build gets 0 points and the compiler's output, in every format" {
    for format in table tap junit json gradescope; do
        run -0 tests/grader/grade --format "$format" 6 tests/grader/homework/does-not-build
        [[ $output == *"expected"*"before"* ]] || { echo "$format: $output" && return 1; }
    done
}

@test "each format is what its readers expect" {
    ONLY=nothing run -0 --separate-stderr tests/grader/grade --format json 6 tests/grader/homework/prints-results # that is for tests/run
    echo "$output" >"$BATS_TEST_TMPDIR/json"
    report() { jq -r --arg format "$1" -L tests/lib -f tests/grader/report.jq "$BATS_TEST_TMPDIR/json"; }
    report tap | grep -qx '1\.\.72'
    (($(report tap | grep -cE '^(not )?ok [0-9]+ ') == 72))
    (($(report junit | grep -c '<testcase ') == 72))
    if type -P xmllint; then report junit | xmllint --noout -; fi
    report gradescope | jq -e '.tests | length == 72 and (map(.max_score) | add) == 100 and all(.[]; .status == "failed")'
    jq -e -f tests/grader/classroom.jq "$BATS_TEST_TMPDIR/json" | jq -e '.max_score == 100 and .status == "fail"'
}

@test "wrong arguments get one line that says what is wrong, and exit status 2" {
    for arguments in "" "6" "0 ." "x ." "6 /nothing" "--format x 6 ." "--format" "--what 6 ." "6 . ."; do
        # shellcheck disable=SC2086
        run -2 tests/grader/grade $arguments
        [[ ${#lines[@]} == 1 && $output == tests/grader/grade:* ]] || { echo "$arguments: $output" && return 1; }
        # shellcheck disable=SC2086
        [[ $arguments == --format* ]] || run -2 tests/grader/grade-all $arguments
        [[ ${#lines[@]} == 1 ]] || { echo "$arguments: $output" && return 1; }
    done
}

@test "without its tools the grader gives no grade, and says what is missing" {
    [[ ! -e build/node_modules/bats ]] || skip "bats is here twice"
    mkdir "$BATS_TEST_TMPDIR/bin"
    for tool in bats npm apt-get; do
        printf '#!/bin/sh\necho Bats 1.2.1\n' >"$BATS_TEST_TMPDIR/bin/$tool"
        chmod +x "$BATS_TEST_TMPDIR/bin/$tool"
    done
    for command in "grade 6 tests/grader/homework/right-stdio" "grade-all -o $BATS_TEST_TMPDIR/grades 6 tests/grader/homework"; do
        # shellcheck disable=SC2086
        PATH=$BATS_TEST_TMPDIR/bin:$PATH run -2 --separate-stderr tests/grader/$command
        [[ -z $output && $stderr == *"missing: bats (1.8 or newer"* ]] || { echo "$command: $output$stderr" && return 1; }
    done
}

@test "what Gradescope gets leaves a results.json where Gradescope looks for it" {
    run -0 tests/grader/gradescope/pack 6 "$BATS_TEST_TMPDIR/kit.zip"
    mkdir -p "$BATS_TEST_TMPDIR"/autograder/{source,submission,results}
    (cd "$BATS_TEST_TMPDIR/autograder/source" && unzip -q ../../kit.zip)
    cp tests/grader/homework/does-not-build/server.c "$BATS_TEST_TMPDIR/autograder/submission"
    cp "$BATS_TEST_TMPDIR/autograder/source/run_autograder" "$BATS_TEST_TMPDIR/autograder"
    AUTOGRADER=$BATS_TEST_TMPDIR/autograder run -0 "$BATS_TEST_TMPDIR/autograder/run_autograder"
    jq -e '.score == 0 and .tests[0].status == "failed"' "$BATS_TEST_TMPDIR/autograder/results/results.json"
}
