# A line about a suite that has ended: how many of its tests passed; and if it broke off, why, or what it printed.
(if .suite == .exercise then .about else "\(.about), \(.suite).bats" end) + ": "
    + ([.tests | group_by(.status)[] | "\(length) \(.[0].status)"] | join(", "))
    + (if .whole then "" else (if .tests == [] then "" else "; " end) + "it broke off: "
        + (if .broken != "" then .broken else "what it printed last:\n" + .output end) end)
