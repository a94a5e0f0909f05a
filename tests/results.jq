# From the points and what bats printed (TAP): the grade, with what each test earned and why.

# What a test printed: without the lines that say where in our files it failed, or signs that no report can hold.
def evidence:
    (map(test("^  `.*' failed( with status \\d+)?$")) | index(true)) as $place
    | .[(if $place == null then 0 else $place + 1 end):]
    | map(gsub("[\\p{Cc}]"; "?")) | join("\n");

# What bats says of each test, by its name.
def outcomes:
    reduce ($tap | split("\n"))[] as $line ({name: null, all: {}};
        if $line | test("^(not )?ok \\d+ ") then
            ($line | capture("^(?<failed>not )?ok \\d+ (?<name>.*?)(?<skipped> # skip.*)?$")) as $test
            | .name = $test.name
            | .all[.name] = {
                status: (if $test.failed then "failed" elif $test.skipped then "skipped" else "passed" end),
                lines: (if $test.skipped then [$test.skipped[3:]] else [] end)}
        elif .name != null and ($line | startswith("# ")) then .all[.name].lines += [$line[2:]]
        else . end)
    | .all;

# The tests of this stage, and what each is worth.
def worth:
    $points | split("\n") | to_entries | map(select(.value | test("^\\s*(#|$)") | not))
    | map(.key as $key | .value | capture("^\\s*(?<columns>((\\d+(\\.\\d+)?|\\.)\\s+){9})(?<name>\\S.*)$")
        // error("line \($key + 1) has no nine columns and a name"))
    | map({name, points: (.columns | [scan("\\S+")][$stage - 1] | select(. != ".") | tonumber)});

outcomes as $outcomes | worth as $worth
| [$outcomes | keys[] | select(. as $name | all($worth[]; .name != $name))]
| if length > 0 then error("there is no line for: \(join("; "))") else . end
| [$worth | to_entries[]
    | ($outcomes[.value.name] // {status: "failed", lines: [if $built then
            "not run: the tests of this file were broken off, after 300 s or because the server was too greedy"
            else "not run: there is no server" end]}) as $outcome
    | {number: (.key + 1), name: .value.name, points: .value.points, status: $outcome.status,
        earned: (if $outcome.status == "failed" then 0 else .value.points end),
        output: ($outcome.lines | evidence)}]
| {homework: $homework, stage: $stage, score: (map(.earned) | add), max_score: (map(.points) | add),
    built: $built, seconds: $seconds, output: (if $built then "" else $log | gsub("[^\\P{Cc}\\n]"; "?") end), tests: .}
