#!/usr/bin/env bats
# The grader: what it says of made-up homeworks, of which most attack it.
# Needs: gnuplot:gnuplot-nox parallel:parallel patch:patch python3:python3 unzip:unzip zip:zip
bats_require_minimum_version 1.5.0
load kits

# A homework: a server of the kit with one change.
plant() { # DIRECTORY STAGE SED-PROGRAM
    mkdir -p "$1"
    sed -E "$3" stage"$2"_*/server.c >"$1/server.c"
    [[ -z $3 ]] || ! cmp -s stage"$2"_*/server.c "$1/server.c"
}

# The homeworks that most tests are about are graded once: the right ones by all tests, the others by two suites.
setup_file() {
    leave_bats
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all build/client
    touch "$BATS_FILE_TMPDIR/begun"
    export GRADES=$BATS_FILE_TMPDIR/grades CLASS=$BATS_FILE_TMPDIR/class RIGHT=$BATS_FILE_TMPDIR/right SMALL=$BATS_FILE_TMPDIR/small
    mkdir "$RIGHT"
    cp -R tests/grader/homework "$CLASS"
    mv "$CLASS"/right-* "$RIGHT"
    # A server that is right in every way that the RFCs allow, and ours is not.
    mkdir "$RIGHT/right-otherwise" "$CLASS/shy"
    patch --silent --output "$RIGHT/right-otherwise/server.c" stage6_fork/server.c tests/grader/right-otherwise.patch
    # One that does not start at the first try, and says so in two lines.
    sed '/^import time/a if not os.path.exists("once"):\n    open("once", "w"); print("one\\ntwo", file=sys.stderr); sys.exit(1)' \
        tests/grader/homework/right-python/server >"$CLASS/shy/server"
    chmod +x "$CLASS/shy/server"
    echo "name,mail" >"$CLASS/roster.csv"
    make_kit "$SMALL" 5_args.bats 6_fork.bats
    # The stage before keeps the clients waiting in each test of what is new: two of them say as much as all.
    local few=$BATS_FILE_TMPDIR/few before=$BATS_FILE_TMPDIR/before
    make_kit "$few" 5_args.bats 6_fork.bats
    perl -0pi -e 's/^\@test "(?!a child serves one client|clients that stall).*?^\}\n//msg' "$few/tests/6_fork.bats"
    plant "$before" 5 ''
    # So many homeworks side by side: not what grade-all would choose, which would see what other tests do.
    export AT_ONCE=8
    [[ -z ${SLOW:-} ]] || AT_ONCE=2
    tests/grader/grade-all -j "$AT_ONCE" -o "$GRADES-right" 6 "$RIGHT" >"$BATS_FILE_TMPDIR/said-right" 2>&1 &
    "$few/tests/grader/grade" --format json 6 "$before" >"$before.json" &
    "$SMALL/tests/grader/grade-all" -j "$AT_ONCE" -o "$GRADES" 6 "$CLASS" >"$BATS_FILE_TMPDIR/said" 2>&1
    wait
}
setup() {
    leave_bats
    cd "$BATS_TEST_DIRNAME/../.." || return 1
}
grade_of() { jq "$2" "$GRADES/$1.json"; } # HOMEWORK FILTER

# What the tests would have said of a server that passes them all, as tests/run leaves it: a suite each for the slow and the
# quick tests of a file.
all_passed() { # STAGE
    tests/list "$1" | jq -R -s --argjson stage "$1" '{$stage, exercise: "", homework: "made-up", built: true, place: "nowhere", seconds: 1, output: "",
        suites: (rtrimstr("\n") | split("\n") | map(split("\t")) | group_by([.[2], .[3]]) | map({suite: .[0][2] | rtrimstr(".bats"), part: .[0][3],
            whole: true, broken: null, output: "", tests: map({name: .[4], status: "passed", cause: null, output: ""})}))}'
}

@test "the made-up homeworks get the grades that they deserve, and leave nothing behind" {
    points() { tail -q -n +2 "$GRADES/grades.csv" "$GRADES-right/grades.csv" | awk -F, '{print "\"" $2 "\"," $3 ",100"}'; }
    local wrong
    # What differs, and which tests those have lost; or what stood in the place of grades.
    wrong=$(diff <(tail -n +2 tests/grader/homework.csv) <(points | grep -v '^"shy"' | sort)) || {
        echo "$wrong"
        sed -n 's/^> "\([^"]*\)".*/\1/p' <<<"$wrong" | while read -r name; do
            grep -hA6 '^ *[0-9.]*  *0  ' "$GRADES"{,-right}"/$name.txt" 2>/dev/null || true
        done
        tail -n 3 "$BATS_FILE_TMPDIR"/said{,-right}
        return 1
    }
    for _ in {1..50}; do pgrep left-behind >/dev/null || break; sleep 0.1; done
    run -1 pgrep --list-full left-behind
    left=$(find /tmp /var/tmp /dev/shm /run -name left-server -newer "$BATS_FILE_TMPDIR/begun" -not -path "*/leaves-file/*" 2>/dev/null || true)
    [[ -z $left ]] || { echo "left behind: $left" && return 1; }
}

@test "what is no directory is no homework" {
    grep -qx "roster.csv is no directory: it is left out" "$BATS_FILE_TMPDIR/said"
    [[ ! -e $GRADES/roster.csv.json ]]
}

@test "a server of an earlier stage keeps its points, and earns none for a concept that it lacks" {
    jq -e '.new.earned == 0 and .kept.earned == 40 and .score == 40 and (.likeliest | startswith("this is still stage 5"))' "$BATS_FILE_TMPDIR/before.json" ||
        { cat "$BATS_FILE_TMPDIR/before.json" && return 1; }
}

@test "a start that fails is tried once more, whatever the server prints" {
    [[ $(grade_of shy '.score > 60') == true ]] || { cat "$GRADES/shy.txt" && return 1; }
}

@test "one fault in a right server is named in the first line of its report" {
    faults=$BATS_TEST_TMPDIR/faults GRADES=$BATS_TEST_TMPDIR/grades
    plant "$faults/dies-of-sigpipe" 5 's|signal\(SIGPIPE.*|;|'
    plant "$faults/never-closes" 5 's/^    close\(client\);.*//'
    plant "$faults/lf-alone" 5 '/HTTP\/1.1 %d|Date:|Content-Type: %s|Connection: close/s/\\r//g'
    plant "$faults/no-index" 5 's/"index.html"/"index.htm"/'
    plant "$faults/other-port" 5 's/htons\(.*\)/htons(8081)/'
    plant "$faults/one-read" 5 's/while \(length < MAX_HEAD .*\{/for (int once = 1; once > 0; once--) {/'
    plant "$faults/no-blank-line" 5 's/close\\r\\n\\r\\n/close\\r\\n/'
    mkdir "$faults/from-windows" "$faults/no-program" "$faults/runs-nothing"
    printf '#!/usr/bin/env python3\r\n' >"$faults/from-windows/server"
    printf '#!/usr/bin/env no-program\n' >"$faults/no-program/server"
    printf '#!/bin/sh\nexec ""\n' >"$faults/runs-nothing/server"
    make_kit "$BATS_TEST_TMPDIR/kit" 1_fixed.bats 2_files.bats 5_args.bats
    perl -0pi -e 's/^\@test "(?!\/ is html|a path names|a directory with its last).*?^\}\n//msg' "$BATS_TEST_TMPDIR/kit/tests/2_files.bats" # three that look at a body
    "$BATS_TEST_TMPDIR/kit/tests/grader/grade-all" -j "$AT_ONCE" -o "$GRADES" 5 "$faults"
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
from-windows:the server is not built: The first line of server ends with CR LF
no-program:there is no such program as the first line of its script names: #!/usr/bin/env no-program
runs-nothing:the server ends by itself, with exit status 126
LINES
    # An answer that came before the time was up is shown, and so is the end of its lines.
    grep -qF 'received: HTTP/1.1 200 OK\r\n' "$GRADES/never-closes.txt"
    # One cause costs once: at most 25 points, and at most 15 who says where he listens.
    for name in never-closes lf-alone no-blank-line one-read; do
        [[ $(grade_of "$name" '.score >= 75 and .score < 100') == true ]] || { cat "$GRADES/$name.txt" && return 1; }
    done
    [[ $(grade_of other-port '.score >= 85 and .score < 100') == true ]]
    # None has a tool's message, or nothing to say.
    run -1 grep -hE "line [0-9]+:|helpers.bash|syntax error|can't read|No such process" "$GRADES"/*.txt
    [[ $(jq -s '[.[].tests[] | select(.status == "failed" and .output == "")] | length' "$GRADES"/*.json) == 0 ]]
}

@test "what a server sends is never taken for a sum, in which bash would run a command" {
    SERVER=tests/grader/sends-sum ONLY="(idle after|second request).*after 5 seconds" VERBOSE=1 tests/run 9 >"$BATS_TEST_TMPDIR/said" || true
    # Two tests of stage 9 count with the last line of what came. Had bash taken it for a sum, they would pass.
    grep -qx "0 passed, 2 failed" "$BATS_TEST_TMPDIR/said"
    run -1 grep -E '^ *a-sum-was-run|syntax error' "$BATS_TEST_TMPDIR/said"
}

@test "an exercise is graded: 60 for its own tests, 40 for those of its stage" {
    tests/exercises/build 3-own-404 >/dev/null
    tests/grader/grade --format json 3-own-404 build/exercises/3-own-404 >"$BATS_TEST_TMPDIR/solved" &
    tests/grader/grade --format json 3-own-404 stage3_404 >"$BATS_TEST_TMPDIR/unsolved"
    wait "$!"
    [[ $(jq .score "$BATS_TEST_TMPDIR/solved") == 100 ]]
    jq -e '.max_score == 100 and ([.tests[] | select(.own | not).earned] | add | round) == 40' "$BATS_TEST_TMPDIR/unsolved"
    jq -e '.score < 60 and (.likeliest | test("html/404.html as its body"))' "$BATS_TEST_TMPDIR/unsolved"
}

@test "a handout has no server of its stage or a later one, no mistake and no solution; solved, it earns 100" {
    kit=$PWD later=$BATS_TEST_TMPDIR/later name="课程 o'b"
    as_student() { env -i PATH="$PATH" HOME="$HOME" make -s "$@"; }
    tests/grader/handout/pack 6 "$BATS_TEST_TMPDIR/$name.zip"
    # Lines of a later server that are in no earlier one are nowhere in it, however far they are indented.
    lines_of() { cat "$@" | sed -E 's:</?(ins|del|i)>::g; s/^ *//'; }
    lines_of stage[1-5]_*/server.c >"$BATS_TEST_TMPDIR/earlier"
    lines_of stage[6-9]_*/server.c | grep -vxF -f "$BATS_TEST_TMPDIR/earlier" | grep '[[:alpha:]].\{19,\};' >"$later"
    cd "$BATS_TEST_TMPDIR" || return 1
    unzip -q "$name.zip"
    cd "$name" || return 1
    cmp server.c "$kit/stage5_args/server.c"
    mapfile -t files < <(find . -name '*.c' -o -name '*.md' -o -name '*.html')
    run -1 grep -xF -f "$later" <(lines_of "${files[@]}")
    [[ -z $(find . -name '*.patch') ]]
    # Its README has the points of each test, in two languages.
    for page in README.md README.zh.md; do [[ $(grep -cE '^    [0-9.]+ +' "$page") == "$(cd "$kit" && tests/list 6 | wc -l)" ]]; done
    cp "$kit/stage6_fork/server.c" .
    [[ $(as_student test ONLY=answer | tail -n 1) == *" passed, 0 failed"* ]]
    as_student grade | grep "^$name, stage 6: 100 of 100 points (new: 60 of 60, kept: 40 of 40)"
}

# What a README names must be in its zip: links, files of the tests, targets of make. What only the kit has is said to be there.
check_readme() { # DIRECTORY
    local link name targets
    mapfile -t targets < <(grep -oE '^[a-z./]+:' "$1/Makefile" | tr -d :)
    perl -CSD -Mutf8 -0pe 's/(In a clone of the kit|在整个套件里)[^.。]*//g' "$1/README.md" "$1/README.zh.md" >"$1/said"
    while IFS= read -r link; do
        [[ $link == *://* || -e $1/$link ]] || { echo "$1: the link $link" && return 1; }
    done < <(grep -oE '\]\([^)]+\)' "$1/said" | sed 's/^](//; s/)$//; s/#.*//')
    while IFS= read -r name; do
        [[ -e $1/$name ]] || { echo "$1: the file $name" && return 1; }
    done < <(grep -oE '(\./)?\b(tests|html/lessons)/[A-Za-z0-9_./-]*[A-Za-z0-9]' "$1/said" | sort -u)
    while IFS= read -r name; do
        [[ " ${targets[*]} " == *" $name "* ]] || { echo "$1: make $name" && return 1; }
    done < <(grep -oE '(`|^ +|&& )make [a-z][a-z0-9/-]*' "$1/said" | sed 's/.*make //' | sort -u)
    ! grep -E 'stage[1-9]_' "$1/said" || return 1
    # Its pages lead to no lesson that was left out.
    while IFS= read -r link; do
        [[ -n $(find "$1/html/lessons" -name "$link") ]] || { echo "$1: the lesson $link" && return 1; }
    done < <(grep -rhoE 'href="[^"#]*\b[1-9]_[a-z0-9]+\.html' "$1/html" | sed 's/.*[/"]//' | sort -u)
}

@test "a handout's README and pages name nothing that is not in the zip, and say how many hours to expect" {
    for assignment in {1..9} 8-poll 9-cache; do
        tests/grader/handout/pack "$assignment" "$BATS_TEST_TMPDIR/$assignment.zip"
        (cd "$BATS_TEST_TMPDIR" && unzip -q "$assignment.zip")
        check_readme "$BATS_TEST_TMPDIR/$assignment"
        [[ $(grep -cE '^(Expect [0-9]+ to [0-9]+ hours\.|预计需要 [0-9]+ 到 [0-9]+ 小时。)$' "$BATS_TEST_TMPDIR/$assignment"/README{,.zh}.md | awk -F : '{sum += $2} END {print sum}') == 2 ]]
    done
    # That the check can fail.
    for wrong in 'see [the map](tests/README.md)' '    make bench' 'run tests/bench/run' 'in stage7_threads/server.c'; do
        echo "$wrong" >>"$BATS_TEST_TMPDIR/7/README.md"
        run ! check_readme "$BATS_TEST_TMPDIR/7"
        sed -i '$d' "$BATS_TEST_TMPDIR/7/README.md"
    done
}

@test "a mistake that is handed out is not named anywhere in the zip; mended, it earns 100" {
    run -0 tests/grader/handout/pack -m 5-atoi-port "$BATS_TEST_TMPDIR"
    [[ $output =~ (handout-fault5-[0-9a-f]{6})\.zip\ has\ the\ mistake\ 5-atoi-port: ]]
    name=${BASH_REMATCH[1]} kit=$PWD
    cd "$BATS_TEST_TMPDIR"
    unzip -q "$name.zip"
    run ! grep -rE 'atoi-port|Wrong:|Fails:' "$name"
    [[ -z $(find "$name" -name '*atoi*' -o -name '*.patch') ]]
    run -1 cmp -s "$name/server.c" "$kit/stage5_args/server.c"
    [[ ! -e $name/html/lessons/en/5_args.html && ! -e $name/html/lessons/steps/5_args.html ]]
    grep -q '^# Assignment: a server of stage 5 with one fault$' "$name/README.md"
    check_readme "$name"
    make -s -C "$name"
    run ! make -s -C "$name" test ONLY=arguments
    cp "$kit/stage5_args/server.c" "$name"
    run -0 make -s -C "$name" test ONLY=arguments
    # A wrong solution of an exercise comes with the task of the exercise. One that is not there is said so.
    cd "$kit"
    run -0 tests/grader/handout/pack -m 3-own-404-is-200 "$BATS_TEST_TMPDIR"
    unzip -q -d "$BATS_TEST_TMPDIR/exercise" "$BATS_TEST_TMPDIR"/handout-fault3-*.zip
    grep -q '^## A page of your own for 404$' "$BATS_TEST_TMPDIR"/exercise/*/README.md
    run -2 tests/grader/handout/pack -m 5-nothing "$BATS_TEST_TMPDIR"
    [[ ${#lines[@]} == 1 && $output == *"no such mistake: 5-nothing"* ]]
}

@test "make sanitize in a handout names the line of an overflow, and the variable that two threads share" {
    unpack() { # ASSIGNMENT
        tests/grader/handout/pack "$1" "$BATS_TEST_TMPDIR/$1.zip" >/dev/null
        (cd "$BATS_TEST_TMPDIR" && unzip -q "$1.zip")
    }
    unpack 1
    sed 's/MAX_HEAD - length, 0/MAX_HEAD + 64 - length, 0/' stage1_fixed/server.c >"$BATS_TEST_TMPDIR/1/server.c"
    line=$(grep -n 'MAX_HEAD + 64' "$BATS_TEST_TMPDIR/1/server.c" | cut -d : -f 1)
    run ! make -s -C "$BATS_TEST_TMPDIR/1" sanitize ONLY=garbage
    [[ $output == *"AddressSanitizer: stack-buffer-overflow"*"in receive_head "*"server.c:$line"*"'text'"* ]] || { echo "$output" && return 1; }
    unpack 7
    patch --silent --output "$BATS_TEST_TMPDIR/7/server.c" stage7_threads/server.c tests/mistakes/stage7/static-buffer.patch
    run ! make -s -C "$BATS_TEST_TMPDIR/7" sanitize ONLY='at the same time'
    [[ $output == *"build/tsan/server"*"ThreadSanitizer: data race"*"server.c:"*"Location is global 'text"* ]] || { echo "$output" && return 1; }
    # What holds for our own servers alone is not asked of a student's.
    unpack 4
    run ! make -s -C "$BATS_TEST_TMPDIR/4" sanitize ONLY='answers as stage 3'
    [[ $output == *"leaves no tests"* ]] || { echo "$output" && return 1; }
    # A compiler that has no such library: one line of ours.
    rm -r "$BATS_TEST_TMPDIR/7/build/asan"
    run ! make -s -C "$BATS_TEST_TMPDIR/7" sanitize CC="sh -c 'echo cannot find -lasan >&2; exit 1' -"
    [[ $(grep -c '^make sanitize: ' <<<"$output") == 1 && $output == *"makes no program that runs here: cannot find -lasan; README.md"* ]]
}

@test "what was skipped, or broke off for no fault of the homework's, is not earned: there is no grade" {
    all_passed 6 >"$BATS_TEST_TMPDIR/whole"
    points() { jq "$1" "$BATS_TEST_TMPDIR/whole" | tests/grader/give-points; }
    [[ $(points . | jq .score) == 100 ]]
    run -3 points '.suites[2].tests[0] += {status: "skipped", output: "port 8080 is taken"}'
    [[ $output == "port 8080 is taken" ]]
    run -3 points '.suites[2] += {whole: false, broken: "", output: "line one\nline two", tests: []}'
    [[ $output == *".bats broke off: line one | line two" ]]
    run -3 points 'del(.suites[2])'
    [[ $output == *".bats left no results" ]]
    # What the homework has brought about itself is lost, and nothing else.
    points '.suites[2] += {whole: false, broken: "it was ended after 900 s", tests: .suites[2].tests[1:]}' >"$BATS_TEST_TMPDIR/json"
    jq -e '([.tests[] | select(.earned == 0)] | length) == 1 and .likeliest == "it was ended after 900 s"' "$BATS_TEST_TMPDIR/json"
}

@test "a test for which the machine is too busy is skipped, and not failed" {
    cp -R "$SMALL" "$BATS_TEST_TMPDIR/kit"
    # shellcheck disable=SC2016
    # A server that keeps its clients waiting, where processes take far too long, as far as one can see.
    printf '#!/bin/sh\n[ "$1" = 3 ]\n' >"$BATS_TEST_TMPDIR/kit/tests/lib/is-slow"
    SERVER=stage5_args/server ONLY="the log has the id of the child" run -0 "$BATS_TEST_TMPDIR/kit/tests/run" 6
    [[ $output == *"this machine is too busy for this test"* && ${lines[-1]} == "0 passed, 0 failed, 1 skipped" ]] || { echo "$output" && return 1; }
    rm "$BATS_TEST_TMPDIR/kit/tests/lib/is-slow"
    cp tests/lib/is-slow "$BATS_TEST_TMPDIR/kit/tests/lib"
    SERVER=stage5_args/server ONLY="the log has the id of the child" run -1 "$BATS_TEST_TMPDIR/kit/tests/run" 6
    [[ ${lines[-1]} == "0 passed, 1 failed" ]] || { echo "$output" && return 1; }
}

@test "a program that the machine keeps from its end for 22 s is not taken for one that runs on" {
    # It is stopped, as if all of the CPU were somebody else's.
    sed '/^import time/a if sys.argv[2:] == ["192.0.2.1"]:\n    if os.fork() == 0:\n        time.sleep(22)\n        os.kill(os.getppid(), signal.SIGCONT)\n        os._exit(0)\n    os.kill(os.getpid(), signal.SIGSTOP)' \
        tests/grader/homework/right-python/server >"$BATS_TEST_TMPDIR/server"
    chmod +x "$BATS_TEST_TMPDIR/server"
    SERVER=$BATS_TEST_TMPDIR/server ONLY="or not ours" run -0 tests/run 5
    [[ ${lines[-1]} == "1 passed, 0 failed" ]] || { echo "$output" && return 1; }
}

@test "in a grading, a test that fails where processes take long, or after a wait in vain, is tried once more, and no other" {
    cp -R "$SMALL" "$BATS_TEST_TMPDIR/kit"
    mkdir "$BATS_TEST_TMPDIR/homework"
    cp stage5_args/server.c "$BATS_TEST_TMPDIR/homework"
    rm "$BATS_TEST_TMPDIR/kit/tests/6_fork.bats"
    # shellcheck disable=SC2016
    { echo "load lib/helpers" && printf '@test "%s" {\n    %s\n}\n' once '[[ -e $JOB/once ]] || { touch "$JOB/once" && explain "a second try" ""; }' \
        silent '[[ -e $JOB/silent ]] || { touch "$JOB/silent" && RESULT=4 && explain "a second try" ""; }' \
        never 'explain "nothing" ""' always 'get / && expect_status 200 ""'; } >"$BATS_TEST_TMPDIR/kit/tests/5_args.bats"
    for status in 1 0; do
        points=$((45 - 15 * status))
        printf '#!/bin/sh\nexit %s\n' "$status" >"$BATS_TEST_TMPDIR/kit/tests/lib/is-slow"
        run --separate-stderr "$BATS_TEST_TMPDIR/kit/tests/grader/grade" --format json 5 "$BATS_TEST_TMPDIR/homework"
        [[ $(jq -r .new.earned <<<"$output") == "$points" ]] || { echo "$output $stderr" && return 1; }
    done
}

@test "stage 4 earns 40 points by its tests, and the report says that the others are given by hand" {
    all_passed 4 | tests/grader/give-points >"$BATS_TEST_TMPDIR/json"
    jq -e '.score == 40 and .max_score == 40' "$BATS_TEST_TMPDIR/json"
    [[ $(jq -r --arg format table -L tests/lib -f tests/grader/report.jq "$BATS_TEST_TMPDIR/json") == "made-up, stage 4: 40 of 40 points (new: 60 points, given by hand, kept: 40 of 40)"* ]]
}

@test "a homework is tested again when its files have changed, or REGRADE says so, and not otherwise" {
    mkdir "$BATS_TEST_TMPDIR/class"
    cp -R tests/grader/homework/does-not-build tests/grader/homework/evil-makefile "$BATS_TEST_TMPDIR/class"
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

@test "weights that have been edited count without another test" {
    mkdir "$BATS_TEST_TMPDIR/kit"
    cp -R Makefile tests "$BATS_TEST_TMPDIR/kit"
    mkdir "$BATS_TEST_TMPDIR/class"
    cp -R tests/grader/homework/does-not-build "$BATS_TEST_TMPDIR/class"
    cd "$BATS_TEST_TMPDIR/kit"
    run -0 tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/class"
    seconds=$(jq .seconds "$BATS_TEST_TMPDIR/grades/does-not-build.json")
    points() { jq '.tests[] | select(.name == "clients that stall hold up nobody else").points' "$BATS_TEST_TMPDIR/grades/does-not-build.json"; }
    count=$(tests/list 6 | awk -F '\t' '$2 == "new"' | wc -l) # of the same weight
    [[ $(points) == "$(jq -n "60 / $count")" ]]
    sed -i '/^@test "clients that stall hold up nobody else"/i # bats test_tags=weight:3' tests/6_fork.bats
    run -0 tests/grader/grade-all -o "$BATS_TEST_TMPDIR/grades" 6 "$BATS_TEST_TMPDIR/class"
    [[ $(points) == "$(jq -n "3 * 60 / ($count + 2)")" ]]
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
    # A program alone is no homework, and a link leads nowhere, not even to a right server.
    mkdir "$BATS_TEST_TMPDIR"/{program,link}
    make -s stage6
    cp stage6_fork/server "$BATS_TEST_TMPDIR/program"
    ln -s "$PWD/tests/grader/homework/right-stdio" "$BATS_TEST_TMPDIR/link/stage6_x"
    ln -s "$PWD/tests/grader/homework/right-python/server" "$BATS_TEST_TMPDIR/link/server"
    for name in program link; do
        run -0 --separate-stderr tests/grader/grade 6 "$BATS_TEST_TMPDIR/$name"
        [[ $output == "$name, stage 6: 0 of 100 points"*"There is no source here"* ]] || { echo "$output" && return 1; }
    done
    run -2 tests/grader/grade 6 stage6_fork/server
    [[ $output == *"make test6 SERVER=stage6_fork/server"* ]]
}

@test "a homework that has nothing to build is told what it must have" {
    mkdir "$BATS_TEST_TMPDIR/empty"
    run -0 --separate-stderr tests/grader/grade 6 "$BATS_TEST_TMPDIR/empty"
    [[ $output == *"a homework has server.c, or a Makefile that makes server, or a script of the name server"* ]]
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
    cd "$SMALL"
    count=$(tests/list 6 | wc -l)
    ONLY=nothing run -0 --separate-stderr tests/grader/grade --format json 6 tests/grader/homework/prints-results # that is for tests/run
    echo "$output" >"$BATS_TEST_TMPDIR/json"
    report() { jq -r --arg format "$1" -L tests/lib -f tests/grader/report.jq "$BATS_TEST_TMPDIR/json"; }
    report tap | grep -qx "1\.\.$count"
    (($(report tap | grep -cE '^(not )?ok [0-9]+ ') == count))
    (($(report junit | grep -c '<testcase ') == count))
    if type -P xmllint; then report junit | xmllint --noout -; fi
    report gradescope | jq -e --argjson count "$count" '.tests | length == $count and (map(.max_score) | add | round) == 100 and all(.[]; .status == "failed")'
    # Each says in what kind of place it was.
    place=$(jq -r .place "$BATS_TEST_TMPDIR/json")
    [[ $place == *"namespaces, as "* ]]
    report table | grep -qx "place: $place"
    report tap | grep -qx "# place: $place"
    report junit | grep -qF "<property name=\"place\" value=\"$place\"/>"
    report gradescope | jq -e --arg place "$place" '.output | endswith("place: \($place)")'
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
    mkdir "$BATS_TEST_TMPDIR/kit"
    cp -R Makefile tests "$BATS_TEST_TMPDIR/kit"
    printf '#!/bin/sh\necho "tests/lib/tools: missing: bats" >&2\nexit 2\n' >"$BATS_TEST_TMPDIR/kit/tests/lib/tools"
    cd "$BATS_TEST_TMPDIR/kit"
    unset BATS # which tests/selftest/run has found
    for command in "grade 6 tests/grader/homework/right-stdio" "grade-all -o $BATS_TEST_TMPDIR/grades 6 tests/grader/homework"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr tests/grader/$command
        [[ -z $output && $stderr == *"missing: bats"* ]] || { echo "$command: $output$stderr" && return 1; }
    done
}

@test "what Gradescope gets leaves a results.json where Gradescope looks for it; a right homework has 100 there without namespaces" {
    cd "$SMALL"
    run -0 tests/grader/gradescope/pack 6 "$BATS_TEST_TMPDIR/kit.zip"
    export AUTOGRADER=$BATS_TEST_TMPDIR/autograder
    mkdir -p "$AUTOGRADER"/{source,submission,results}
    (cd "$AUTOGRADER/source" && unzip -q ../../kit.zip)
    cp "$AUTOGRADER/source/run_autograder" "$AUTOGRADER"
    cp tests/grader/homework/does-not-build/server.c "$AUTOGRADER/submission"
    run -0 "$AUTOGRADER/run_autograder"
    jq -e '.score == 0 and .tests[0].status == "failed"' "$AUTOGRADER/results/results.json"
    ((EUID == 0)) || return 0 # Gradescope's containers run as root
    without_namespaces
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
    cp tests/grader/homework/right-stdio/server.c "$AUTOGRADER/submission"
    run -0 "${WITHOUT[@]}" "$AUTOGRADER/run_autograder"
    jq -e '.score == 100 and (.output | endswith("place: no namespaces, as root"))' "$AUTOGRADER/results/results.json" ||
        { cat "$AUTOGRADER/results/results.json" && return 1; }
}

@test "the workflow for GitHub Actions leaves the report in the summary, and the grade as a file" {
    mkdir -p "$BATS_TEST_TMPDIR"/{bin,place}
    printf '#!/bin/sh\nexec "$@"\n' >"$BATS_TEST_TMPDIR/bin/sudo"
    chmod +x "$BATS_TEST_TMPDIR/bin/sudo"
    workflow=$PWD/tests/grader/actions.yml
    # What the step "Grade" runs, as Actions does.
    sed -n '/^      - name: Grade/,/^      - /s/^          //p' "$workflow" >"$BATS_TEST_TMPDIR/step"
    grep -q 'kit/tests/grader/grade' "$BATS_TEST_TMPDIR/step"
    cd "$BATS_TEST_TMPDIR/place"
    ln -s "$SMALL" kit
    cp -R "$SMALL/tests/grader/homework/does-not-build" homework
    echo '#error "<b>&"' >>homework/server.c
    PATH=$BATS_TEST_TMPDIR/bin:$PATH STAGE=6 GITHUB_STEP_SUMMARY=$BATS_TEST_TMPDIR/summary bash -e "$BATS_TEST_TMPDIR/step"
    jq -e '.score == 0 and .max_score == 100' grade.json
    [[ $(head -n 1 "$BATS_TEST_TMPDIR/summary") == '<pre>' && $(tail -n 1 "$BATS_TEST_TMPDIR/summary") == '</pre>' ]]
    grep -q '^homework, stage 6: 0 of 100 points' "$BATS_TEST_TMPDIR/summary"
    # What the compiler quotes of the homework is no part of the page.
    grep -qF '&lt;b&gt;&amp;' "$BATS_TEST_TMPDIR/summary"
    run -1 grep -F '<b>' "$BATS_TEST_TMPDIR/summary"
    # What is built and run there must not find the token of the checkout.
    [[ $(grep -c 'uses: actions/checkout@' "$workflow") == $(grep -c 'persist-credentials: false' "$workflow") ]]
}
