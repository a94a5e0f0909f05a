# The kit: nine web servers, each one step from the one before. "make help" lists the commands.

CC ?= cc
CFLAGS ?= -O2 -g
WARNINGS = -std=c11 -Wall -Wextra -Wpedantic -Wshadow

PORTABLE = stage1_fixed stage2_files stage3_404 stage4_struct stage5_args stage6_fork stage7_threads
LINUX = stage8_nonblock stage9_epoll
ifeq ($(shell uname -s),Linux)
STAGES = $(PORTABLE) $(LINUX)
else
STAGES = $(PORTABLE)
$(info Stages 8 and 9 need Linux; here are stages 1 to 7.)
endif
NUMBERS = $(patsubst stage%,%,$(foreach stage,$(STAGES),$(firstword $(subst _, ,$(stage)))))

all: $(STAGES:%=%/server)

# make stage6, make test6, make diff6
define commands
stage$(1): $(filter stage$(1)_%,$(STAGES))/server
test$(1): stages
	tests/run $(1)
diff$(1): ; @tests/diff $(1)
.PHONY: stage$(1) test$(1) diff$(1)
endef
$(foreach number,$(NUMBERS),$(eval $(call commands,$(number))))

%/server: %/server.c
	$(CC) $(CFLAGS) $(WARNINGS) -o $@ $< $(if $(findstring stage7,$@),-pthread)
