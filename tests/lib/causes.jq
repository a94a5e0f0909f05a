# Which of the tests that have failed names the cause: for tests/run and for the grader.

# Of a server that has died, what it was sent, and its last words, as the test that saw it printed them.
def detail($key; $words):
    (first(.output | split("\n")[] | select(startswith($key))) // "") | .[10:]
    | if . == "" then "" else "; \($words): " + (if length > 120 then .[:120] + "..." else . end) end;

# The first line of the hint of a test that names no cause.
def hint: (first(.output | split("\n")[] | select(startswith("hint: "))) // "") | .[10:]
    | if . == "" then "" else ": " + (if length > 240 then .[:240] + "..." else . end) end;

def dies: . != null and test("^(the|a child of the) server (dies|ends|was killed)");
# Who was killed by the tests has started too much, or taken too much: why, another test may say.
def dies_by_itself: dies and (test("killed by the tests") | not);

# The failed tests: first those that say that the server dies, then those of the stage's own concept, then the
# others, from the first stage on. Whoever fails for a cause that an earlier one names, with whatever numbers in it, comes right
# after it, marked "again".
def by_cause:
    sort_by([(if (.cause | dies_by_itself) then 0 else 1 end), (if .own then 0 else 1 end), .rank])
    | to_entries | map(.value + {place: .key})
    | group_by(if .cause then .cause | gsub("[0-9]+"; "0") else .name end) | map(sort_by(.place) | [.[0]] + (.[1:] | map(. + {again: true}))) | sort_by(.[0].place);

# The likeliest cause, in one line. What many tests name is more than what one says.
def likeliest:
    (map(select(.[0].cause != null)) | max_by(length)) as $shared
    | (if (.[0][0].cause | dies_by_itself) then .[0] elif ($shared | length) >= 3 then $shared else .[0] end)[0]
    | if .cause == null then "\"\(.name)\" fails" + hint
      elif (.cause | dies) then .cause + detail("sent: "; "it was sent") + detail("stderr: "; "its last words")
      else .cause end;
