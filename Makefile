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
	@tests/diff $(1) $$(if $$(F),"$$(F)")
endef
$(foreach number,$(NUMBERS),$(eval $(call commands,$(number))))

$(OUT)/%/server: %/server.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARNINGS) $(if $(findstring stage7,$@),-pthread) -o $@ $<

build/client: tests/lib/client.c
	@mkdir -p build
	$(CC) $(CFLAGS) $(WARNINGS) -o $@ $<

test: all build/client
	@tests/run $(NUMBERS)

# All stages with AddressSanitizer and UBSan, and stage 7 with ThreadSanitizer too.
test-sanitize: build/client
	@$(MAKE) -s OUT=build/asan CFLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
	@$(MAKE) -s OUT=build/tsan CFLAGS="-g -O1 -fsanitize=thread" stage7
	@SANITIZE=1 ASAN_OPTIONS=detect_leaks=0 tests/run -o build/asan $(NUMBERS) -o build/tsan 7

# That the parts of the kit fit together, in seconds; and how they do again after a change in a server.
check:
	@tests/check

refresh:
	@tests/refresh

# The tests' own tests: the grader, with homeworks that attack it; all surroundings that we know; make check.
test-grader:
	@tests/selftest/run grader closed class

test-surroundings: test-%:
	@tests/selftest/run $*

test-check:
	@tests/selftest/run check chinese

# What each step buys, measured, in build/bench/index.html.
bench: all build/client
	@tests/bench/run

fuzz:
	@tests/fuzz/run

diffs:
	@tests/diff

# The exercises: E names one, such as 9-cache.
exercises:
	@tests/exercises/show

exercise:
	@tests/exercises/show "$(E)"

solution:
	@tests/exercises/build "$(E)"

# Its own tests, and those of its stage, but for what it replaces.
test-exercise: all build/client
	@tests/run -x "$(E)" "$(E)" $(firstword $(subst -, ,$(E)))

test-exercises: all build/client
	@tests/exercises/prove

# An assignment, a stage or an exercise: what students get, one homework, a class of them, which of them are alike, what
# Gradescope wants.
ASSIGNMENT = $(or $(E),$(STAGE))
ASSIGNMENT_NAME = $(or $(E),stage$(STAGE))
FORMAT = table
handout:
	@tests/grader/handout/pack $(if $(M),-m "$(M)" build,"$(ASSIGNMENT)" "build/handout-$(ASSIGNMENT_NAME).zip")

grade:
	@tests/grader/grade --format "$(FORMAT)" $(if $(ASSIGNMENT),$(if $(DIR),"$(ASSIGNMENT)" "$(DIR)"))

grade-all:
	@tests/grader/grade-all $(if $(JOBS),-j "$(JOBS)") $(if $(ROSTER),-r "$(ROSTER)") $(if $(ADJUST),-a "$(ADJUST)") \
		$(if $(LATE),-l "$(LATE)") $(if $(SSHLOGIN),-s "$(SSHLOGIN)") $(if $(ASSIGNMENT),$(if $(DIR),"$(ASSIGNMENT)" "$(DIR)"))

similar:
	@tests/grader/similar $(if $(ROSTER),-r "$(ROSTER)") $(if $(ASSIGNMENT),$(if $(DIR),"$(ASSIGNMENT)" "$(DIR)"))

gradescope:
	@tests/grader/gradescope/pack "$(ASSIGNMENT)" "build/gradescope-$(ASSIGNMENT_NAME).zip"

# A live view of a stage's server, which runs in another terminal.
watch:
	@tests/watch "$(STAGE)"

# What the lessons show of the servers, put into them; and the lessons tested.
lessons:
	@tests/lessons/weave

test-lessons: all build/client
	@tests/selftest/run lessons watch

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
	@echo "make test6 REPORT=zh                   what it says in Chinese; so does LANG=zh_CN.UTF-8"
	@echo "make test6 SERVER=/path/to/a/server    put that server through the tests of stage 6"
	@echo "make diff6         what stage 6 adds to stage 5"
	@echo "make diff8 F=serve_connection         the same of one function, struct or table alone"
	@echo "make diffs         the size of every step, and its limit"
	@echo "make watch STAGE=6 look into the running server: processes, threads, descriptors (or SERVER=...)"
	@echo "make test-sanitize test with AddressSanitizer, UBSan and ThreadSanitizer"
	@echo "make check         whether the parts of the kit fit together, in seconds: run it before and after a change"
	@echo "make refresh       after a change in a server: mistakes, solutions, lessons and README brought up to date"
	@echo "make test-grader   test the grader, with homeworks that attack it; make test-check: make check and refresh"
	@echo "make test-surroundings  the same grades in all surroundings that we know; FULL=1: more of them"
	@echo "make bench         measure what each step buys; QUICK=1 for a rough measure"
	@echo "make fuzz          feed stages 3 and 9 with random requests, for 60 seconds"
	@echo "make exercises     list the exercises"
	@echo "make exercise E=9-cache               what is to be done"
	@echo "make test-exercise E=9-cache          whether stage9_epoll/server does it (or SERVER=...)"
	@echo "make solution E=9-cache               a server that does"
	@echo "make test-exercises                   show that the tests of all exercises fail, and their solutions pass"
	@echo "make handout STAGE=6                  the zip for students: task, start, tests (or E=9-cache)"
	@echo "make handout M=6-child-keeps-looping  a zip with a mistake to hunt, which does not name it"
	@echo "make grade STAGE=6 DIR=homework       grade a homework (or E=9-cache; FORMAT=tap, junit, json or gradescope)"
	@echo "make grade-all STAGE=6 DIR=class      grade a class (zips too); ROSTER=list.csv ADJUST=points.csv LATE=10 SSHLOGIN=lab1,lab2"
	@echo "make similar STAGE=6 DIR=class        which homeworks are alike"
	@echo "make gradescope STAGE=6               the zip that Gradescope takes as autograder"
	@echo "make lessons       put the code of the servers into the lessons, after a change in one of them"
	@echo "make test-lessons  test the lessons: their code, links, words, and the commands that they show"
	@echo "make mistakes      show that the tests catch all mistakes in tests/mistakes"
	@echo "make mistake M=6-child-keeps-looping  build one, to hunt it"
	@echo "make clean         remove what was built"

.PHONY: all test test-sanitize check refresh test-grader test-surroundings test-check bench fuzz diffs exercises exercise solution test-exercise \
	test-exercises handout grade grade-all similar gradescope lessons test-lessons watch mistakes mistake clean help \
	$(foreach number,$(NUMBERS),stage$(number) test$(number) diff$(number))
export SERVER
