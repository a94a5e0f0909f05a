#!/usr/bin/env bats
# A directory without index.html is answered with a page that lists it.
bats_require_minimum_version 1.5.0
load ../../lib/helpers

# A directory of our own in html/: DIRECTORY is its path, TARGET what a client asks for.
make_directory() {
    local name
    name=$(random_name)
    DIRECTORY=$HTML/$name TARGET=/$name/
    mkdir "$DIRECTORY"
}

# The links of the page in $ANSWER, as a browser reads them. Of each it prints the target that the browser asks for, the
# name that this has in the directory, and the text that is shown, each with a 0 byte after it.
links() { # TARGET: that of the page
    body | perl -0777 -e '
        my ($page, $base) = (<STDIN> // "", @ARGV);
        my %characters = (lt => "<", gt => ">", amp => "&", quot => "\"", apos => "\x27");
        sub utf8 { my $character = chr shift; utf8::encode($character); $character }
        sub shown { shift =~ s/&(?:#x([0-9a-f]+)|#([0-9]+)|(\w+));/$1 ? utf8(hex $1) : $2 ? utf8($2) : $characters{$3} \/\/ $&/gier }
        sub decoded { shift =~ s/%([0-9a-f]{2})/chr hex $1/gier }
        my $attribute = qr/\s+[^\s=>"\x27]+(?:\s*=\s*(?:"[^"]*"|\x27[^\x27]*\x27|[^\s>"\x27]+))?/;
        while ($page =~ m{<a((?:$attribute)+)\s*>(.*?)</a\s*>}gis) {
            my ($attributes, $text) = ($1, $2);
            $attributes =~ /\shref\s*=\s*(?:"([^"]*)"|\x27([^\x27]*)\x27|(\S+))/i or next;
            my $link = shown($1 // $2 // $3);
            $link =~ s/^[\0-\x20]+|[\0-\x20]+$|[\t\r\n]|#.*//gs;
            $link =~ s{^http://(127\.0\.0\.1|localhost)(:\d+)?(?=/)}{}i;
            $link = "/ another site: $link" if $link =~ m{^([a-z][a-z0-9+.-]*:|[/\\][/\\])}i;
            $link = $base . $link =~ s{^(\./)+}{}r if $link !~ m{^/};
            my ($path, $query) = $link =~ /^([^?]*)(.*)/s;
            $path =~ tr{\\}{/};
            my $name = decoded($path) =~ s/^\Q@{[decoded($base)]}\E//r;
            my $target = "$path$query" =~ s/([^\x21\x23-\x7e])/sprintf "%%%02X", ord $1/ger;
            $text =~ s/<[^>]*>//g;
            print "$target\0", $name =~ tr/\0//dr, "$query\0", shown($text) =~ s/^\s+|\s+$//gr, "\0";
        }' "$1"
}

# Asks for a list, and sets TARGETS, NAMES and TEXTS: those of its links.
list() { # [TARGET]
    local found
    get "${1:-$TARGET}"
    expect_status 200 "open() fails with ENOENT for index.html: then list the directory" || return 1
    mapfile -d '' -t found < <(links "${1:-$TARGET}")
    TARGETS=() NAMES=() TEXTS=()
    for ((i = 0; i < ${#found[@]}; i += 3)); do
        TARGETS+=("${found[i]}") NAMES+=("${found[i + 1]}") TEXTS+=("${found[i + 2]}")
    done
}

# The links of the list lead to these, each once, and to nothing else.
expect_names() { # HINT NAME...
    quoted "${@:2}" | LC_ALL=C sort >"$JOB/expected"
    quoted "${NAMES[@]}" | LC_ALL=C sort >"$JOB/found"
    local missing extra
    missing=$(LC_ALL=C comm -23 "$JOB/expected" "$JOB/found") extra=$(LC_ALL=C comm -13 "$JOB/expected" "$JOB/found")
    [[ -z $missing$extra ]] || explain "a link to each of the $(($# - 1)) names in the directory, and to nothing else
          missing: $(shown "$missing")
          too many: $(shown "$extra")" "$1"
}
in_order() { printf '%s\n' "$@" | LC_ALL=C sort; }
quoted() { (($# == 0)) || printf '%q\n' "$@"; }
shown() { # LINES
    [[ -n $1 ]] || { echo "none" && return; }
    head -n 5 <<<"$1" | cut -c -200 | paste -s -d ' '
}

# bats test_tags=weight:7
@test "a directory without index.html is a page with a link to each thing in it" {
    make_directory
    one=$(random_name).html two=$(random_name).txt three=$(random_name)
    echo 1 >"$DIRECTORY/$one"
    echo 2 >"$DIRECTORY/$two"
    mkdir "$DIRECTORY/$three"
    list || return 1
    read_plain_field Content-Type
    [[ $FIELD == "text/html;charset=utf-8" ]] ||
        explain "Content-Type: text/html; charset=utf-8" "the list is a page, and names may be Chinese; here: $FIELD" || return 1
    expect_names "<a href=\"NAME\">NAME</a> for each, but for . and .." "$one" "$two" "$three/" || return 1
    rm "$DIRECTORY/$one"
    list || return 1
    expect_names "read the directory anew for each request" "$two" "$three/" || return 1
    list "$TARGET$three/" || return 1
    expect_names "an empty directory is a list without links"
}

# bats test_tags=weight:5
@test "the names stand in the order of strcmp" {
    make_directory
    name=$(random_name)
    files=("-$name" 10 9 B.txt Z _ a a-b a.txt ab b "~" é 中 文)
    for file in "${files[@]}"; do : >"$DIRECTORY/$file"; done
    rm "$DIRECTORY/a" && mkdir "$DIRECTORY/a"
    list || return 1
    expected=$(in_order "${files[@]}") order=$(printf '%s\n' "${NAMES[@]%/}")
    [[ $order == "$expected" ]] || explain "this order: $(paste -s -d ' ' <<<"$expected")" \
        "here it is $(paste -s -d ' ' <<<"$order"); a directory is read in any order, strcmp() compares names byte by byte, and the \
slash after a directory is no part of its name"
}

# bats test_tags=weight:7
@test "each link leads to its file, whatever signs the name has" {
    make_directory
    names=("<b>&\"'.html" "a b%20#?.txt" "中文 é.html" "javascript:alert(1).html" a:b "?" "#" "%2e%2e" "%" ... .hidden 'back\slash'
        "a+b=c&d;e,f@g!\$(h)*[i]{j}|k^l~m\`" "&amp;.txt" "&lt" " spaces " $'new\nline' $'t\tab' $'no\xff\xfeutf-8' "=" "'" "\"")
    for name in "${names[@]}"; do random_name >"$DIRECTORY/$name"; done
    mkdir "$DIRECTORY/d?#% <i>&"
    random_name >"$DIRECTORY/d?#% <i>&/x y"
    list || return 1
    expect_names "in a link, ? # % : & \\ and \" have meanings of their own: write %XX for all but letters, digits and - . _ ~" \
        "${names[@]}" "d?#% <i>&/" || return 1
    for ((i = 0; i < ${#TARGETS[@]}; i++)); do
        [[ ${NAMES[i]} != */ ]] || { inner=${TARGETS[i]} && continue; }
        get "${TARGETS[i]}"
        try "${NAMES[i]}" expect_file "$DIRECTORY/${NAMES[i]}" "" || break
    done
    expect_no_wrong "for each link the file of that name" "make_path() decodes each %XX once" || return 1
    list "$inner" || return 1
    expect_names "the list of a directory whose name has such signs" "x y" || return 1
    get "${TARGETS[0]}"
    expect_file "$DIRECTORY/d?#% <i>&/x y" "a link in the list of a directory whose name has such signs"
}

# bats test_tags=weight:6
@test "a browser shows each name as it is, and takes none for HTML" {
    make_directory
    mark=$(random_name)
    names=("<img src=x onerror=alert($mark)>" "\"><i $mark>" "'><i $mark>" "&lt;b&gt;" "&#60;b>" "<!-- $mark" "R&D.txt" "你好 100%.html")
    mkdir "$DIRECTORY/<i $mark>"
    for name in "${names[@]}"; do : >"$DIRECTORY/<i $mark>/$name"; done
    list || return 1
    [[ ${TEXTS[0]:-} == "<i $mark>/" ]] || explain "a link with the text <i $mark>/" \
        "the text is the name, of a directory with a slash; in HTML, < is written as &lt; and & as &amp;" || return 1
    list "${TARGETS[0]}" || return 1
    expected=$(in_order "${names[@]}") texts=$(in_order "${TEXTS[@]}")
    [[ $texts == "$expected" ]] || explain "links with these texts: $(paste -s -d ' ' <<<"$expected")" \
        "the texts are: $(paste -s -d ' ' <<<"$texts"); in HTML, < is written as &lt; and & as &amp;" || return 1
    expect_no_tag() { ! body | grep -qiE "<(img|i|!--)[^>]*$mark" || explain "a page with no tag that a name, or the client, has put in it" \
        "whoever names a file could run a script in the page; that holds for its title and its heading, too"; }
    expect_no_tag || return 1
    get "$TARGET?<i/$mark>"
    expect_no_tag
}

# bats test_tags=weight:5
@test "everything but . and .. is listed, and a directory has a slash" {
    make_directory
    long=$(printf '%0245d' 0)$(random_name)
    mkdir "$DIRECTORY/sub" "$DIRECTORY/.sub"
    touch "$DIRECTORY/$long" "$DIRECTORY/.hidden" "$DIRECTORY/locked"
    chmod 0 "$DIRECTORY/locked"
    mkfifo "$DIRECTORY/fifo"
    ln -s sub "$DIRECTORY/to-directory"
    ln -s .hidden "$DIRECTORY/to-file"
    ln -s nothing "$DIRECTORY/to-nothing"
    list || return 1
    expect_names "names with a dot first are names too; stat() tells directories, also behind a symbolic link, and opens nothing" \
        "sub/" ".sub/" "$long" .hidden locked fifo to-directory/ to-file to-nothing
}

# bats test_tags=weight:3
@test "html/ itself is listed when it has no index.html" {
    mv "$HTML/index.html" "$JOB/index.html"
    list / || { mv "$JOB/index.html" "$HTML/index.html" && return 1; }
    mapfile -d '' -t expected < <(cd "$HTML" && find . -mindepth 1 -maxdepth 1 \( -type d -printf '%f/\0' -o -printf '%f\0' \))
    mv "$JOB/index.html" "$HTML/index.html"
    expect_names "/ is the directory html/" "${expected[@]}" || return 1
    get /
    expect_file "$HTML/index.html" "index.html is back: then it is the page"
}

make_large_directory() {
    make_directory
    (cd "$DIRECTORY" && seq -f "文 & %04g $(random_name) $(printf '%0220d' 0)" 1000 | xargs -d '\n' touch)
}

# bats test_tags=weight:5
@test "a directory of a thousand files with long names is listed whole" {
    make_large_directory
    list || return 1
    mapfile -t expected < <(cd "$DIRECTORY" && LC_ALL=C ls -A)
    expect_names "the list has $(body | wc -c) bytes: it fits into no buffer of a fixed size, and not into one send()" "${expected[@]}" || return 1
    [[ $(quoted "${NAMES[@]}") == "$(quoted "${expected[@]}")" ]] || explain "the order of strcmp()" "sort all of them"
}

# bats test_tags=weight:2
@test "HEAD of a directory gets the head of its list, and no body" {
    make_directory
    touch "$DIRECTORY/$(random_name)"
    get "$TARGET"
    expect_status 200 "a directory without index.html" || return 1
    expect_same_for_head "$TARGET"
}

# bats test_tags=weight:3
@test "a directory that may not be read gets 403" {
    make_directory
    touch "$DIRECTORY/$(random_name)"
    for mode in 311 000; do # 311: one may pass through it
        chmod "$mode" "$DIRECTORY"
        get "$TARGET"
        try "mode $mode" expect_status 403 "" || break
    done
    chmod 755 "$DIRECTORY"
    expect_no_wrong "an answer with status 403" "the error that opens the directory, or index.html, fails with is EACCES"
}

# No mistake: the stage passes it, too; it is here for what a solution may break.
# bats test_tags=weight:2,given
@test "what is no directory gets no list, and what has an index.html neither" {
    make_directory
    touch "$DIRECTORY/file"
    while read -r status target; do
        get "$target"
        try "$target" expect_status "$status" "" || break
    done <<<"404 /$(random_name)/
404 ${TARGET}file/
404 ${TARGET}nothing
404 ${TARGET}index.html
404 ${TARGET}%00/
404 /%00/
404 $TARGET../
404 /../
301 ${TARGET%/}"
    expect_no_wrong "what these got before" "only a directory, named with its last slash, is listed" || return 1
    touch "$DIRECTORY/index.html"
    chmod 0 "$DIRECTORY/index.html"
    get "$TARGET"
    expect_status 403 "index.html is there, but may not be read" || return 1
    rm -f "$DIRECTORY/index.html"
    random_name >"$DIRECTORY/index.html"
    get "$TARGET"
    expect_file "$DIRECTORY/index.html" "the page of a directory is its index.html, if it has one"
}

# bats test_tags=weight:2
@test "with few descriptors left, the answer is the whole list or 503" {
    make_directory
    name=$(random_name)
    touch "$DIRECTORY/$name"
    limit_to() { # MORE: so many descriptors more than are open, in the process that has the client
        find_children
        for process in "$PID" "${FOUND[@]}"; do # a child may end in between
            limit "$process" --nofile="$(($(free_descriptor "$process") + $1)):" 2>/dev/null || true
        done
    }
    free_descriptors() { find_children && for process in "$PID" "${FOUND[@]}"; do free_descriptor "$process"; done; }
    settle
    soft=$(limit "$PID" --nofile --output SOFT --noheadings)
    descriptors=$DESCRIPTORS children=$CHILDREN
    accepted() { look && ((DESCRIPTORS > descriptors || CHILDREN > children)); }
    steady() { local before && before=$(free_descriptors) && pause 0.3 && [[ $(free_descriptors) == "$before" ]]; }
    mkfifo "$JOB/rest" # the client waits here for the rest of its request
    starve() {
        limit "$PID" --nofile="$soft:"
        "$CLIENT" -t "$LIMIT" "$PORT" send G file "$JOB/rest" read >"$ANSWER" 3>&- &
        OTHER=$!
        wait_until "the server accepts the client" accepted
        wait_until "the server's descriptors do not change while its client is silent" steady
        limit_to "$left"
        printf 'ET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$TARGET" | feed "$JOB/rest" || return 1
        on_time
        wait "$OTHER" || explain "the answer, and then the end" "the client exits with $? (3: reset)" || return 1
        read_status
        expect_status "503|200" "with $left descriptors left: open() and opendir() fail with EMFILE, and that is not the client's fault" || return 1
        [[ $STATUS == 503 || $(body) == *"$name"* ]] || explain "503, or a list with $name in it" "with $left descriptors left: a call that failed was taken for an empty directory"
    }
    for left in 0 1 2 3; do in_time starve || return 1; done
    limit "$PID" --nofile="$soft:"
    list || return 1
    expect_names "with descriptors again, all is well" "$name"
}

# bats test_tags=weight:3
@test "a hundred lists later, nothing has leaked" {
    make_large_directory
    get "$TARGET"
    expect_status 200 "a directory without index.html" || return 1
    close=$'HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'
    requests() { # ROUNDS
        client -t 60 -r "$1" send "GET $TARGET $close" read
        client -t 60 -r "$1" send "HEAD $TARGET $close" read
        client -t 60 -r "$1" send "GET $TARGET $close" answer-head reset
        client -t 60 -r "$1" send "GET /$(random_name)/ $close" read
    }
    requests 5 >/dev/null
    settle
    descriptors=$(count_descriptors) memory=$(resident_kb)
    requests 25 >/dev/null
    settle
    (($(count_descriptors) <= descriptors)) || explain "$descriptors descriptors, as before" \
        "here are $(count_descriptors): what opens one? opendir(), tmpfile() and open() do" || return 1
    ! measures_memory || (($(resident_kb) < memory + 3072)) || explain "no more memory than before" \
        "$memory KiB before, $(resident_kb) now: free() what malloc(), strdup() or scandir() have allocated, each name too"
}
