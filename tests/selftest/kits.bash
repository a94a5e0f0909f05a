# What the tests of the grader share.

# To the kit's own bats nothing is left of this one.
leave_bats() { PATH=${PATH#*/libexec/bats-core:}; }

# A copy of the kit with these tests alone, and without those that wait for long: grading is quicker, and the same.
make_kit() { # DIRECTORY FILE...
    mkdir "$1"
    cp -R Makefile html stage* tests "$1"
    rm "$1"/tests/*.bats
    local file
    for file in "${@:2}"; do
        perl -0pe 's/^# bats test_tags=\S*slow\S*\n\@test .*?^\}\n//msg' "tests/$file" >"$1/tests/$file"
    done
    make -s -C "$1" build/client
}

# A bwrap that fails, so that there are no namespaces.
without_namespaces() {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/bwrap"
    chmod +x "$BATS_TEST_TMPDIR/bin/bwrap"
    WITHOUT=(env PATH="$BATS_TEST_TMPDIR/bin:$PATH")
}
