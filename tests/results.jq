# What bats printed of a suite (TAP), as JSON: what it is about ($stage, $exercise); $suite, and whether it tests the
# concept that is to be shown; $part (slow, or !slow); and of each test its name, its status (passed, failed or skipped),
# what it printed, and the cause, if it names one. A suite is whole if no test is missing.

# What a test printed, without the lines that say where in our files it failed, or signs that no report can hold.
def evidence:
    (map(test("^  `.*' failed( with status \\d+)?$")) | index(true)) as $place
    | .[(if $place == null then 0 else $place + 1 end):] | map(gsub("[\\p{Cc}]"; "?"));

($tap | split("\n")) as $lines
| reduce $lines[] as $line ([];
    if $line | test("^(not )?ok \\d+ ") then
        . + [$line | capture("^(?<failed>not )?ok \\d+ (?<name>.*?)(?<skipped> # skip.*)?$")
            | {name, status: (if .failed then "failed" elif .skipped then "skipped" else "passed" end),
                lines: (if .skipped then [.skipped[8:]] else [] end)}]
    elif length > 0 and ($line | startswith("# ")) then .[-1].lines += [$line[2:]]
    else . end)
| map(.lines |= evidence | .cause = (first(.lines[] | select(startswith("cause: ")) | ltrimstr("cause: ") | ltrimstr("   ")) // null)
    | .output = (.lines | join("\n")) | del(.lines))
| {$exercise,
    about: (if $suite == $exercise then "exercise \($exercise)" elif $exercise != "" then "stage \($stage) with exercise \($exercise)" else "stage \($stage)" end),
    own: ($suite == $exercise or ($exercise == "" and ($suite | startswith("\($stage)_")))),
    suite: $suite, part: $part, whole: ($lines[0] == "1..\(length)"), tests: .}
