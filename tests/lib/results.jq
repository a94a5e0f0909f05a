# What bats printed of a suite (TAP), as JSON in one line: what it is about ($stage, $exercise, $called), its $file and $part (slow, or quick), the
# $kind of place; and of each test its name, its status (passed, failed or skipped), what it printed, the cause, if it names
# one, and how long it took, in ms. A suite is whole if each of its $names has a result; if not, $broken may say why, and
# output is what was printed instead. After that line come those that say how the suite has ended, for a person (progress.jq).
include "progress";

# What a test printed, without the lines that say where in our files it failed, or signs that no report can hold.
def evidence:
    (map(test("^  `.*' failed( with status \\d+)?$")) | index(true)) as $place
    | .[(if $place == null then 0 else $place + 1 end):] | map(gsub("[\\p{Cc}]"; "?"));

($names | rtrimstr("\n") | split("\n")) as $expected
| ([$durations | split("\n")[] | select(. != "") | split("\t") | {key: .[1], value: (.[0] | tonumber)}] | from_entries) as $took
| ($tap | split("\n")) as $lines
| (reduce $lines[] as $line ([];
    if $line | test("^(not )?ok \\d+ ") then
        . + [$line | capture("^(?<failed>not )?ok \\d+ (?<name>.*?)(?<skipped> # skip.*)?$")
            | {name, status: (if .failed then "failed" elif .skipped then "skipped" else "passed" end),
                lines: (if .skipped then [.skipped[8:]] else [] end)}]
    elif length > 0 and ($line | startswith("# ")) then .[-1].lines += [$line[2:]]
    else . end)
    | map(select(.name as $name | any($expected[]; . == $name)))
    | map(.lines |= evidence | .cause = (first(.lines[] | select(startswith("cause: ")) | ltrimstr("cause: ") | ltrimstr("   ")) // null)
        | .output = (.lines | join("\n")) | .ms = $took[.name] | del(.lines))) as $tests
| ($tests | length == ($expected | length)) as $whole
| {$exercise,
    about: (if $called != "" then $called elif $file | startswith("exercises/") then "exercise \($exercise)" elif $exercise != "" then "stage \($stage) with exercise \($exercise)" else "stage \($stage)" end),
    own: (($file | startswith("exercises/")) or ($exercise == "" and ($file | startswith("\($stage)_")))),
    suite: (if $file | startswith("exercises/") then $exercise else $file | rtrimstr(".bats") end), $part, $kind, $whole,
    broken: (if $whole then null else $broken end),
    output: (if $whole then "" else $lines[-12:] | map(gsub("[\\p{Cc}]"; "?")) | join("\n") | rtrimstr("\n") end), tests: $tests}
| tojson, progress
