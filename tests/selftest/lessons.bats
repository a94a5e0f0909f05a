#!/usr/bin/env bats
# The lessons: that what they show is so.
# Needs: nc:netcat-openbsd ps:procps ss:iproute2 unshare:util-linux python3:python3
bats_require_minimum_version 1.5.0

# All lessons are tried at the same time, each in a copy of the kit, in a place of its own (tests/lib/sandbox), where its
# ports are free. "try_NUMBER" then shows how it went.
setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export KIT=$PWD
    PLACE=$(tests/lib/sandbox -q || echo none)
    export PLACE
    if [[ $PLACE == none ]]; then
        echo "# this system gives us no namespaces, so the commands of the lessons are not tried" >&3
        return 0
    fi
    for page in html/lessons/en/{[1-9]_*,commands,browser}.html; do
        place=$BATS_FILE_TMPDIR/$(basename "$page" .html)
        mkdir -p "$place/kit" "$place/tmp"
        cp -R Makefile README.md html stage* tests "$place/kit"
        (cd "$place/kit" && TMPDIR=$place/tmp timeout 900 tests/lib/sandbox -w "$place" tests/lessons/try "$page") >"$place/printed" 2>&1 3>&- &&
            touch "$place/as-printed" &
    done
    wait
}
setup() { cd "$KIT" || return 1; }

# What a lesson tells its reader to type prints what the lesson says.
tried() { # LESSON
    [[ $PLACE != none ]] || skip "no namespaces"
    cat "$BATS_FILE_TMPDIR/$1/printed"
    [[ -e $BATS_FILE_TMPDIR/$1/as-printed ]]
}

# A copy of what the weaver reads, to be changed.
copy_kit() {
    mkdir -p "$BATS_TEST_TMPDIR/kit"
    cp -R html stage* tests "$BATS_TEST_TMPDIR/kit"
    cd "$BATS_TEST_TMPDIR/kit" || return 1
}

@test "the lessons show the code of the servers as it is" {
    tests/lessons/weave -c
}

@test "a line that changes in stage 6 makes its lesson stale, until make lessons" {
    copy_kit
    sed -i 's/pid_t child = fork();/pid_t child = fork(); \/* a child *\//' stage6_fork/server.c
    run tests/lessons/weave -c
    echo "$output"
    ((status == 1))
    for page in en/6_fork zh/6_fork steps/6_fork steps/7_threads; do [[ $output == *"html/lessons/$page.html is stale"* ]]; done
    tests/lessons/weave
    tests/lessons/weave -c
    grep -q 'fork(); <i>/\* a child \*/</i>' html/lessons/en/6_fork.html
}

@test "code that a page names and a server does not have is said, and no page changes" {
    copy_kit
    sed -i 's/<!-- code handle_client() -->/<!-- code serve_everybody() -->/' html/lessons/en/1_fixed.html
    run tests/lessons/weave
    echo "$output"
    [[ $status == 2 && $output == *"stage 1 has no serve_everybody()"* ]]
    diff -r html "$KIT/html" | (! grep -v '^[<>-]\|^[0-9,]*c[0-9,]*$\|^diff .*en/1_fixed.html')
}

@test "the programs that a reader types compile without a warning, and a page shows each" {
    for program in tests/lessons/programs/*.c; do
        gcc -Wall -Werror -o "$BATS_TEST_TMPDIR/program" "$program"
        grep -lr "<!-- program ${program##*/} -->" html/lessons/en
    done
}

@test "every link leads somewhere" {
    tests/lessons/check links
}

@test "every page has its twin in the other language, with the same code, commands and pictures" {
    tests/lessons/check twins
}

@test "no lesson uses a term that only a later one explains" {
    tests/lessons/check terms
}

@test "every lesson has all its sections, and 900 to 2,000 words" {
    tests/lessons/check sections
}

@test "a link, a twin, a term and a section that are wrong are found" {
    copy_kit
    sed -i 's/href="2_files.html"/href="2_file.html"/' html/lessons/en/1_fixed.html
    sed -i 's/<h2 id="notes">/<h2 id="note">/' html/lessons/en/2_files.html
    sed -i 's/<h2 id="idea">/<p>Here a zombie is used.<\/p>&/' html/lessons/en/3_404.html
    rm html/lessons/zh/4_struct.html
    found() { # CHECK TEXT
        run tests/lessons/check "$1"
        echo "$output"
        [[ $status == 1 && $output == *"$2"* ]]
    }
    found links "en/1_fixed.html: the link 2_file.html leads nowhere"
    found sections "en/2_files.html: its sections are not"
    found terms "en: zombie is explained in lesson 6, but used in lesson 3"
    found twins "4_struct.html is there in one language alone"
}

@test "a command that prints something else than its page says is found" {
    cat >"$BATS_TEST_TMPDIR/page.html" <<'PAGE'
<pre class="run"><kbd>echo one; echo two</kbd>
<samp>one
<var>t</var></samp>
<kbd>echo '&lt;b&gt;'</kbd>
<samp>&lt;a&gt;</samp></pre>
PAGE
    run tests/lessons/try "$BATS_TEST_TMPDIR/page.html"
    echo "$output"
    [[ $status == 1 && $output != *"command:  echo one"* && $output == *$'\nexpected: <a>\nprinted:  <b>'* ]]
}

@test "Chromium says what the page on it has, a wrong name and a missing mark are found" {
    type -P chromium chromedriver >/dev/null || skip "no Chromium here: install the packages chromium and chromium-driver"
    wrong=$BATS_TEST_TMPDIR/browser.html
    sed 's|\(href="#empty">\)ERR_EMPTY_RESPONSE|\1ERR_CONNECTION_CLOSED|; s/<span class="by-hand">//' html/lessons/en/browser.html >"$wrong"
    run tests/lessons/signs html/lessons/??/browser.html "$wrong"
    echo "$output"
    [[ $status == 1 && $output != *html/lessons/* ]]
    [[ $output == *"#empty is about ERR_CONNECTION_CLOSED, but Chromium says ERR_EMPTY_RESPONSE"* ]]
    [[ $output == *"this has not the mark by-hand: by hand</span> In WSL"* ]]
}

@test "the commands of lesson 1 print what it says" { tried 1_fixed; }
@test "the commands of lesson 2 print what it says" { tried 2_files; }
@test "the commands of lesson 3 print what it says" { tried 3_404; }
@test "the commands of lesson 4 print what it says" { tried 4_struct; }
@test "the commands of lesson 5 print what it says" { tried 5_args; }
@test "the commands of lesson 6 print what it says" { tried 6_fork; }
@test "the commands of lesson 7 print what it says" { tried 7_threads; }
@test "the commands of lesson 8 print what it says" { tried 8_nonblock; }
@test "the commands of lesson 9 print what it says" { tried 9_epoll; }
@test "the commands of the page of commands print what it says" { tried commands; }
@test "the commands of the page on what the browser says print what it says" { tried browser; }
