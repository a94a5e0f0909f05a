# A grade, as grade.jq makes it, in the format that is asked for.
include "causes";

def indent($by): split("\n") | map($by + .) | join("\n");
def right($width): tostring | " " * ($width - length) + .;

def about: if .exercise != "" then "exercise \(.exercise)" else "stage \(.stage)" end;
def cents: . * 100 | round / 100;

# What a homework that does not build shows instead of each test.
def shown: if .built then .tests else
    [{number: 1, name: "the server is built", points: .max_score, earned: 0, status: "failed", output, cause: null, own: true, rank: 0}] end;

# The score in one line, and the likeliest cause of what is missing.
def part: if . == null then "60 points, given by hand" else "\(.earned) of \(.points)" end;
def headline: "\(.score) of \(.max_score) points (" + (if .kept == null then "all new" else "new: \(.new | part), kept: \(.kept | part)" end) + ")"
    + (if .likeliest then "; likeliest cause: \(.likeliest)" else "" end);

def table:
    def row: (.points | cents | right(6)) + (.earned | cents | right(8)) + "  " + .name;
    "\(.homework), \(about): \(headline)", "place: \(.place)",
    (if .new == null and .changed then "what it changes of the stage before: \(.changed) lines (diff -w)" else empty end), "",
    "points  earned  test",
    # What went wrong comes first; those with one cause stand together, and it is told once.
    ([shown[] | select(.status == "failed")] | by_cause[] | .[] | row,
        (if .again then "the same cause: it costs once" else .output end | indent(" " * 18))),
    (shown[] | select(.status != "failed") | row);

def tap:
    "1..\(shown | length)", "# place: \(.place)",
    (shown[] | (if .status == "failed" then "not ok" else "ok" end)
        + " \(.number) \(.name) (\(.earned | cents) of \(.points | cents) points)",
        if .status != "passed" then (.output | indent("# ")) else empty end);

def junit:
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    "<testsuite name=\"\(about)\" tests=\"\(shown | length)\" failures=\"\([shown[] | select(.status == "failed")] | length)\""
        + " skipped=\"0\" time=\"\(.seconds)\">",
    "  <properties><property name=\"place\" value=\"\(.place)\"/></properties>",
    (about as $about | shown[]
        | "  <testcase classname=\"\($about)\" name=\(.name | @html "\"\(.)\"")>"
            + (if .status == "failed" then @html "<failure message=\"\(.earned | cents) of \(.points | cents) points\">\(.output)</failure>"
                else "" end) + "</testcase>"),
    "</testsuite>";

def gradescope:
    {score, execution_time: .seconds, visibility: "visible", stdout_visibility: "hidden",
        output: ((if .built then headline else "The server could not be built:\n" + .output end) + "\nplace: \(.place)"),
        tests: [shown[] | {score: (.earned | cents), max_score: (.points | cents), number: "\(.number)", name, output,
            status: (if .status == "failed" then "failed" else "passed" end), visibility: "visible"}]};

if $format == "table" then table
elif $format == "tap" then tap
elif $format == "junit" then junit
elif $format == "gradescope" then gradescope
else . end
