# A grade: what each test said, with the points in $points (the text of tests/grader/points). The input is what
# tests/results.jq makes of each suite, or an older grade, whose points may have changed since.
include "causes";

# The tests of this stage, and what each is worth.
def worth:
    $points | split("\n") | to_entries | map(select(.value | test("^\\s*(#|$)") | not))
    | map(.key as $key | .value | capture("^\\s*(?<columns>((\\d+(\\.\\d+)?|\\.)\\s+){9})(?<name>\\S.*)$")
        // error("line \($key + 1) has no nine columns and a name"))
    | map({name, points: (.columns | [scan("\\S+")][$stage - 1] | select(. != ".") | tonumber)});

(.suites // (.tests | group_by(.suite) | map({suite: .[0].suite, tests: .}))) as $suites
| . as $grade | worth as $worth
| ([$suites[] | .suite as $suite | .tests[] | {key: .name, value: {suite: $suite, status, cause, output}}] | from_entries) as $outcomes
| [$outcomes | keys[] | select(. as $name | all($worth[]; .name != $name))]
| if length > 0 then error("there is no line for: \(join("; "))") else . end
| [$worth | to_entries[]
    | ($outcomes[.value.name] // {suite: "0", status: "failed", cause: null, output: (if $grade.built then
            "not run: the tests of this file were broken off, after 300 s or because the server was too greedy"
            else "not run: there is no server" end)}) as $outcome
    | {number: (.key + 1), name: .value.name, points: .value.points,
        earned: (if $outcome.status == "failed" then 0 else .value.points end)} + $outcome
        + {own: ($outcome.suite | startswith("\($stage)_")), rank: [$outcome.suite, .key]}]
| . as $tests
| $grade + {score: (map(.earned) | add), max_score: (map(.points) | add),
    likeliest: (if $grade.built then ($tests | map(select(.status == "failed")) | if length > 0 then by_cause | likeliest else null end)
        else "the server is not built" end),
    tests: $tests}
| del(.suites)
