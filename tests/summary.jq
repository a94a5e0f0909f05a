# Why a stage has failed, for whoever reads a terminal: of the tests of its own concept what they print, of the
# others the names; with $verbose all. The input is what tests/results.jq makes of each suite, in one list.
include "causes";

def indent($by): split("\n") | map($by + .) | join("\n");
def full: "\n" + .name, (.output | indent("    "));

group_by(.about)[] | .[0].about as $about
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
     end)
