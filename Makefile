# The kit: nine web servers, each one step from the one before. "make help" lists the commands.

CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS = -std=c11 -Wall -Wextra -Wpedantic -Wshadow
# where the servers go: beside each server.c, or into a directory of their own
OUT = .

STAGES = stage1_fixed stage2_files stage3_404 stage4_struct stage5_args stage6_fork stage7_threads
ifeq ($(shell uname -s),Linux)
STAGES += stage8_nonblock stage9_epoll
else
$(info Stages 8 and 9 need Linux; this makes stages 1 to 7.)
endif
NUMBERS = $(foreach stage,$(STAGES),$(patsubst stage%,%,$(firstword $(subst _, ,$(stage)))))
SERVERS = $(STAGES:%=$(OUT)/%/server)

all: $(SERVERS)

# stage6, test6 and diff6 are commands, and so are those of the other stages.
define commands
stage$(1): $(filter $(OUT)/stage$(1)_%,$(SERVERS))
test$(1): all build/client
	@tests/run $(1)
diff$(1):
	@tests/diff $(1)
endef
$(foreach number,$(NUMBERS),$(eval $(call commands,$(number))))

$(OUT)/%/server: %/server.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARNINGS) $(if $(findstring stage7,$@),-pthread) -o $@ $<

build/client: tests/client.c
	@mkdir -p build
	$(CC) $(CFLAGS) $(WARNINGS) -o $@ $<

test: all build/client
	@tests/run $(NUMBERS)

# All stages with AddressSanitizer and UBSan, and stage 7 with ThreadSanitizer too.
test-sanitize: build/client
	@$(MAKE) -s OUT=build/asan CFLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
	@$(MAKE) -s OUT=build/tsan CFLAGS="-g -O1 -fsanitize=thread" stage7
	@SANITIZE=1 ASAN_OPTIONS=detect_leaks=0 tests/run -o build/asan $(NUMBERS) -o build/tsan 7

# The grader itself, with homeworks that attack it.
test-grader:
	@PATH="$$PATH:$(CURDIR)/build/node_modules/.bin" bats tests/grader/grade.bats

# What each step buys, measured, in build/bench/index.html.
bench: all build/client
	@tests/bench/run

fuzz:
	@tests/fuzz/run

diffs:
	@tests/diff

# One homework, a class of them, and what Gradescope wants.
FORMAT = table
JOBS = 2
grade:
	@tests/grader/grade --format "$(FORMAT)" $(if $(STAGE),$(if $(DIR),"$(STAGE)" "$(DIR)"))

grade-all:
	@tests/grader/grade-all -j "$(JOBS)" $(if $(STAGE),$(if $(DIR),"$(STAGE)" "$(DIR)"))

gradescope:
	@tests/grader/gradescope/pack "$(STAGE)" "build/gradescope-stage$(STAGE).zip"

# The classic mistakes: whether the tests catch them all, or one of them to hunt.
mistakes:
	@tests/mistakes/run

mistake:
	@tests/mistakes/build "$(M)"

clean:
	rm -rf build $(SERVERS)

help:
	@echo "make               build all servers"
	@echo "make stage6        build one: stage6_fork/server (and so on, from 1 to 9)"
	@echo "make test          test all servers; make test6 tests one"
	@echo "make test6 ONLY=child                  only the tests whose names match"
	@echo "make test6 SERVER=/path/to/a/server    put that server through the tests of stage 6"
	@echo "make diff6         what stage 6 adds to stage 5"
	@echo "make diffs         the size of every step, and its limit"
	@echo "make test-sanitize test with AddressSanitizer, UBSan and ThreadSanitizer"
	@echo "make test-grader   test the grader, with homeworks that attack it"
	@echo "make bench         measure what each step buys; QUICK=1 for a rough measure"
	@echo "make fuzz          feed stages 3 and 9 with random requests, for 60 seconds"
	@echo "make grade STAGE=6 DIR=homework       grade a homework (FORMAT=tap, junit, json or gradescope)"
	@echo "make grade-all STAGE=6 DIR=homeworks  grade a class, JOBS=2 side by side"
	@echo "make gradescope STAGE=6               the zip that Gradescope takes as autograder"
	@echo "make mistakes      show that the tests catch all mistakes in tests/mistakes"
	@echo "make mistake M=6-child-keeps-looping  build one, to hunt it"
	@echo "make clean         remove what was built"

.PHONY: all test test-sanitize test-grader bench fuzz diffs grade grade-all gradescope mistakes mistake clean help \
	$(foreach number,$(NUMBERS),stage$(number) test$(number) diff$(number))
export SERVER
