# What a test expects, and what it says when that is not so.

# Bytes, so that they can be shown: CR, LF and all that is not printable as in C.
printable() { # the bytes on stdin
    perl -0777 -pe 's/\r/\\r/g; s/\n(?=.)/\\n\n/gs; s/\n\z/\\n/; s/\t/\\t/g; s/([\x00-\x09\x0b-\x1f\x7f])/sprintf "\\x%02x", ord $1/ge;
        s/((?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})[\x80-\xbf])|([\x80-\xff])/$1 \/\/ sprintf "\\x%02x", ord $2/ge' |
        head -n 14 | sed '2,$s/^/          /'
}

# What a program has printed last.
said() { # FILE...
    local text
    text=$(tail -q -c 400 "$@" 2>/dev/null | tr -d '\r' | LC_ALL=C tr '\000-\010\013-\037\177' '?' | tail -n 6 | sed '2,$s/^/          /') || true
    echo "${text:-nothing}"
}

# Says beforehand what the cause is if the test fails.
because() { CAUSE=$1; } # CAUSE
# The same, if the log, with this text in it, is in the wrong place.
because_on_stderr() { # TEXT
    ! grep -qaF -e "$1" "$ERRORS" || because "the log is printed on stderr: its place is stdout"
}

# The same, if the client's last connection has ended with a reset.
because_reset() {
    [[ $RESULT != 3 ]] || because "the end of the answer is a reset, not an end: close() does that while there is input that was not read, \
or with SO_LINGER and a time of 0"
}

# The same, if there are more children than this, though their clients have left: as zombies, or in the accept loop.
because_of_children() { # COUNT
    ((STAGE != 6 || CHILDREN <= $1)) || has_client ||
        because "$(zombies 1 || echo "a child does not end when its client has left: it goes on with the accept loop, like the parent (exit() is missing)")"
}

# Says why a test fails, and fails. What is known of the cause comes first.
explain() { # EXPECTED HINT
    local cause line=''
    [[ ! -e $JOB/explained ]] || return 1 # it has been said
    cause=$(death)
    # What is no answer (a complaint of curl's, say) is not judged.
    [[ ! -s $ANSWER ]] || IFS= read -r line <"$ANSWER" 2>/dev/null || true
    [[ -n $cause || $line != HTTP/*[!$'\r'] ]] || cause="the lines of its answers end with LF alone: HTTP wants CR LF, in C \"\\r\\n\""
    [[ -n $cause || $line != HTTP/* ]] || ! grep -qaE '^[!-9;-~]+:' "$ANSWER" || grep -qa $'^\r*$' "$ANSWER" ||
        cause="its answers have no blank line between the fields and the body"
    [[ -n $cause || $line != HTTP/1.?\ 404* ]] || ! head -c 100 "$SENT" | grep -qaE '(^|send )GET / ' ||
        cause="GET / is answered with ${line:9:3}, not with 200 (/ is html/index.html)"
    touch "$JOB/explained"
    # More of them than this, and fork() fails for everybody.
    cause=${cause:-$(zombies 300 || true)} cause=${cause:-$(flaw || true)} cause=${cause:-${CAUSE:-}}
    [[ -n $cause || -s $ANSWER || ! -s $SENT || $RESULT == 3 ]] || cause=$(crash || true)
    [[ -z $cause ]] || echo "cause:    $cause"
    echo "expected: $1"
    [[ ! -s $SENT ]] || echo "sent:     $(head -c 400 "$SENT" | printable)"
    [[ ! -e $ANSWER ]] || echo "received: $(if [[ -s $ANSWER ]]; then head -c 600 "$ANSWER" | printable; else echo "nothing"; fi)"
    [[ -z $cause || ! -s $ERRORS ]] || echo "stderr:   $(said "$ERRORS")"
    [[ -z $2 ]] || echo "hint:     $2"
    return 1
}

# A line of the log has the id of a process that may have served: the server, or one that it has started.
expect_own_id() { # ID
    local field ids own=0
    while read -r field ids; do [[ $field != NSpid: ]] || own=${ids##*$'\t'}; done 2>/dev/null <"/proc/$PID/status" || true
    (($1 >= own)) || explain "the id of the server's process, $own as it sees it, in the log" "it has $1: getpid() tells it"
}

# A list of things to try, of which all that go wrong are shown at once: "try ITEM COMMAND..." for each, then
# "expect_no_wrong EXPECTED HINT", which shows what was sent if one got no answer. Fails if the server has died, or has
# taken too long: then the rest is not tried.
try() { # ITEM COMMAND...
    if ! "${@:2}" >/dev/null; then
        echo "          $(printable <<<"$1" | sed 's/\\n$//'): $(if [[ -s $ANSWER ]]; then head -n 1 "$ANSWER" | head -c 80 | printable; else echo "nothing"; fi)" >>"$JOB/wrong"
        rm -f "$JOB/explained"
        [[ -s $ANSWER || ! -e $SENT || -e $SENT-unanswered ]] || cp "$SENT" "$SENT-unanswered"
    fi
    ! has_died && ((SECONDS < 2 * LIMIT))
}

expect_no_wrong() { # EXPECTED HINT
    [[ -s $JOB/wrong ]] || return 0
    rm -f "$ANSWER" "$SENT" "$JOB/explained"
    [[ ! -e $SENT-unanswered ]] || mv "$SENT-unanswered" "$SENT"
    explain "$1" "$2; here: $(head -n 1 "$JOB/wrong" | sed 's/^ *//' | head -c 100)" || true
    echo "wrong:"
    cat "$JOB/wrong"
    return 1
}

wait_until() { # EXPECTED COMMAND...
    eventually "${@:2}" || explain "$1, within $SOON s" ""
}

# Plays a scene in which clients keep the server waiting. It bears that for 5 s, and a busy machine may take
# longer over the scene: if it failed then, it is played again. From "on_time" on the server waits for nobody, and if that
# was said in time, what follows is judged however long it takes. Where it never was, and processes take far too long, the
# test is skipped: it may not be the server.
in_time() { # COMMAND...
    local tries=0 LIMIT=5 SOON=5 start fair result=0
    while discard "$ANSWER" && start=$SECONDS fair='' && ! "$@" >"$JOB/scene"; do
        [[ -z $fair ]] || { result=1 && break; }
        if ((SECONDS - start < 4)); then result=1 && break; fi
        tries=$((tries + 1))
        if ! may_be_late "$tries"; then
            ! "${BASH_SOURCE[0]%/*}/is-slow" 3 || skip "this machine is too busy for this test: try again when less else runs on it"
            explain "a client that has done its part after 4 s" "it has not, $tries times: the machine is slow, or the server keeps it waiting" >>"$JOB/scene" ||
                result=1
            break
        fi
        release
        { kill -KILL "${OTHER:-}"; wait "${OTHER:-}"; } 2>/dev/null || true # bash need not say so
        settle
        rm -f "$JOB/explained"
    done
    [[ ! -s $JOB/scene ]] || cat "$JOB/scene"
    return "$result"
}
# Whether a scene may have been late so often because of the machine: once on any, 3 times where processes take long, 11 times
# where they take very long.
may_be_late() { # TIMES
    (($1 < 2)) || { (($1 < 4)) && "${BASH_SOURCE[0]%/*}/is-slow"; } || { (($1 < 12)) && "${BASH_SOURCE[0]%/*}/is-slow" 0.2; }
}
on_time() { ((SECONDS - start >= 4)) || fair=yes; }

expect_status() { # STATUS HINT: one status, or several, as 403|404
    [[ -n $STATUS && "|$1|" == *"|$STATUS|"* ]] || explain "an answer with status $1" "$2"
}

# A client that is too slow is dropped: at once would be wrong, and much later too.
expect_drop() { # MILLISECONDS HINT
    # Nothing else than a number may be taken for a sum: bash would run a command that a server has put in it.
    [[ $1 =~ ^[0-9]+$ ]] || explain "the connection closed after 5 s" "after $LIMIT s it is still open: $2" || return 1
    (($1 >= 4500 && $1 < 20000)) || explain "the connection closed after 5 s" "it took $1 ms: $2"
}

expect_file() { # FILE HINT
    if ((STAGE >= 3)); then expect_status 200 "$2" || return 1; fi
    is_body "$1" && return
    ! body | grep -qaE 'HTTP/1\.[01] [0-9]{3} ' || because "the answer has a head once more in its body: it is sent once, before the body"
    explain "the bytes of ${1#"$SITE"/} ($(wc -c <"$1")) as the body" "$2; here are $(body | wc -c) bytes"
}

# HEAD gets the head of what GET has got last, and no body.
expect_same_for_head() { # TARGET [FIELD...]
    local expected
    read_page
    expected=$HEAD
    ask HEAD "$@"
    read_page
    [[ $HEAD == "$expected" && -z $BODY ]] || explain "$(printf '%s' "$expected" | printable)" "the head that GET gets, to the byte, and no body"
}

# No file: stage 2 closes without a byte, from stage 3 on the status says why.
expect_no_file() { # STATUS HINT
    if ((STAGE >= 3)); then
        expect_status "$1" "$2"
    else
        [[ ! -s $ANSWER ]] || explain "the connection closed, and no answer" "$2"
    fi
}

# The server is as good as new: it serves a page.
expect_service() { # HINT
    IF_SILENT=$1 get / || return 1
    [[ $STATUS != 200 ]] || return 0
    [[ -z $STATUS ]] || because "GET / is answered with $STATUS, not with 200 (/ is html/index.html)"
    explain "an answer to the next request, GET /" "$1"
}

# A client that gets none leaves a line on stderr, or in the log: it names the call, or says why it failed.
expect_complaint() { # CALL
    complaints() { cat "$ERRORS" "$LOG" | grep -ciE "${1%??}|unavailable|EAGAIN|process|thread" || true; }
    local before
    settle
    before=$(complaints "$1")
    get_without_processes
    more() { (($(complaints "$1") > before)); }
    eventually more "$1" || explain "a line on stderr when $1 fails" "say so with perror(), or with the error number that it returns"
}
