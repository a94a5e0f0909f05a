#!/usr/bin/env bats
# The kit's own page, html/index.html, in a real browser: Chromium without a window. chromedriver drives
# it, and takes our commands as HTTP requests with JSON in them (WebDriver, a standard of the W3C).
bats_require_minimum_version 1.5.0
load lib/helpers

# One browser serves all stages, one after the other: the first suite starts it.
setup_file() {
    make_site
    cp -R "$KIT/html/." "$HTML"
    if type -P chromium chromedriver curl >/dev/null; then
        [[ -s $WORK/browser/session ]] || start_browser
        SESSION=$(<"$WORK/browser/session")
        export SESSION
        # Nothing is left of the stage before, neither pages nor complaints.
        cdp Network.clearBrowserCache '{}'
        browser /se/log '{"type": "browser"}'
    fi
}
setup() {
    [[ -n ${SESSION:-} ]] || skip "no Chromium here: install the packages chromium and chromium-driver (and curl)"
    set_up
}

# Starts Chromium, and keeps the address that takes the commands for it.
start_browser() {
    local directory=$WORK/browser output=$WORK/browser/output address
    mkdir "$directory" # for all that it writes
    # It ends without us, too: nobody else would do it for a run that is interrupted. And it keeps none of our descriptors:
    # bats waits until they are closed.
    (
        for descriptor in /proc/"$BASHPID"/fd/*; do
            ((${descriptor##*/} < 3)) || eval "exec ${descriptor##*/}>&-"
        done
        HOME=$directory TMPDIR=$directory exec setsid timeout -s KILL 900 chromedriver --port=0 --log-path="$directory/log" >"$output" 2>&1 </dev/null
    ) &
    disown
    wait_until "chromedriver starts" grep -q 'on port [1-9]' "$output" || { cat "$output" && return 1; }
    address=http://127.0.0.1:$(sed -n 's/.* on port \([1-9][0-9]*\).*/\1/p' "$output")/session

    # Limits in ms: in stages 2 to 5 a connection that a browser opens in advance, and does not use yet,
    # can hold up its other connections for 5 s.
    SESSION=$address browser "" '{"capabilities": {"alwaysMatch": {
        "timeouts": {"pageLoad": 60000, "script": 60000},
        "goog:loggingPrefs": {"browser": "SEVERE"},
        "goog:chromeOptions": {"binary": "'"$(type -P chromium)"'", "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
            "--user-data-dir='"$directory"'/profile"]}}}}'
    echo "$address/$(sed -n 's/.*"sessionId":"\([^"]*\)".*/\1/p' "$ANSWER")" >"$directory/session"
}

# A command for the browser. VALUE is what comes back: a text, or JSON.
browser() { # PATH [JSON]
    echo "${2:-}" >"$SENT"
    curl -sS --max-time 70 ${2:+--data-binary "@$SENT"} "$SESSION$1" >"$ANSWER" 2>&1 || true
    VALUE=$(sed 's/^{"value":"\{0,1\}//; s/"\{0,1\}}$//' "$ANSWER")
    [[ $(cat "$ANSWER") == '{"value":'* && $VALUE != '{"error":'* ]] ||
        explain "a browser that does as it is told" "does it wait for the server? It says: $(said "$LOG" "$ERRORS")"
}

script() { browser /execute/sync '{"args": [], "script": "return '"$1"'"}'; } # EXPRESSION, in JavaScript
script_file() { browser /execute/sync "$(jq -n --rawfile script "$1" '{args: [], $script}')"; } # FILE
cdp() { browser /goog/cdp/execute '{"cmd": "'"$1"'", "params": '"$2"'}'; } # COMMAND JSON
emulate() { cdp "Emulation.$1" "$2"; } # COMMAND JSON: another screen

visit() { # TARGET
    browser /url '{"url": "http://127.0.0.1:'"$PORT$1"'"}'
}

expect_title() { # FILE HINT
    local title
    title=$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$1")
    browser /title
    [[ $VALUE == "$title" ]] || explain "$title" "$2"
}

@test "a browser shows the start page under its title" {
    visit /
    expect_title "$HTML/index.html" "/ is html/index.html, and its Content-Type is text/html"
}

@test "a browser shows the start page in its style" {
    visit /
    script "getComputedStyle(document.body).maxWidth" # only style.css sets it
    [[ $VALUE == *px ]] || explain "a width in px" \
        "the browser has no use for style.css; from stage 3 on its Content-Type is text/css"
}

@test "a browser shows the pictures of the start page" {
    # Without a Content-Type, as in stage 2, a browser knows a PNG by its first bytes, but no SVG.
    if ((STAGE >= 3)); then pictures="img"; else pictures="img[src\$=png]"; fi
    visit /
    script "[...document.querySelectorAll('$pictures')].map(picture => picture.naturalWidth > 0)"
    [[ $VALUE == *true* && $VALUE != *false* ]] || explain "true for every picture, in their order on the page" \
        "each must arrive whole, and from stage 3 on with its Content-Type: image/png, image/svg+xml"
}

@test "a browser has nothing to complain about on the start page" {
    visit /
    browser /se/log '{"type": "browser"}' # the console, since the browser's start
    [[ $VALUE == "[]" ]] || explain "no message" "the console of your own browser (press F12) shows it too"
}

@test "a browser has nothing to complain about on the lesson of this stage, and shows its pictures" {
    pages=("$HTML"/lessons/??/"$STAGE"_*.html)
    ((STAGE < 9)) || pages=("$HTML"/lessons/??/*.html) # one stage shows them all
    for page in "${pages[@]}"; do
        visit "${page#"$HTML"}"
        expect_title "$page" "the page is that file"
        browser /se/log '{"type": "browser"}'
        [[ $VALUE == "[]" ]] || explain "no message on ${page#"$HTML"}" "the console of your own browser (press F12) shows it too"
        script "[...document.querySelectorAll('figure svg')].every(picture => picture.getBoundingClientRect().height > 50)"
        [[ $VALUE == true ]] || explain "pictures on ${page#"$HTML"}" "a drawing has no height"
    done
}

# bats test_tags=from:3
@test "the waterfall draws twelve requests: a connection for each up to stage 8, and in stage 9 they are used again" {
    visit /lessons/en/waterfall.html
    drawn() { script "document.querySelector('.bars').dataset.made !== undefined" && [[ $VALUE == true ]]; }
    for _ in 1 2; do # the second time, the connections of the first are there
        script "document.querySelector('#waterfall button').click()"
        wait_until "twelve requests are drawn" drawn
        script "['made', 'reused', 'failed'].map(name => document.querySelector('.bars').dataset[name]).join()"
    done
    if ((STAGE < 9)); then
        [[ $VALUE == 12,0,0 ]] || explain "12 connections made, none reused, no request failed" "here are made,reused,failed: $VALUE"
    else
        [[ $VALUE =~ ^([0-9]+),([0-9]+),0$ ]] && ((BASH_REMATCH[2] >= 6)) ||
            explain "connections that are used again, and no request failed" "here are made,reused,failed: $VALUE"
    fi
}

# bats test_tags=from:9
@test "on a phone, no page of the course scrolls sideways" {
    emulate setDeviceMetricsOverride '{"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true}'
    for page in "$HTML"/index*.html "$HTML"/lessons/*/*.html; do
        visit "${page#"$HTML"}"
        script "document.documentElement.scrollWidth"
        [[ $VALUE == 390 ]] || explain "${page#"$HTML"} 390 pixels wide" "it is wider: let what is wide scroll in a frame of its own"
    done
    emulate clearDeviceMetricsOverride '{}'
}

# bats test_tags=from:9
@test "on light and on dark paper, every text of the course has a contrast of 4.5 or more" {
    for page in "$HTML"/index*.html "$HTML"/lessons/*/*.html; do
        visit "${page#"$HTML"}"
        for scheme in light dark; do
            emulate setEmulatedMedia '{"features": [{"name": "prefers-color-scheme", "value": "'"$scheme"'"}]}'
            script_file "$KIT/tests/lessons/contrast.js"
            [[ $VALUE == "[]" ]] || explain "${page#"$HTML"}, $scheme: no text that is hard to read" "these are too faint: ${VALUE:0:400}"
        done
    done
}

# bats test_tags=from:9
@test "in the projector mode, a new line has a bar and a sign at the left, and both are seen whole" {
    visit "/lessons/steps/9_epoll.html#projector"
    sign="getComputedStyle(document.querySelector('.shown ins'), '::before')"
    script "[$sign.content, $sign.marginLeft, parseFloat($sign.borderLeftWidth) > 2].join()"
    [[ $VALUE == '\"+\",0px,true' ]] || explain '"+", no margin, and a bar of 3 pixels or more' "it is: $VALUE"
}

@test "a click on its link opens the page with the Chinese name" {
    visit /
    browser /element '{"using": "partial link text", "value": "/中文.html"}'
    browser "/element/$(sed 's/.*:"\(.*\)"}}$/\1/' "$ANSWER")/click" '{}'
    expect_title "$HTML/中文.html" "the browser asks for /%E4%B8%AD%E6%96%87.html: decode each %XX"
}

@test "a browser shows that there is no such page" {
    sentence=您访问的页面不存在
    ((STAGE >= 3)) || sentence=ERR_EMPTY_RESPONSE # no answer: the browser says so in its own words
    visit "/$(random_name)"
    script "document.body.innerText"
    [[ $VALUE == *"$sentence"* ]] || explain "$sentence" "the body of an answer 404 is a page, charset utf-8"
}
