# A grade: what each test in $list earns (tests/list prints it). The input is what lib/results.jq makes of each suite, or an
# older grade, since when the weights may have changed. What could not be tested has no grade: it says why, on stderr.
include "causes";

def cents: . * 100 | round / 100;
def not_graded($why): $why | gsub("\\s*\\n\\s*"; " | ") + "\n" | halt_error(3);

. as $grade
| ($list | split("\n") | to_entries | map(.key as $rank | .value | split("\t")
    | {number: ($rank + 1), $rank, name: .[4], points: (.[0] | tonumber), own: (.[1] == "new"), part: .[3],
        suite: (if .[2] | startswith("exercises/") then $grade.exercise else .[2] | rtrimstr(".bats") end)})) as $list
| (.suites // []) as $suites
| ([($suites[] | .suite as $suite | .tests[] | . + {$suite}), .tests[]?] | map({key: "\(.suite) \(.name)", value: .}) | from_entries) as $outcomes
| [$list[] | . as $test | {name, number, points, suite, own, rank} + (
    $outcomes["\(.suite) \(.name)"] as $outcome
    | first($suites[] | select(.suite == $test.suite and .part == $test.part)) // null | . as $suite
    | if $grade.built | not then {status: "failed", cause: null, output: "not run: there is no server"}
      elif $outcome.status == "skipped" then {missing: $outcome.output}
      elif $outcome != null then $outcome | {status, cause, output}
      elif $suite == null then {missing: "\($test.suite).bats left no results"}
      elif ($suite.broken // "") == "" then {missing: "\($test.suite).bats broke off: \($suite.output | .[-400:])"}
      else {status: "failed", cause: $suite.broken, output: "not run: the tests of this file were broken off: \($suite.broken)"} end)]
| if any(.[]; .missing) then not_graded(map(.missing // empty) | group_by(.) | sort_by(-length) | map(.[0]) | join("; ")) else . end
| map(. + {earned: (if .status == "passed" then .points else 0 end)}) as $tests
| $grade + {score: ($tests | map(.earned) | add | cents), max_score: ($tests | map(.points) | add | cents),
    likeliest: (if $grade.built then ($tests | map(select(.status == "failed")) | if length > 0 then by_cause | likeliest else null end)
        else "the server is not built" end),
    $tests}
| del(.suites)
