# A grade: what each test said, with the points in $points and $exercise_points (the texts of these files), but for the
# tests in $replaced. The input is what tests/results.jq makes of each suite, or an older grade, whose points may have
# changed since.
include "causes";

def cents: . * 100 | round / 100;

# The lines of a text of points, each with so many columns before its name.
def rows($file; $columns): split("\n") | to_entries | map(select(.value | test("^\\s*(#|$)") | not))
    | map(.key as $key | .value | capture("^\\s*(?<columns>(\\S+\\s+){\($columns)})(?<name>\\S.*)$")
        // error("\($file): line \($key + 1) has no \($columns) columns and a name"))
    | map(.columns |= [scan("\\S+")]);
def replaced: . as $name | $replaced | split("\n") | any(. == $name);
def number: tonumber? // error("\(.) is no number of points");

# The tests of this stage, and what each is worth; of an exercise, its own tests are worth what its points say, and
# those of the stage that it leaves are worth 50 together.
def worth($stage; $exercise):
    ($points | rows("points"; 9) | map({name, points: .columns[$stage - 1] | select(. != ".") | number})) as $of_stage
    | if $exercise == "" then $of_stage else
        ($exercise_points | rows("exercise-points"; 2) | map(select(.columns[0] == $exercise) | {name, points: .columns[1] | number})) as $own
        | ($of_stage | map(select(.name | replaced | not))) as $rest
        | ($rest | map(.points) | add) as $sum
        | $own + ($rest | map(.points *= 50 / $sum))
      end;

(.suites // (.tests | group_by(.suite) | map({suite: .[0].suite, own: .[0].own, tests: .}))) as $suites
| . as $grade | worth(.stage; .exercise) as $worth
| ([$suites[] | .suite as $suite | .own as $own | .tests[] | select(.name | replaced | not)
    | {key: .name, value: {suite: $suite, own: $own, status, cause, output}}] | from_entries) as $outcomes
| [$outcomes | keys[] | select(. as $name | all($worth[]; .name != $name))]
| if length > 0 then error("there is no line for: \(join("; "))") else . end
| [$worth | to_entries[]
    | ($outcomes[.value.name] // {suite: "0", own: false, status: "failed", cause: null, output: (if $grade.built then
            "not run: the tests of this file were broken off, after 300 s or because the server was too greedy"
            else "not run: there is no server" end)}) as $outcome
    | {number: (.key + 1), name: .value.name, points: .value.points,
        earned: (if $outcome.status == "failed" then 0 else .value.points end)} + $outcome
        + {rank: [$outcome.suite, .key]}]
| . as $tests
| $grade + {score: (map(.earned) | add | cents), max_score: (map(.points) | add | cents),
    likeliest: (if $grade.built then ($tests | map(select(.status == "failed")) | if length > 0 then by_cause | likeliest else null end)
        else "the server is not built" end),
    tests: $tests}
| del(.suites)
