#!/usr/bin/env bats
# The grader: what it says of made-up homeworks, of which most attack it.
bats_require_minimum_version 1.5.0

setup_file() {
    make -s -C "$BATS_TEST_DIRNAME/.." build/client
    export GRADES=$BATS_FILE_TMPDIR/grades
}
setup() { cd "$BATS_TEST_DIRNAME/.." || return 1; }

# Every test of a stage but those for our own servers alone, as tests/run would run them.
tests_of() { # STAGE
    awk -v stage="$1" '/^# bats test_tags=/ {tags = $0}
        /^@test "/ {
            kit = tags ~ /kit/; until = match(tags, /until:[1-9]/) ? substr(tags, RSTART + 6, 1) : 9
            if (!kit && stage <= until) {sub(/^@test "/, ""); sub(/" \{$/, ""); print}
            tags = ""
        }' tests/[1-"$1"]_*.bats
}

@test "tests/points has a line for every test, and the points of each stage add up to 100" {
    for stage in 1 2 3 4 5 6 7 8 9; do
        points=$(awk -v stage="$stage" '!/^#/ && $stage != "." {sum += $stage} END {print sum}' tests/points)
        [[ $points == 100 ]] || { echo "stage $stage: $points" && return 1; }
        diff <(tests_of "$stage" | sort) <(sed -E '/^#/d' tests/points | awk -v stage="$stage" '$stage != "."' |
            sed -E 's/^\s*((\S+)\s+){9}//' | sort) || { echo "stage $stage: tests on the left, points on the right" && return 1; }
    done
}

@test "every test is named by a mistake that it catches" {
    diff <(for stage in 1 2 3 4 5 6 7 8 9; do tests_of "$stage"; done | sort -u) \
        <(sed -n 's/^Fails: //p' tests/mistakes/*.patch | sort -u) || { echo "tests on the left, names in tests/mistakes on the right" && return 1; }
}

@test "the made-up homeworks get the grades that they deserve" {
    run --separate-stderr tests/grade-all -j 2 -o "$GRADES" 6 tests/homework
    echo "$output" "$stderr"
    ((status == 0))
    diff tests/homework.csv <(cut -d, -f1,2 "$GRADES/grades.csv") || { cat "$GRADES"/right-*.txt && return 1; }
}

@test "a homework with a report is not graded again, unless it has changed" {
    cp -R tests/homework/does-not-build tests/homework/prints-results "$BATS_TEST_TMPDIR"
    run -0 tests/grade-all -o "$BATS_TEST_TMPDIR/.grades" 6 "$BATS_TEST_TMPDIR"
    [[ ${#lines[@]} == 3 ]]
    touch -d '+1 minute' "$BATS_TEST_TMPDIR/does-not-build/server.c"
    run -0 tests/grade-all -o "$BATS_TEST_TMPDIR/.grades" 6 "$BATS_TEST_TMPDIR"
    echo "$output"
    [[ ${#lines[@]} == 2 && ${lines[0]} == does-not-build* ]]
}

@test "a homework that does not build gets 0 points and the compiler's output, in every format" {
    for format in table tap junit json gradescope; do
        run -0 tests/grade --format "$format" 6 tests/homework/does-not-build
        [[ $output == *"expected"*"before"* ]] || { echo "$format: $output" && return 1; }
    done
}

@test "each format is what its readers expect" {
    ONLY=nothing run -0 --separate-stderr tests/grade --format json 6 tests/homework/prints-results # that is for tests/run
    echo "$output" >"$BATS_TEST_TMPDIR/json"
    report() { jq -r --arg format "$1" -f tests/report.jq "$BATS_TEST_TMPDIR/json"; }
    report tap | grep -qx '1\.\.72'
    (($(report tap | grep -cE '^(not )?ok [0-9]+ ') == 72))
    (($(report junit | grep -c '<testcase ') == 72))
    if type -P xmllint; then report junit | xmllint --noout -; fi
    report gradescope | jq -e '.tests | length == 72 and (map(.max_score) | add) == 100 and all(.[]; .status == "failed")'
    jq -e -f tests/classroom.jq "$BATS_TEST_TMPDIR/json" | jq -e '.max_score == 100 and .status == "fail"'
}

@test "wrong arguments get one line that says what is wrong, and exit status 2" {
    for arguments in "" "6" "0 ." "x ." "6 /nothing" "--format x 6 ." "--format" "--what 6 ." "6 . ."; do
        # shellcheck disable=SC2086
        run -2 tests/grade $arguments
        [[ ${#lines[@]} == 1 && $output == tests/grade:* ]] || { echo "$arguments: $output" && return 1; }
        # shellcheck disable=SC2086
        [[ $arguments == --format* ]] || run -2 tests/grade-all $arguments
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
    for command in "grade 6 tests/homework/right-stdio" "grade-all -o $BATS_TEST_TMPDIR/grades 6 tests/homework"; do
        # shellcheck disable=SC2086
        PATH=$BATS_TEST_TMPDIR/bin:$PATH run -2 --separate-stderr tests/$command
        [[ -z $output && $stderr == *"missing: bats (1.8 or newer"* ]] || { echo "$command: $output$stderr" && return 1; }
    done
}

@test "what Gradescope gets leaves a results.json where Gradescope looks for it" {
    run -0 tests/gradescope/pack 6 "$BATS_TEST_TMPDIR/kit.zip"
    mkdir -p "$BATS_TEST_TMPDIR"/autograder/{source,submission,results}
    (cd "$BATS_TEST_TMPDIR/autograder/source" && unzip -q ../../kit.zip)
    cp tests/homework/does-not-build/server.c "$BATS_TEST_TMPDIR/autograder/submission"
    cp "$BATS_TEST_TMPDIR/autograder/source/run_autograder" "$BATS_TEST_TMPDIR/autograder"
    AUTOGRADER=$BATS_TEST_TMPDIR/autograder run -0 "$BATS_TEST_TMPDIR/autograder/run_autograder"
    jq -e '.score == 0 and .tests[0].status == "failed"' "$BATS_TEST_TMPDIR/autograder/results/results.json"
}
