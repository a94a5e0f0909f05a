# What the tests share. From tests/suite: STAGE; WORK (the programs); JOB (a directory of our own); TOGETHER (how the names of
# the files begin that all suites of this server share); PLACE (what the server sees: itself, and the site that it serves).

CLIENT=$WORK/client
SITE=$PLACE/site
HTML=$SITE/html
LOG=$JOB/log
ERRORS=$JOB/errors
# What one test has sent last, and what came. (bats gives each test a directory.)
ANSWER=${BATS_TEST_TMPDIR:-$JOB}/answer
SENT=${BATS_TEST_TMPDIR:-$JOB}/sent

# The seconds that anything may take, and that we wait for something to happen that takes no time.
LIMIT=20 SOON=10

# Removes files that may be there. Most are not, and then no process is started for it: this is the path that every test takes.
discard() { # FILE...
    local file
    for file; do
        if [[ -e $file ]]; then rm -f "$@" && return; fi
    done
}

for part in measure server client expect; do
    # shellcheck source=/dev/null
    . "${BASH_SOURCE[0]%/*}/$part.bash"
done

# One server serves all tests of a suite; it is started for the first, and again if a test has failed or
# has ended it.
setup_file() {
    note_no_commands
    make_site
}
setup() { set_up; }
# bats notes every command, to say where a test has failed. That takes a third of the time.
note_no_commands() { trap - DEBUG; }
set_up() {
    note_no_commands
    BEGUN=${EPOCHREALTIME/./} RESULT=0
    : >"$JOB/client"
    discard "$JOB/wrong" "$JOB/explained"
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        if alive "$PID"; then return 0; fi
        stop_server
    fi
    ! hopeless || not_tried_again || return 1
    start_server
}
# In a grading a test that has failed is tried once more if its client has waited in vain, or where processes take long, since
# that may be the reason; as long as no more than one has failed again in this suite: then it is the server. (bats does so from
# 1.8 on.)
try_once_more() {
    [[ -n ${GRADED:-} ]] || return 0
    if ((${BATS_TEST_TRY_NUMBER:-1} > 1)); then
        echo "$BATS_TEST_DESCRIPTION" >>"$JOB/again"
    elif (($(count_lines "$JOB/again") < 2)) && { ((RESULT == 4)) || "${BASH_SOURCE[0]%/*}/is-slow" 0.2; }; then
        BATS_TEST_RETRIES=1
    fi
}
teardown() {
    for process in ${HOLDER:-} ${OTHER:-} ${TRIED:-}; do { kill -KILL -- "$process" "-$process"; wait "$process"; } 2>/dev/null || true; done
    printf '%s\t%s\n' $(((${EPOCHREALTIME/./} - BEGUN) / 1000)) "$BATS_TEST_DESCRIPTION" >>"$JOB/durations"
    if [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
        # No point is lost without a word.
        [[ -e $JOB/explained ]] || explain "a server that goes on" "$(said "$JOB/client")" || true
        [[ ! -e $JOB/group ]] || stop_server
        try_once_more
    elif [[ -n ${PID:-} && ! -e $JOB/killed ]]; then
        alive "$PID" || explain "a server that goes on" "" || return 1
    fi
    [[ -n ${BATS_TEST_COMPLETED:-} && -z $SANITIZE ]] || [[ ! -s $ERRORS ]] || ! grep -A 20 -E 'Sanitizer|runtime error' "$ERRORS"
}
teardown_file() {
    if [[ -e $JOB/running ]]; then
        read -r PID PORT ASKED <"$JOB/running"
        stop_server
    fi
}
