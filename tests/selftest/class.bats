#!/usr/bin/env bats
# A class as an LMS hands it over: archives, rosters, points by hand, the tables and the page for the lecturer.
# Needs: bsdtar:libarchive-tools gnuplot:gnuplot-nox parallel:parallel python3:python3 rsync:rsync sim_c:similarity-tester sshd:openssh-server unzip:unzip zip:zip
bats_require_minimum_version 1.5.0
load kits

# A copy of the kit with three tests of stage 6 that take no time: two that are kept, and one that is new.
setup_file() {
    leave_bats
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export SMALL=$BATS_FILE_TMPDIR/kit
    mkdir "$SMALL"
    cp -R Makefile html stage* tests "$SMALL"
    rm "$SMALL"/tests/*.bats
    pick() { # FILE TEST...
        sed '/^load/q' "tests/$1"
        for name in "${@:2}"; do sed -n "/^@test \"$name/,/^}/p" "tests/$1"; done
    }
    pick 1_fixed.bats "the server says in one line where" "a request in two pieces" >"$SMALL/tests/1_fixed.bats"
    pick 6_fork.bats "each client has a process" >"$SMALL/tests/6_fork.bats"
    make -s -C "$SMALL" build/client
    [[ $(cat "$SMALL"/tests/*.bats | grep -c '^@test') == 3 ]]
}
setup() {
    leave_bats
    cd "$SMALL" || return 1
    CLASS=$BATS_TEST_TMPDIR/class OUT=$BATS_TEST_TMPDIR/out
    mkdir "$CLASS"
    SOURCE=$BATS_TEST_TMPDIR/server.c
    echo 'int main(void) { return 0; }' >"$SOURCE"
}
teardown() {
    for process in ${PROCESSES:-}; do kill "$process" 2>/dev/null || true; done
}

# An archive. Each member has the source in it; NAME=TARGET is a link.
pack() { # ARCHIVE MEMBER...
    pack_source "$SOURCE" "$@"
}
pack_source() { # SOURCE ARCHIVE MEMBER...
    python3 - "$@" <<'PYTHON'
import io, os, sys, tarfile, zipfile
source = open(sys.argv[1], "rb").read()
path, members = sys.argv[2], sys.argv[3:]
if path.endswith(".zip"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            name, _, target = member.partition("=")
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, ((0o120777 if target else 0o100644) << 16)
            archive.writestr(info, target or source, zipfile.ZIP_DEFLATED)
else:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            name, _, target = member.partition("=")
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = (tarfile.LNKTYPE if target.startswith("hard:") else tarfile.SYMTYPE), target.removeprefix("hard:")
                archive.addfile(info)
            elif name.startswith("device"):
                info.type = tarfile.CHRTYPE
                archive.addfile(info)
            else:
                info.size = len(source)
                archive.addfile(info, io.BytesIO(source))
PYTHON
}
collect() { # [OPTION...]: sets ROWS
    rm -rf "$OUT"
    mkdir "$OUT"
    tests/grader/collect "$@" 6 "$CLASS" "$OUT" >"$OUT/rows.json"
}
row() { jq -c --arg key "$1" ".[] | select(.key == \$key) | $2" "$OUT/rows.json"; } # KEY FILTER
taken() { [[ -f $OUT/homeworks/$1/server.c ]] || { jq . "$OUT/rows.json" && return 1; }; } # KEY: its server.c is found

@test "homeworks are found in what Moodle, Canvas, 学习通 and e-mail make of them" {
    mkdir "$CLASS/Anna Weber_123456_assignsubmission_file_" "$CLASS/a clone" "$CLASS/a clone/stage6_fork"
    pack "$CLASS/Anna Weber_123456_assignsubmission_file_/hw6.zip" handout-stage6/server.c __MACOSX/handout-stage6/._server.c
    pack "$CLASS/Bob Ray_123457_assignsubmission_file_server.zip" server.c
    cp "$SOURCE" "$CLASS/Carl Roe_123458_assignsubmission_file_server.c"
    pack "$CLASS/weberanna_12345_678901_handout-stage6-2.zip" handout-stage6/server.c handout-stage6/tests/lib/client.c
    pack "$CLASS/raybob_LATE_12346_678902_hw6.zip" "server (1).c"
    pack "$CLASS/2023123456-王小明.zip" 作业6/main.c
    pack "$CLASS/fwd hw6 anna.tar.gz" ./hw6/server.c
    mkdir "$CLASS/Anna Weber_123456_assignsubmission_onlinetext_"
    echo "I hope it works" >"$CLASS/Anna Weber_123456_assignsubmission_onlinetext_/onlinetext.html"
    cp "$SOURCE" "$CLASS/a clone/stage6_fork/server.c"
    (cd "$BATS_TEST_TMPDIR" && bsdtar -c --format 7zip -f "$CLASS/李雷-2023123457.7z" server.c)
    # A .rar whose file is only stored.
    python3 - "$SOURCE" "$CLASS/韩梅梅.rar" <<'PYTHON'
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
def block(kind, flags, rest, size=None):
    body = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
    return struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body
name = b"server.c"
entry = struct.pack("<IIBIIBBHI", len(data), len(data), 3, zlib.crc32(data), 0x5A21A000, 20, 0x30, len(name), 0o100644) + name
open(sys.argv[2], "wb").write(b"Rar!\x1a\x07\x00" + block(0x73, 0, b"\0" * 6) + block(0x74, 0x8000, entry) + data + block(0x7B, 0x4000, b""))
PYTHON
    collect
    for key in "Anna Weber_123456_assignsubmission_file_" "Bob Ray_123457_assignsubmission_file_server" "Carl Roe_123458" \
        weberanna_12345_678901_handout-stage6-2 raybob_LATE_12346_678902_hw6 2023123456-王小明 "fwd hw6 anna" 李雷-2023123457 韩梅梅; do
        taken "$key"
    done
    [[ -f "$OUT/homeworks/a clone/stage6_fork/server.c" ]]
    [[ $(jq length "$OUT/rows.json") == 10 && $(jq '[.[] | select(.why)] | length' "$OUT/rows.json") == 0 ]]
    # What is not as it was asked for is said.
    [[ $(row raybob_LATE_12346_678902_hw6 '.notes[0]') == '"Taken for server.c: server (1).c."' ]]
    [[ $(row 2023123456-王小明 .notes) == '["The homework was found in 作业6/.","Taken for server.c: main.c."]' ]]
}

@test "one archive of all is a class, and nothing is written into it" {
    python3 - "$SOURCE" "$CLASS/all.zip" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[2], "w") as archive:
    for name in "Anna Weber_1_assignsubmission_file_", "Bob Ray_2_assignsubmission_file_":
        archive.write(sys.argv[1], name + "/server.c")
PYTHON
    before=$(ls -lR --time-style=full-iso "$CLASS")
    collect
    [[ $(jq -r 'map(.name) | join("; ")' "$OUT/rows.json") == "Anna Weber_1_assignsubmission_file_; Bob Ray_2_assignsubmission_file_" ]]
    [[ $(ls -lR --time-style=full-iso "$CLASS") == "$before" ]]
    CLASS+=/all.zip collect
    [[ $(jq length "$OUT/rows.json") == 2 ]]
}

@test "names without the flag for UTF-8 are read as GBK" {
    pack "$CLASS/anna.zip" XXXXXXXX/server.c
    LC_ALL=C sed -i "s/XXXXXXXX/$(printf 作业目录 | iconv -t GBK)/g" "$CLASS/anna.zip"
    collect
    [[ $(row anna '.notes[0]') == '"The homework was found in 作业目录/."' ]]
}

@test "a link, a device or a path that leads outside earns nothing; too much is refused; nothing is left outside" {
    victim=$BATS_TEST_TMPDIR/victim.c
    cp "$SOURCE" "$victim"
    pack "$CLASS/zip-link.zip" server.c="$victim"
    pack "$CLASS/tar-link.tar.gz" server.c="$victim"
    pack "$CLASS/tar-hard.tar.gz" server.c=hard:"$victim"
    pack "$CLASS/tar-device.tar.gz" device
    pack "$CLASS/zip-out.zip" server.c ../../escaped
    pack "$CLASS/zip-root.zip" server.c "$BATS_TEST_TMPDIR/escaped"
    pack "$CLASS/tar-out.tgz" server.c ../escaped
    pack "$CLASS/through.tar.gz" dir="$BATS_TEST_TMPDIR" dir/escaped server.c
    python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive: archive.writestr("server.c", bytes(65 << 20))
with zipfile.ZipFile(sys.argv[1] + "/many.zip", "w") as archive:
    for i in range(2001): archive.writestr(f"{i}.h", "")' "$CLASS"
    echo "no zip" >"$CLASS/broken.zip"
    # For bsdtar this is an archive of the file that it names.
    printf '#mtree\nserver.c type=file contents=%s\n' "$victim" >"$CLASS/list.7z"
    mkdir "$CLASS/inside"
    ln -s "$BATS_TEST_DIRNAME/../grader/homework/right-stdio" "$CLASS/inside/stage6_x"
    ln -s "$BATS_TEST_DIRNAME/../grader/homework/right-stdio" "$CLASS/itself"
    mkfifo "$CLASS/inside/server.c"
    collect
    for key in zip-link tar-link tar-hard tar-device zip-out zip-root tar-out bomb many broken list inside itself; do
        [[ $(row "$key" '.why != null') == true && ! -e $OUT/homeworks/$key ]] || { row "$key" . && return 1; }
    done
    taken through # the link is left out, and what is in its directory is a file of the homework's own
    [[ $(row through '.notes[0]') == '"Left out: dir (a link)."' && -f $OUT/homeworks/through/dir/escaped && ! -L $OUT/homeworks/through/dir ]]
    [[ $(row zip-out .why) == '"it has a path that leads out of it: ../../escaped"' ]]
    [[ $(row bomb .why) == *"64 MiB"* && $(row many .why) == *"2,000 files"* ]]
    [[ -z $(find "$BATS_TEST_TMPDIR" -name escaped -not -path "$OUT/homeworks/*") ]]
}

@test "what has nothing to build says what was found, and what was expected" {
    mkdir "$CLASS"/{empty,report,program,two} "$CLASS"/two/{first,second}
    touch "$CLASS/report/report.pdf"
    cp "$BASH" "$CLASS/program/server"
    cp "$SOURCE" "$CLASS/two/first/server.c"
    cp "$SOURCE" "$CLASS/two/second/server.c"
    pack "$CLASS/only-text.zip" notes/readme.txt
    collect
    [[ $(row empty .why) == *"Found: nothing. Expected: server.c; or "* ]]
    [[ $(row report .why) == *"Found: report.pdf. Expected: "* ]]
    [[ $(row program .why) == *"Found: server (a program without its source). "* ]]
    [[ $(row two .why) == *": first, second; expected: one"* ]]
    [[ $(row only-text .why) == *"Found: notes/readme.txt. "* ]]
}

@test "of several attempts the last counts, and the others are named" {
    attempt() { # ARCHIVE NUMBER: a homework that has it in it
        sed "s/return 0/return $2/" "$SOURCE" >"$BATS_TEST_TMPDIR/$2.c"
        pack_source "$BATS_TEST_TMPDIR/$2.c" "$CLASS/$1" server.c
    }
    mkdir "$CLASS/carl"
    attempt carl/server-1.zip 1
    attempt carl/server-2.zip 2
    attempt carl/server-10.zip 3
    touch -d 2001-01-01 "$CLASS/carl/server-10.zip" # the number counts, where there is one
    attempt weberanna_12345_678901_hw6.zip 1
    attempt weberanna_12345_679999_hw6-2.zip 3
    attempt "2023123456 王小明.zip" 1
    attempt "2023123456 王小明 (2).zip" 3
    # Not the same student, though the names are alike.
    attempt team-1.zip 3
    attempt team-2.zip 3
    collect
    [[ $(jq length "$OUT/rows.json") == 5 && $(grep -rl 'return 3' "$OUT/homeworks" | wc -l) == 5 ]] || { jq . "$OUT/rows.json" && return 1; }
    [[ $(row carl .attempts) == '["server-1.zip","server-2.zip"]' ]]
    [[ $(row weberanna_12345_679999_hw6-2 .attempts) == '["weberanna_12345_678901_hw6.zip"]' ]]
    [[ $(row "2023123456 王小明 (2)" .attempts) == '["2023123456 王小明.zip"]' ]]
}

@test "files that Canvas hands over one by one are one homework" {
    cp "$SOURCE" "$CLASS/weberanna_12345_678901_server.c"
    printf 'server: server.c\n' >"$CLASS/weberanna_12345_678902_Makefile"
    collect
    [[ $(jq length "$OUT/rows.json") == 1 && -f $OUT/homeworks/weberanna_12345/Makefile ]]
    taken weberanna_12345
}

@test "a roster gives every student a row: UTF-8, UTF-16 or GBK, with the titles of Moodle, Canvas and 学习通" {
    roster=$BATS_TEST_TMPDIR/roster.csv
    cp "$SOURCE" "$CLASS/2023123456_hw6.c"
    mkdir "$CLASS/hw6 李雷" "$CLASS/stranger"
    cp "$SOURCE" "$CLASS/hw6 李雷"
    cp "$SOURCE" "$CLASS/stranger"
    expected='2023123456 王小明 true;2023123457 李雷 true;2023123458 韩梅梅 false; stranger true'
    check() { # SAID
        collect -r "$roster"
        [[ $(jq -r 'map("\(.id) \(.name) \(.handed_in)") | join(";")' "$OUT/rows.json") == "$expected" ]] || { echo "$1" && jq . "$OUT/rows.json" && return 1; }
    }
    table=$'学号,姓名,班级\n2023123456,王小明,1\n2023123457,李雷,1\n2023123458,韩梅梅,1\n'
    printf %s "$table" >"$roster" && check UTF-8
    printf '\xef\xbb\xbf%s' "${table//,/;}" >"$roster" && check "with a mark, and semicolons"
    iconv -t UTF-16 <<<"${table//,/$'\t'}" >"$roster" && check UTF-16
    iconv -t GBK <<<"成绩表"$'\r\n'"${table//$'\n'/$'\r\n'}" >"$roster" && check "GBK, with a line above the titles"
    printf '"Last name","First name","ID number"\n王,小明,2023123456\n李,雷,2023123457\n韩,梅梅,2023123458\n' >"$roster" && check "two names"
    printf 'Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n王小明,1,2023123456,w,1\n李雷,2,2023123457,l,1\n韩梅梅,3,2023123458,h,1\n' \
        >"$roster" && check Canvas
    [[ $(jq -r '.[-1].in_roster' "$OUT/rows.json") == false ]]
}

@test "a student is known by the LMS's number, by the id, by the name in any order" {
    printf 'Identifier,Full name,ID number\nParticipant 77,Anna Weber,s101234\nParticipant 78,Bob Ray,s101235\nParticipant 79,Carl Roe,s101236\nParticipant 80,Dora Roe,\n' \
        >"$BATS_TEST_TMPDIR/roster.csv"
    cp "$SOURCE" "$CLASS/Nobody_77_assignsubmission_file_s101235.c" # what the student has typed does not count
    cp "$SOURCE" "$CLASS/hw_S101235.c"
    cp "$SOURCE" "$CLASS/roecarl_12345_678901_server.c"
    cp "$SOURCE" "$CLASS/fwd hw6 dora.c"
    cp "$SOURCE" "$CLASS/roe.c" # this could be two
    collect -r "$BATS_TEST_TMPDIR/roster.csv"
    [[ $(jq -r 'map("\(.name): \(.key)") | join("; ")' "$OUT/rows.json") == \
        "Anna Weber: Nobody_77; Bob Ray: hw_S101235; Carl Roe: roecarl_12345; Dora Roe: fwd hw6 dora; roe: roe" ]] || { jq . "$OUT/rows.json" && return 1; }
    [[ $(row "fwd hw6 dora" '.notes[0]') == *"look whether it is that of Dora Roe."* ]]
}

@test "a roster or points by hand that cannot be read: one line, exit status 2, nothing graded" {
    cp -R tests/grader/homework/does-not-build "$CLASS"
    file=$BATS_TEST_TMPDIR/table.csv
    refused() { # OPTION CONTENTS PART-OF-THE-LINE
        printf %b "$2" >"$file"
        run -2 tests/grader/grade-all -o "$OUT" "$1" "$file" 6 "$CLASS"
        [[ ${#lines[@]} == 1 && $output == *"$3"* && ! -e $OUT/grades.csv ]] || { echo "$output" && return 1; }
    }
    refused -r 'a,b\n1,2\n' "no row of titles"
    refused -r 'PK\x03\x04' "save it as CSV"
    refused -r 'id,name\n' "has no students"
    refused -r 'id,name\n1,Anna\n1,Bob\n' "line 3: 1 is there twice"
    refused -a 'name,points\nnobody,5\n' "line 2: nobody in the class is nobody"
    refused -a 'name,points\ndoes-not-build,many\n' "line 2: many is no number"
    refused -a 'name,points,days late\ndoes-not-build,1,-1\n' "line 2: -1 days late"
    for arguments in "-r /nothing" "-a /nothing" "-l ten" "-j 0" "-x 1"; do
        # shellcheck disable=SC2086
        run -2 tests/grader/grade-all -o "$OUT" $arguments 6 "$CLASS"
        [[ ${#lines[@]} == 1 ]] || { echo "$arguments: $output" && return 1; }
    done
}

# A class of three, graded once: a right server, one that does not build, and one who has handed in nothing.
grade_three() {
    mkdir "$CLASS/2023123456-=王小明" "$CLASS/<b>bob"
    cp tests/grader/homework/right-stdio/server.c "$CLASS/2023123456-=王小明/server (1).c"
    cp tests/grader/homework/does-not-build/server.c "$CLASS/<b>bob"
    printf 'id,name\n2023123456,=王小明\n2023123457,<b>bob\n2023123458,韩梅梅\n' >"$BATS_TEST_TMPDIR/roster.csv"
    printf 'id,points,days late,remark\n2023123456,-5,2,talked well\n2023123458,3,0,\n' >"$BATS_TEST_TMPDIR/adjust.csv"
    run -0 --separate-stderr tests/grader/grade-all -o "$OUT" -r "$BATS_TEST_TMPDIR/roster.csv" -a "$BATS_TEST_TMPDIR/adjust.csv" -l 10 6 "$CLASS"
}

@test "grades.csv, the tables for Moodle and Canvas, the reports and the page say the same" {
    grade_three
    [[ ${lines[-1]} == "$OUT/grades.csv has 2 grades" ]]
    # It begins as Excel wants it, and no cell is a formula.
    [[ $(head -c 3 "$OUT/grades.csv" | od -An -tx1) == " ef bb bf" ]]
    table=$(tail -c +4 "$OUT/grades.csv")
    [[ $(head -n 1 <<<"$table") == "id,name,points,new,kept,cause" ]]
    [[ $(sed -n 2p <<<"$table") == "2023123456,'=王小明,75,"* ]]
    [[ $(sed -n 3p <<<"$table") == "2023123457,<b>bob,0,"* ]]
    [[ $(sed -n 4p <<<"$table") == "2023123458,韩梅梅,3,,,nothing was handed in" ]]
    grep -q "^    Points Possible,,,,,100" "$OUT/canvas.csv"
    grep -q "'=王小明,,2023123456,,,75" "$OUT/canvas.csv"
    grep -q ",'=王小明,2023123456,75,100,-" "$OUT/moodle.csv"
    report=$OUT/2023123456-=王小明.txt
    diff - <(head -n 4 "$report") <<'LINES'
2023123456-=王小明, stage 6: 100 of 100 points (new: 60 of 60, kept: 40 of 40)
75 points in all: -5 points given by hand; 20 points taken for 2 days late.
Remark: talked well
Taken for server.c: server (1).c.
LINES
    # In the zip each has the own report, and nothing else.
    [[ $(unzip -Z1 "$OUT/feedback.zip" | sort) == $'2023123456-=王小明/report.txt\n<b>bob/report.txt' ]]
    unzip -p "$OUT/feedback.zip" '2023123456*' | cmp - "$report"
    run -1 grep -F '<b>' "$OUT/index.html"
    grep -qF '>&lt;b&gt;bob</a>' "$OUT/index.html"
    grep -qF '<svg' "$OUT/index.html"
    # All that a name leads to is there.
    python3 - "$OUT" <<'PYTHON'
import os, re, sys, urllib.parse
page = open(sys.argv[1] + "/index.html", encoding="utf-8").read()
links = re.findall(r'href="([^"]*)"', page)
assert len(links) == 6, links
for link in links:
    assert os.path.exists(os.path.join(sys.argv[1], urllib.parse.unquote(link))), link
PYTHON
    # Started again without them, there is nothing left of the points by hand, and nothing is tested again.
    run -0 --separate-stderr tests/grader/grade-all -o "$OUT" 6 "$CLASS"
    [[ ${#lines[@]} == 1 && $(sed -n 2p "$OUT/grades.csv") == ",2023123456-=王小明,100,"* ]]
    [[ $(sed -n 2p "$report") == "Taken for server.c: server (1).c." ]]
}

@test "new and kept have a column each; the new points of stage 4 are those given by hand; names lead to nothing but reports" {
    mkdir "$OUT"
    grade() { # KEY SCORE NEW KEPT
        jq -n --arg name "$1" '{homework: $name, score: $ARGS.positional[0], max_score: 100, built: true, likeliest: "a <cause>", new: $ARGS.positional[1],
            kept: $ARGS.positional[2], tests: [{name: "a & b", number: 1, points: 100, earned: 0, status: "failed", own: true}]}' --jsonargs "${@:2}" >"$OUT/$1.json"
        echo "$1" >"$OUT/$1.txt"
    }
    grade anna 72.5 '{"earned": 32.5, "points": 60}' '{"earned": 40, "points": 40}'
    grade 'javascript:x' 40 null '{"earned": 40, "points": 40}'
    jq -n '{id: "", handed_in: true, why: null, notes: [], attempts: ["anna-1.zip"], in_roster: true, moodle: null, canvas: null} |
        [. + {key: "anna", name: "anna"}, . + {key: "javascript:x", name: "x", by_hand: 55, late: 0, remark: ""}]' >"$OUT/rows"
    tests/grader/class-report 4 class 0 "$OUT/rows" "$OUT"
    [[ $(sed -n 3p "$OUT/grades.csv") == ',x,95,55,40,"a <cause>; '* ]]
    [[ $(sed -n 2p "$OUT/grades.csv") == ',anna,72.5,,40,'* ]]
    tests/grader/class-report 6 class 0 "$OUT/rows" "$OUT"
    [[ $(sed -n 2p "$OUT/grades.csv") == ',anna,72.5,32.5,40,"a <cause>; earlier attempts, which do not count: anna-1.zip"' ]]
    grep -qF 'href="javascript%3Ax.txt"' "$OUT/index.html"
    grep -qF 'a &amp; b' "$OUT/index.html"
    run -1 grep -E 'a & b|<cause>' "$OUT/index.html"
}

@test "feedback goes back under the names that Moodle and Canvas know" {
    cp "$SOURCE" "$CLASS/Anna Weber_123456_assignsubmission_file_server.c"
    mkdir "$CLASS/Bob Ray_123457_assignsubmission_file_"
    mkdir "$CLASS/nothing"
    pack "$CLASS/roecarl_LATE_12345_678901_x.zip" notes.txt
    rm "$CLASS/Anna Weber_123456_assignsubmission_file_server.c"
    pack "$CLASS/Anna Weber_123456_assignsubmission_file_server.zip" notes.txt
    run -0 --separate-stderr tests/grader/grade-all -o "$OUT" 6 "$CLASS"
    diff <(unzip -Z1 "$OUT/feedback.zip" | sort) - <<'NAMES'
Anna Weber_123456_assignsubmission_file/report.txt
Bob Ray_123457_assignsubmission_file_/report.txt
nothing/report.txt
roecarl_LATE_12345_678901_report.txt
NAMES
    grep -q '^Participant 123456,Anna Weber,,0,100,-$' "$OUT/moodle.csv"
    grep -q '^roecarl,12345,,,,0$' "$OUT/canvas.csv"
}

@test "copies are found, also renamed; what everybody was given makes nobody similar" {
    mkdir "$CLASS"/{starter,first,second,own}
    cp stage5_args/server.c "$CLASS/starter"
    cp stage5_args/server.c "$CLASS/first"
    cp tests/grader/homework/right-stdio/server.c "$CLASS/own"
    sed 's/listener/socket_of_ours/g' tests/grader/homework/right-poll/server.c >"$CLASS/second/server.c"
    pack "$CLASS/third.zip" notes.txt
    pack_source tests/grader/homework/right-poll/server.c "$CLASS/fourth.zip" hw/server.c
    echo '<a href="x"></a><!-- similar -->' >"$BATS_TEST_TMPDIR/index"
    mkdir "$OUT" && cp "$BATS_TEST_TMPDIR/index" "$OUT/index.html"
    run -0 tests/grader/similar -o "$OUT" 6 "$CLASS"
    [[ ${lines[0]} == "100%  fourth, second" && ${lines[-1]} == "$OUT/similar.html has 1 pairs" ]]
    grep -q 'nothing of their own: first, starter' "$OUT/similar.html"
    grep -q 'no C source, and were not compared: third' "$OUT/similar.html"
    grep -qF 'href="similar.html"' "$OUT/index.html"
}

# An sshd of our own on a free port. Sets PORT and SSHD, its process.
begin_sshd() { # DIRECTORY
    local sshd tries
    sshd=$(type -P sshd)
    for tries in {1..20}; do
        PORT=$((20000 + RANDOM % 12000))
        rm -f "$1/pid"
        "$sshd" -D -p "$PORT" -h "$1/host" -f /dev/null -E "$1/log-$PORT" -o ListenAddress=127.0.0.1 -o PidFile="$1/pid" -o StrictModes=no \
            -o AuthorizedKeysFile="$1/user.pub" -o PermitRootLogin=yes -o UsePAM=no 3>&- &
        SSHD=$!
        until [[ -s $1/pid ]] || ! kill -0 "$SSHD" 2>/dev/null; do sleep 0.1; done
        [[ ! -s $1/pid ]] || return 0
    done
    return 1
}

@test "two machines grade over ssh; one goes away in the middle, and no homework is lost" {
    ((EUID == 0)) || skip "an sshd of our own needs root"
    local directory=$BATS_TEST_TMPDIR/ssh logins=() homework login
    mkdir -p /run/sshd
    mkdir -m 700 "$directory"
    ssh-keygen -q -t ed25519 -N '' -f "$directory/host"
    ssh-keygen -q -t ed25519 -N '' -f "$directory/user"
    for homework in {1..5}; do # each takes its time to build
        cp -R tests/grader/homework/does-not-build "$CLASS/homework $homework"
        printf 'server:\n\tsleep 3\n\tcc -o server server.c\n' >"$CLASS/homework $homework/Makefile"
    done
    for machine in 1 2; do
        begin_sshd "$directory"
        PROCESSES+=" $SSHD"
        logins+=("ssh -p $PORT -i $directory/user -o IdentitiesOnly=yes -o UserKnownHostsFile=$directory/known -o StrictHostKeyChecking=accept-new 127.0.0.1")
    done
    tests/grader/grade-all -j 1 -o "$OUT" -s "${logins[0]},${logins[1]}" 6 "$CLASS" >"$BATS_TEST_TMPDIR/said" 2>&1 &
    all=$!
    # The second machine goes away while it grades.
    grades_there() {
        local process
        for process in $(pgrep -f "$SMALL/tests/grader/grade-sent 6 "); do
            while ((${process:-0} > 1)); do
                ((process != SSHD)) || return 0
                process=$(sed -n 's/^PPid:\t//p' "/proc/$process/status" 2>/dev/null || true)
            done
        done
        return 1
    }
    until grades_there || ! kill -0 "$all" 2>/dev/null; do sleep 0.1; done
    kill -0 "$all"
    mapfile -t sessions < <(pgrep -P "$SSHD")
    kill -KILL "$SSHD" "${sessions[@]}"
    wait "$all" || { cat "$BATS_TEST_TMPDIR/said" && return 1; }
    [[ $(grep -c '^,homework [1-5],0,' "$OUT/grades.csv") == 5 ]]
    # Each has its line once; what was lost on its way comes last.
    [[ $(grep -o '^homework [1-5]' "$BATS_TEST_TMPDIR/said" | sort | tr -dc 1-5) == 12345 ]]
}

@test "an interrupted run goes on where it stopped" {
    for homework in {1..4}; do cp -R tests/grader/homework/does-not-build "$CLASS/$homework"; done
    # What a run that is killed leaves in its temporary directory goes with ours.
    chmod 711 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
    TMPDIR=$BATS_TEST_TMPDIR setsid tests/grader/grade-all -j 1 -o "$OUT" 6 "$CLASS" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
    all=$!
    until (($(wc -l <"$BATS_TEST_TMPDIR/said") > 0)); do kill -0 "$all" && sleep 0.1; done
    kill -KILL -- "-$all"
    wait "$all" || true
    pkill -KILL -s "$all" || true
    [[ ! -e $OUT/grades.csv ]]
    run -0 --separate-stderr tests/grader/grade-all -j 1 -o "$OUT" 6 "$CLASS"
    ((${#lines[@]} > 1 && ${#lines[@]} < 5)) # what was whole is not graded again
    [[ $(grep -c '^,[1-4],0,' "$OUT/grades.csv") == 4 ]]
}

@test "a run that a signal ends does so at once, with all its gradings" {
    for homework in {1..4}; do
        mkdir "$CLASS/$homework"
        printf 'server:\n\tsleep 7391\n' >"$CLASS/$homework/Makefile" # it would be built for two hours
    done
    local signal all
    builds() { (($(pgrep -fc '^sleep 7391$') == 2)); }
    for signal in TERM INT; do
        env --default-signal=INT tests/grader/grade-all -j 2 -o "$OUT" 2 "$CLASS" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
        all=$!
        until builds; do kill -0 "$all" && sleep 0.1; done
        kill -s "$signal" "$all"
        wait "$all" && return 1
        # Nobody else's tests grade stage 2 side by side with this one.
        for _ in {1..300}; do pgrep -f '^sleep 7391$|grade-sent 2' >/dev/null || break; sleep 0.1; done
        run -1 pgrep -fa '^sleep 7391$|grade-sent 2'
        [[ ! -e $OUT/grades.csv && ! -s $BATS_TEST_TMPDIR/said ]]
    done
}

@test "exit status 2: none was graded" {
    cp -R tests/grader/homework/does-not-build "$CLASS"
    mkdir "$BATS_TEST_TMPDIR/kit"
    cp -R Makefile tests "$BATS_TEST_TMPDIR/kit"
    printf '#!/bin/sh\necho "tests/grader/grade: not graded: it rains" >&2\nexit 2\n' >"$BATS_TEST_TMPDIR/kit/tests/grader/grade"
    run -2 --separate-stderr "$BATS_TEST_TMPDIR/kit/tests/grader/grade-all" -o "$OUT" 6 "$CLASS"
    [[ $stderr == "does-not-build: not graded: it rains" ]]
    [[ $(sed -n 2p "$OUT/grades.csv") == ",does-not-build,,,,not graded: it rains" ]]
}
