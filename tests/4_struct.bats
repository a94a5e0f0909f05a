#!/usr/bin/env bats
# The server becomes a struct with functions, and answers as before, to the byte.
bats_require_minimum_version 1.5.0
load lib/helpers
load lib/corpus

# bats test_tags=kit,until:4
@test "stage 4 answers as stage 3 does, to the byte" {
    compare_with_twin
}
