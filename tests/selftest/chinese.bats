#!/usr/bin/env bats
# What the tests and the grader print in Chinese, and what stays as it is in every language.
# Needs: gnuplot:gnuplot-nox parallel:parallel patch:patch python3:python3 unzip:unzip zip:zip
bats_require_minimum_version 1.5.0

# Two mistakes, whose reports have causes and hints.
setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    make -s all build/client
    mkdir "$BATS_FILE_TMPDIR/empty"
    tests/mistakes/build 6-zombies
    tests/mistakes/build 1-one-recv
    export EMPTY=$BATS_FILE_TMPDIR/empty SERVER=build/mistakes/6-zombies/server
    export ONE_RECV=build/mistakes/1-one-recv/server
}
setup() {
    PATH=${PATH#*/libexec/bats-core:}
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    unset SURROUNDINGS USER_LANGUAGE REPORT LC_ALL LC_MESSAGES LANG
}

# No line of a report that is ours has a sentence in English left: two small words one after the other.
all_chinese() {
    ! grep -vE '^ *(发送|收到|标准错误)：|^ {10,}' <<<"$output" | grep -vE '^[0-9]+ passed, ' | grep -E '[a-z]{2,} [a-z]{2,}'
}

@test "with REPORT=zh, a report of tests is in Chinese, but for its last line" {
    run env REPORT=zh ONLY='one client, and ends|two pieces|log has a line' tests/run 6
    echo "$output"
    [[ $status == 1 && ${lines[-1]} == "2 passed, 1 failed" && $output == *"没有通过"*"提示："* ]] || return 1
    all_chinese
    run env REPORT=zh SERVER="$ONE_RECV" ONLY=pieces tests/run 1
    echo "$output"
    [[ $status == 1 && ${lines[-1]} == *" failed" && $output == *"收到："* ]] || return 1
    all_chinese
}

@test "the language is that of REPORT; without it, of LC_ALL, LC_MESSAGES or LANG, as the user had them" {
    only="only this machine is served"
    for variables in LANG=zh_CN.UTF-8 "LC_ALL=C.UTF-8 LANG=zh_CN" LC_MESSAGES=zh_TW REPORT=zh; do
        # shellcheck disable=SC2086
        run env $variables ONLY="$only" tests/run 6
        [[ $output == *"第 6 阶段"* && ${lines[-1]} == "1 passed, 0 failed" ]] || { echo "$variables: $output" && return 1; }
    done
    for variables in REPORT=en "LANG=zh_CN.UTF-8 REPORT=en" LANG=C LC_ALL=de_DE.UTF-8; do
        # shellcheck disable=SC2086
        run env $variables ONLY="$only" tests/run 6
        [[ $output != *[一-龥]* && ${lines[-1]} == "1 passed, 0 failed" ]] || { echo "$variables: $output" && return 1; }
    done
    run -2 env REPORT=de tests/run 6
    [[ ${#lines[@]} == 1 && $output == *"REPORT=de: it is zh or en" ]]
}

@test "ONLY selects a test by its English or its Chinese name, in each language" {
    name="only this machine is served"
    chinese=$(tests/lib/translate <<<"$name")
    [[ $chinese != "$name" ]] || return 1
    for only in "$name" "^$chinese\$"; do
        for language in en zh; do
            run env REPORT="$language" ONLY="$only" tests/run 6
            echo "$output"
            [[ $status == 0 && ${lines[-1]} == "1 passed, 0 failed" ]] || return 1
        done
    done
}

@test "a grade: the table is in Chinese, and JSON has the English names, with the Chinese ones beside them" {
    run --separate-stderr env REPORT=zh tests/grader/grade 1 "$EMPTY"
    echo "$output"
    [[ $status == 0 && $output == *"第 1 阶段"* ]] || return 1
    all_chinese
    run --separate-stderr env REPORT=zh tests/grader/grade --format json 1 "$EMPTY"
    jq -e '.score == 0 and .max_score == 100 and (.tests | length > 10) and all(.tests[]; (.name | test("[一-龥]") | not) and (.title | test("[一-龥]")))' \
        <<<"$output" || return 1
    names=$(jq -r '.tests[].name' <<<"$output")
    [[ $names == "$(tests/list 1 | cut -f 5)" ]] || return 1
    run --separate-stderr env REPORT=en tests/grader/grade --format json 1 "$EMPTY"
    jq -e '.tests | all(has("title") | not)' <<<"$output"
}

@test "with REPORT=zh, TAP and JUnit are as with REPORT=en" {
    for format in tap junit; do
        for language in en zh; do
            run --separate-stderr env REPORT="$language" tests/grader/grade --format "$format" 1 "$EMPTY"
            [[ $status == 0 ]] || return 1
            printf '%s\n' "$output" | sed 's/ time="[0-9]*"//' >"$BATS_TEST_TMPDIR/$language"
        done
        diff "$BATS_TEST_TMPDIR/en" "$BATS_TEST_TMPDIR/zh"
    done
}

@test "a class: its page, its reports and the causes in grades.csv are in Chinese, the columns and the JSON are as ever" {
    grades=$BATS_TEST_TMPDIR/grades
    mkdir -p "$BATS_TEST_TMPDIR/class/"{empty,ends}
    printf '#!/bin/sh\nexit 3\n' >"$BATS_TEST_TMPDIR/class/ends/server"
    chmod +x "$BATS_TEST_TMPDIR/class/ends/server"
    env REPORT=zh tests/grader/grade-all -o "$grades" 1 "$BATS_TEST_TMPDIR/class"
    cat "$grades/grades.csv"
    [[ $(head -n 1 "$grades/grades.csv") == *"id,name,points,new,kept,cause" && $(<"$grades/grades.csv") == *"服务器自己结束了，退出状态是 3"* ]] || return 1
    [[ $(head -n 1 "$grades/ends.txt") == "ends，第 1 阶段：0 分，"*"服务器自己结束了，退出状态是 3" ]] || return 1
    grep -q '<html lang="zh-CN">' "$grades/index.html" && grep -qF "$(tests/lib/translate <<<"only this machine is served")" "$grades/index.html" || return 1
    jq -e '.likeliest == "the server ends by itself, with exit status 3" and all(.tests[]; has("title") | not)' "$grades/ends.json"
}

@test "an exercise is shown and tested in Chinese" {
    run env REPORT=zh tests/exercises/show 3-own-404
    echo "$output"
    [[ $status == 0 && ${lines[-2]} == *"stage3_404/server.c"*[一-龥]* && ${lines[-1]} == *"make test-exercise E=3-own-404" ]] || return 1
    run env -u SERVER REPORT=zh ONLY="missing page gets 404, with" tests/run 3-own-404
    echo "$output"
    [[ $status == 1 && ${lines[-1]} == "0 passed, 1 failed" && $output == *"练习 3-own-404"* ]] || return 1
    all_chinese
}

@test "what was sent, and what came, stays as it is, whatever bytes it has" {
    printf '    expected: an answer with status 404\n    received: HTTP/1.1 200 OK\\r\\n\n              expected: an answer\n' >"$BATS_TEST_TMPDIR/english"
    printf '              \377\376\n              nothing has leaked\n    hint:     no such file\n\377 an answer\n' >>"$BATS_TEST_TMPDIR/english"
    tests/lib/translate <"$BATS_TEST_TMPDIR/english" >"$BATS_TEST_TMPDIR/chinese"
    cat "$BATS_TEST_TMPDIR/chinese"
    diff <(sed -n '3,5p; 7p' "$BATS_TEST_TMPDIR/english") <(sed -n '3,5p; 7p' "$BATS_TEST_TMPDIR/chinese") || return 1
    [[ $(sed -n 1p "$BATS_TEST_TMPDIR/chinese") == "    期望："*404* && $(sed -n 2p "$BATS_TEST_TMPDIR/chinese") == "    收到：    HTTP/1.1 200 OK\\r\\n" ]] || return 1
    [[ $(sed -n 6p "$BATS_TEST_TMPDIR/chinese") == "    提示："* ]]
}

@test "a handout has the points in both languages, and the texts of its own tests alone" {
    tests/grader/handout/pack 2 "$BATS_TEST_TMPDIR/handout.zip"
    unzip -p "$BATS_TEST_TMPDIR/handout.zip" 'handout/README*.md' >"$BATS_TEST_TMPDIR/page"
    while IFS= read -r name; do
        grep -qF -e " $name" "$BATS_TEST_TMPDIR/page" && grep -qF -e " $(tests/lib/translate <<<"$name")" "$BATS_TEST_TMPDIR/page" || { echo "$name" && return 1; }
    done < <(tests/list 2 | cut -f 5)
    unzip -p "$BATS_TEST_TMPDIR/handout.zip" handout/tests/lib/zh.po >"$BATS_TEST_TMPDIR/texts"
    grep -q 'tests/2_files.bats$' "$BATS_TEST_TMPDIR/texts" && ! grep -qE 'tests/3_404.bats|exercises' "$BATS_TEST_TMPDIR/texts"
}
