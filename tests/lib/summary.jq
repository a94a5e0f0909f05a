# Why a stage has failed, for whoever reads a terminal: of the tests of its own concept what they print, of the
# others the names; with $verbose all, and which tests took longest. The input is what results.jq makes of each suite, in one
# list; those that broke off say why, and count as a failure each, as those of the $suites that have left nothing.
include "causes";

def indent($by): split("\n") | map($by + .) | join("\n");
def full: "\n" + .name, (.output | indent("    "));

def total($status): [.[].tests[] | select(.status == $status)] | length;

def failures: group_by(.about)[] | .[0].about as $about
| [sort_by(.suite, .part)[] | .own as $own | .tests[] | . + {own: $own}] | to_entries | map(.value + {rank: .key})
| map(select(.status != "skipped")) as $all
| map(select(.status == "failed")) | select(length > 0)
| length as $failed | by_cause
| "", "== \($about): \($failed) of \($all | length) tests failed", "start here: \(likeliest)",
    (if $verbose then .[][] | full
     else
        (to_entries[] | select(.key == 0 or .value[0].own) | .value[0] | full),
        ([to_entries[] | if .key == 0 or .value[0].own then .value[1:] else .value end | .[] | .name]
            | select(length > 0) | "\nThese failed too, and perhaps for the same reason (VERBOSE=1 shows what each of them prints):", (.[] | "    " + .))
     end);

failures,
(if $verbose then "", "The slowest tests, in seconds:",
    ([.[] | .about as $about | .tests[] | select(.ms) | {ms, text: "\($about): \(.name)"}] | sort_by(-.ms)[:10][] | "    \(.ms / 1000 | round)  \(.text)")
 else empty end),
(.[] | select(.whole | not) | "", "== \(.about), \(.suite).bats broke off: \(if .broken != "" then .broken else "its output ends with" end)",
    (.output | indent("    "))),
"",
([.[].tests[] | select(.status == "skipped")] | group_by(.output)[]
    | "\(length) skipped" + ": " + (if length == 1 then "\(.[0].name): " else "" end) + .[0].output),
"\(total("passed")) passed, \(total("failed") + $suites - ([.[] | select(.whole)] | length)) failed"
    + (total("skipped") as $skipped | if $skipped > 0 then ", \($skipped) skipped" else "" end)
