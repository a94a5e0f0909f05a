# A grade: what each test in $list earns (tests/list prints it). The input is what lib/results.jq makes of each suite, or an
# older grade, since when the weights may have changed. What could not be tested has no grade: it says why, on stderr.
include "causes";

def cents: . * 100 | round / 100;

# The most that one cause costs, in points.
def cap: if . != null and test("whatever port it is given") then 15 else 25 end;

# A group of tests that fail for one cause costs as much as the heaviest of them, within the cap; that one pays it.
def price: min_by(-.points) | {key: "\(.number)", value: ([.points, (.cause | cap)] | min)};

# Whether a cause leaves nothing to test.
def fatal: dies or (. != null and test("^the server (does not start|listens on port \\d+, but does not answer|was too greedy)"));

# What was wrong first when it was built.
def first_error: (first(split("\n")[] | select(test("error|\\*\\*\\*|not found|undefined|^[A-Z].*\\.$"; "i"))) // "")[:200];

# What a homework starts from.
def before: if .exercise == "" then "stage \(.stage - 1)" else "stage \(.stage) without the exercise" end;

def sum($own): [.[] | select(.own == $own and .points > 0)]
    | if length == 0 then null else {earned: (map(.earned) | add | cents), points: (map(.points) | add | cents)} end;

def not_graded($why): $why | gsub("\\s*\\n\\s*"; " | ") + "\n" | halt_error(3);

. as $grade
| ($list | split("\n") | to_entries | map(.key as $rank | .value | split("\t")
    | {number: ($rank + 1), $rank, name: .[4], points: (.[0] | tonumber), own: (.[1] == "new"), part: .[3],
        suite: (if .[2] | startswith("exercises/") then $grade.exercise else .[2] | rtrimstr(".bats") end)})) as $list
| (.suites // []) as $suites
| ([($suites[] | .suite as $suite | .tests[] | . + {$suite}), .tests[]?] | map({key: "\(.suite) \(.name)", value: .}) | from_entries) as $outcomes
| [$list[] | . as $test | {name, number, points, suite, own, rank} + (
    $outcomes["\(.suite) \(.name)"] as $outcome
    | first($suites[] | select(.suite == $test.suite and .part == $test.part and (.whole | not))) // null | . as $suite
    | if $grade.built | not then {status: "failed", cause: null, output: "not run: there is no server"}
      elif $outcome.status == "skipped" then {missing: $outcome.output}
      elif $outcome != null then $outcome | {status, cause, output}
      elif $suite == null then {missing: "\($test.suite).bats left no results"}
      elif ($suite.broken // "") == "" then {missing: "\($test.suite).bats broke off: \($suite.output | .[-400:])"}
      else {status: "failed", cause: $suite.broken, output: "not run: the tests of this file were broken off: \($suite.broken)"} end)]
| if any(.[]; .missing) then not_graded(map(.missing // empty) | group_by(.) | sort_by(-length) | map(.[0]) | join("; ")) else . end
| . as $tests
| [.[] | select(.status == "failed")] | by_cause as $causes
# Who cannot be tested earns nothing; and nothing for what is new, who passes no test of it, as the stage before does not.
| (all($tests[]; .status == "failed") or any($causes[]; length * 2 > ($tests | length) and (.[0].cause | fatal))) as $untestable
| ($untestable or ([$tests[] | select(.own)] | length > 0 and all(.[]; .status == "failed"))) as $nothing_new
| ($causes | map(price) | from_entries) as $prices
| [$tests[] | . + {earned: (if .status == "passed" then .points
    elif $untestable or (.own and $nothing_new) then 0
    else .points - ($prices["\(.number)"] // 0) end)}] as $tests
| $grade + {score: ($tests | map(.earned) | add | cents), max_score: ($tests | map(.points) | add | cents),
    new: ($tests | sum(true)), kept: ($tests | sum(false)),
    likeliest: (if $grade.built | not then ["the server is not built", ($grade.output | first_error | select(. != ""))] | join(": ")
        elif $causes == [] then null
        else (if $nothing_new and ($untestable | not) then "this is still \($grade | before), nothing works yet of what is new; " else "" end)
            + ($causes | likeliest) end),
    $tests}
| del(.suites)
