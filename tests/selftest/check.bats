#!/usr/bin/env bats
# make check and make refresh: each fault that they are for is planted in a copy of the kit.
# Needs: git:git patch:patch python3:python3
bats_require_minimum_version 1.5.0

# The copy lies where a name can do harm, and is a repository of its own.
setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export COPY="$BATS_FILE_TMPDIR/课程 o'b:r"
    export HOME=$BATS_FILE_TMPDIR/home
    mkdir "$COPY" "$HOME"
    cp -R .ci .clang-format .gitignore LICENSE Makefile README*.md html stage* tests "$COPY"
    cd "$COPY" || return 1
    git config --global user.name test
    git config --global user.email test@localhost
    git -c init.defaultBranch=main init -q
    git add -A
    git commit -qm copy
}
setup() { cd "$COPY" || return 1; }
teardown() {
    git reset -q --hard "$(git rev-list --max-parents=0 HEAD)"
    git clean -qfdx
}

# A check finds a fault, and says so in a line with this text in it.
found() { # CHECK TEXT
    run tests/check "$1"
    echo "$output"
    [[ $status == 1 && $output == *"WRONG $1: "*"$2"* ]]
}
first() { echo "$1"; } # FILE...
# Only a few scripts, for shellcheck takes its time.
leave_few_scripts() { rm -r tests/*.bats tests/{bench,exercises,fuzz,grader,mistakes,selftest}; }
add_line() { sed -i '/"\.js"/a /* one line more */' "$@"; } # SOURCE...
# Only the patches of one stage: many others would take their time.
leave_stage() { find tests/mistakes tests/exercises -mindepth 1 -maxdepth 1 -type d ! -name "stage$1" ! -name "$1-*" -exec rm -r {} +; } # STAGE

@test "the kit as it is passes, whatever the caller's surroundings are" {
    locale=$(locale -a | grep -m 1 -iE '^(zh_CN|de_DE|en_US)\.utf-?8$' || echo C)
    umask 077
    run env -u SURROUNDINGS LC_ALL="$locale" CDPATH=/:/tmp http_proxy=http://127.0.0.1:1 tests/check
    echo "$output"
    [[ $status == 0 && ${#lines[@]} == 12 ]] || return 1
    for line in "${lines[@]}"; do [[ $line == "ok "* ]]; done
}

@test "a patch that applies with an offset, with fuzz or not at all is found" {
    leave_stage 6
    add_line stage6_fork/server.c
    found patches "tests/mistakes/stage6/zombies.patch does not apply exactly: make refresh (Hunk #1 succeeded at "
    [[ $output == *"tests/exercises/6-limit/solution.patch does not"* && $output == *"tests/grader/right-otherwise.patch does not"* ]] || return 1
    git checkout -q stage6_fork
    sed -i '0,/^ .*[a-z]/s//&another/' tests/mistakes/stage6/zombies.patch
    sed -i '/^@@/,$s/^-.*[a-z]/&another/' "$(first tests/exercises/6-limit/wrong/*.patch)"
    found patches "tests/mistakes/stage6/zombies.patch does not apply exactly: make refresh (Hunk #1 succeeded"
    [[ $output == *"$(first tests/exercises/6-limit/wrong/*.patch) does not apply exactly: make refresh (Hunk #1 FAILED"* ]]
}

@test "a mistake that names no test, or one that is not there, is found" {
    leave_stage 6
    sed -i 's/^Fails: .*/Fails: no such test/' tests/mistakes/stage6/zombies.patch
    sed -i '/^Fails: /d' "$(first tests/exercises/6-limit/wrong/*.patch)"
    found patches "tests/mistakes/stage6/zombies.patch: 6 has no test \"no such test\""
    [[ $output == *"$(first tests/exercises/6-limit/wrong/*.patch): there is no Fails: above it"* ]]
}

@test "two tests of one name, and one that no mistake names, are found" {
    name=$(sed -n '0,/^@test "\(.*\)" {$/s//\1/p' tests/1_fixed.bats)
    printf '@test "%s" {\n    true\n}\n' "$name" "nobody breaks this" >>tests/3_404.bats
    found tests "two tests of 3 have the name \"$name\""
    [[ $output == *"tests/3_404.bats: no mistake names \"nobody breaks this\""* ]] || return 1
    git checkout -q tests
    printf '# No mistake: it is here for this test alone\n@test "nobody breaks this" {\n    true\n}\n' >>tests/3_404.bats
    tests/check tests
}

@test "a text without Chinese, one that is gone, and one with other %s are found, and an update lists them in zh.po" {
    sed -i 's/garbage does not end the server/nonsense does not end the server/' tests/1_fixed.bats
    found messages '"nonsense does not end the server", in tests/1_fixed.bats, has no Chinese'
    [[ $output == *'"garbage does not end the server" stands in no source'* ]] || return 1
    run -1 tests/lib/messages -u
    [[ ${#lines[@]} == 1 && $output == *'"nonsense does not end the server", in'* ]] || return 1
    sed -i '/^msgid "nonsense does not/{n; s/.*/msgstr "请求正文 %s"/}' tests/lib/zh.po
    found messages '"请求正文 %s" has other %s than "nonsense does not end the server"'
    found words "正文 is not our word, but 主体"
    sed -i 's/请求正文 %s/乱七八糟的数据不会让服务器结束/' tests/lib/zh.po
    tests/check messages
}

@test "an exercise that replaces a test that is not there is found" {
    echo "# Replaces: no such test" >>tests/exercises/6-limit/tests.bats
    found tests "tests/exercises/6-limit/tests.bats replaces \"no such test\""
}

@test "points that do not add up are found" {
    sed -i 's/? 100 : 60$/? 100 : 50/' tests/list
    found points "what is new in 6 is worth 50 points together, not 60"
}

@test "an exercise without its Chinese task, or with one wrong solution, is found" {
    rm tests/exercises/6-limit/task.zh.md
    wrong=(tests/exercises/9-cache/wrong/*.patch)
    rm "${wrong[@]:1}"
    found exercises "tests/exercises/6-limit/task.zh.md is missing"
    [[ $output == *"tests/exercises/9-cache/wrong/ has 1 wrong solutions"* ]]
}

@test "a lesson that does not show the server as it is is found" {
    sed -i '/^static void log_request/i /* Another comment. */' stage6_fork/server.c
    found lessons "html/lessons/steps/6_fork.html is stale: make lessons"
}

@test "a stage and a step over their limits, and a README with other figures, are found" {
    for _ in {1..600}; do echo "extern int spare;"; done >>stage6_fork/server.c
    found sizes "stage6_fork/server.c has more than"
    [[ $output == *"over its limit"* && $output == *"the table in README.md has other figures than make diffs: make refresh"* ]]
}

@test "a comment that changes in a function which the step does not touch is found, and one that is moved" {
    grep -q '^static void log_request' stage7_threads/server.c
    sed -i '/^static void log_request/i /* Another comment. */' stage7_threads/server.c
    found steps "stage 7 changes log_request(), and tests/steps does not say so"
    git checkout -q stage7_threads
    awk '/^static void log_request/ {on = 1} on {kept = kept $0 "\n"; if (/^}/) on = 0; next} {print} END {printf "\n%s", kept}' stage7_threads/server.c >moved
    mv moved stage7_threads/server.c
    found steps "stage 7 moves log_request(), and tests/steps does not say so"
    git checkout -q stage7_threads
    sed -i 's/^stage 6 changes /&accept_twice(), /' tests/steps
    found steps "it is not so that stage 6 changes accept_twice(), as tests/steps says"
}

@test "a link of a README that leads nowhere, or to a heading that is not there, is found" {
    echo "[one](stage6_fork/client.c), [two](README.md#no-such-heading), [three](tests/README.md#the-map)" >>README.md
    found links "README.md: the link stage6_fork/client.c leads nowhere"
    [[ $output == *"README.md: the link README.md#no-such-heading names a heading that is not there"* && $output != *the-map* ]]
}

@test "what shellcheck and clang-format would do otherwise is found" {
    type -P shellcheck clang-format >/dev/null || skip "shellcheck or clang-format is not installed"
    leave_few_scripts
    # shellcheck disable=SC2016
    echo 'rm $1' >>tests/watch
    sed -i 's/^int main/int  main/' stage6_fork/server.c
    found style "tests/watch:"
    [[ $output == *"stage6_fork/server.c:"*": clang-format -i puts it right"* ]]
}

@test "where shellcheck is not installed, the check says that it left that out" {
    as_if=(bwrap --dev-bind / / --ro-bind /dev/null "$(type -P shellcheck || echo /dev/null)")
    "${as_if[@]}" true || skip "no namespaces"
    leave_few_scripts
    run "${as_if[@]}" tests/check style
    echo "$output"
    [[ $status == 0 && $output == "ok style (left out: shellcheck, which is not installed"* ]]
}

@test "a program that git tracks under build/ is found" {
    mkdir build
    touch build/client
    git add -f build/client
    found built "build/client is tracked by git"
}

@test "check and refresh say in one line what they do not understand" {
    for command in "check nothing" "check -x" "refresh -x" "refresh -b" "refresh -b no-such-revision" "refresh 6"; do
        # shellcheck disable=SC2086
        run -2 tests/$command
        [[ ${#lines[@]} == 1 && $output == "tests/${command%% *}: "* ]] || { echo "$command: $output" && return 1; }
    done
    rm -rf .git
    run -2 tests/refresh
    git -c init.defaultBranch=main init -q # for what is after this test
    git add -A
    git commit -qm copy
    [[ ${#lines[@]} == 1 && $output == "tests/refresh: git knows no old sources here: "* ]]
}

@test "after a line more in every server, refresh makes everything fit again, and then nothing more" {
    add_line stage*/server.c
    tests/refresh
    tests/check patches lessons sizes steps
    # The patches have other numbers of lines in them, and nothing else has changed.
    git diff -U0 -- tests README.md | (! grep -E '^[-+]([^-+@]|$)')
    run -0 tests/refresh
    [[ -z $output ]]
}

@test "a change that a mistake is about is left for a hand, and what was mended by hand is taken over" {
    leave_stage 6
    patch=tests/mistakes/stage6/zombies.patch
    # The first line that the mistake removes or changes gets a comment.
    line=$(sed -n '/^@@/,$s/^-\(.*[a-z].*\)/\1/p' "$patch" | head -n 1)
    LINE=$line awk '$0 == ENVIRON["LINE"] && !done {$0 = $0 " // changed"; done = 1} {print}' stage6_fork/server.c >changed
    mv changed stage6_fork/server.c
    run -1 tests/refresh
    echo "$output"
    [[ $output == *"$patch is left for you: what it changes has changed: mend "*"build/refresh/mistakes/stage6/zombies/server.c, and refresh again"* ]] || return 1
    git diff --quiet -- "$patch"
    grep -q '^<<<<<<< stage6_fork/server.c' build/refresh/mistakes/stage6/zombies/server.c
    # Whoever mends them, takes what the patch says. Wrong solutions wait for their solution.
    for _ in 1 2 3; do
        find build/refresh -name server.c -exec sed -i '/^<<<<<<< /,/^=======$/d; /^>>>>>>> /d' {} +
        run tests/refresh
    done
    echo "$output"
    [[ $status == 0 && ! -e build/refresh/mistakes/stage6/zombies ]] || return 1
    tests/check patches
    grep -q 'changed' "$patch"
}

@test "a merge that does not compile is left for a hand, and the patch stays as it was" {
    leave_stage 1
    sed -i '/^int main/i static void spare(void)\n{\n}\n' stage1_fixed/server.c
    sed '/^int main/,$s/^}/    spare();\n}/' stage1_fixed/server.c >called
    { sed '/^--- /,$d' tests/mistakes/stage1/sigpipe.patch && diff -u --label a/stage1_fixed/server.c --label b/stage1_fixed/server.c stage1_fixed/server.c called; } \
        >tests/mistakes/stage1/new.patch || true
    rm called
    git add -A
    git commit -qm "a function, and a mistake that calls it"
    sed -i 's|^static void spare|/* called otherwise, and further down */\n\nstatic void other|' stage1_fixed/server.c
    run -1 tests/refresh
    echo "$output"
    [[ $output == *"tests/mistakes/stage1/new.patch is left for you: it does not compile: mend build/refresh/mistakes/stage1/new/server.c"*spare* ]] || return 1
    git diff --quiet -- tests/mistakes/stage1/new.patch
}
