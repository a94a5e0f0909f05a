# A line about a suite that has ended: how many of its tests passed; and if it broke off, why, or what it printed.
def count($status): [.tests[] | select(.status == $status)] | length | select(. > 0);

def progress: (if .suite == .exercise then .about else "\(.about), \(.suite).bats" end) + ": "
    + ([(count("failed") | "\(.) failed"), (count("passed") | "\(.) passed"), (count("skipped") | "\(.) skipped")] | join(", "))
    + (if .whole then "" else (if .tests == [] then "" else "; " end)
        + (if .broken != "" then "it broke off: \(.broken)" else "it broke off, and printed last:\n\(.output)" end) end);
