# SPDX-License-Identifier: BSD-2-Clause
#
# The fuzzers, built in three ways from the same sources: by libFuzzer (`make fuzz F=virtq`), by
# AFL++ (`make afl F=virtq`), and by the host's compiler to run the corpus again in `make test`.

FUZZ_CFLAGS := $(COMMON) -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
AFL_CC      ?= afl-clang-fast
AFL_CFLAGS  := $(COMMON) -D_GNU_SOURCE -O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_SRCS   := $(ENGINE_SRCS) $(MMC_SRCS) $(LIBFDT_SRCS) $(LIBFDT)/fdt_sw.c \
	$(filter-out tests/fake/vu_%,$(FAKE_SRCS))
FUZZ_TIME   := $(or $(SECONDS),60)

# Where loads are traced, guest memory changes whenever the engine looks at a byte a second time.
TRACED_SRCS := $(filter virtio/% blk/%,$(FUZZ_SRCS))
TRACED      := fuzz_virtq

$(B)/fuzz/obj/$(LIBFDT)/%: FUZZ_CFLAGS += -w
$(B)/afl/obj/$(LIBFDT)/%: AFL_CFLAGS += -w

$(B)/fuzz/obj/%.c.o: %.c Makefile tests/fuzz/fuzz.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(B)/fuzz/traced/%.c.o: %.c Makefile tests/fuzz/fuzz.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize-coverage=trace-loads -MMD -MP -c $< -o $@

FUZZ_OBJS   := $(patsubst %,$(B)/fuzz/obj/%.o,$(FUZZ_SRCS))
TRACED_OBJS := $(patsubst %,$(B)/fuzz/traced/%.o,$(TRACED_SRCS))
BLIND_OBJS  := $(filter-out $(patsubst %,$(B)/fuzz/obj/%.o,$(TRACED_SRCS)),$(FUZZ_OBJS))

$(addprefix $(B)/fuzz/,$(filter-out $(TRACED),$(FUZZERS))): $(FUZZ_OBJS)
$(addprefix $(B)/fuzz/,$(filter $(TRACED),$(FUZZERS))): $(BLIND_OBJS) $(TRACED_OBJS)

$(B)/fuzz/fuzz_%: $(B)/fuzz/obj/tests/fuzz/fuzz_%.c.o
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ $(HOST_LIBS) -o $@

$(B)/afl/obj/%.c.o: %.c Makefile tests/fuzz/fuzz.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)command -v $(AFL_CC) >/dev/null || { echo "no $(AFL_CC): tools/setup.sh afl"; exit 1; }
	$(Q)AFL_QUIET=1 $(AFL_CC) $(AFL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/afl/fuzz_%: $(B)/afl/obj/tests/fuzz/fuzz_%.c.o $(B)/afl/obj/tests/fuzz/main.c.o \
		$(patsubst %,$(B)/afl/obj/%.o,$(FUZZ_SRCS))
	$(Q)AFL_QUIET=1 $(AFL_CC) $(AFL_CFLAGS) $^ $(HOST_LIBS) -o $@

$(B)/host/tests/fuzz_%: $(B)/host/tests/fuzz/fuzz_%.c.o $(B)/host/tests/fuzz/main.c.o \
		$(B)/host/libengine.a
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(HOST_LIBS) -o $@

.PHONY: fuzz afl
.PRECIOUS: $(B)/fuzz/obj/%.c.o $(B)/fuzz/traced/%.c.o $(B)/afl/obj/%.c.o
fuzz: $(if $(F),$(B)/fuzz/fuzz_$(F),$(addprefix $(B)/fuzz/,$(FUZZERS))) ## fuzz one surface: F=virtq [SECONDS=60]
	$(Q)test -n "$(F)" || { echo "name one: make fuzz F=..."; exit 1; }
	$(Q)mkdir -p $(B)/fuzz/corpus-$(F)
	$(Q)$(B)/fuzz/fuzz_$(F) -max_total_time=$(FUZZ_TIME) $(B)/fuzz/corpus-$(F) \
		$(wildcard tests/fuzz/seeds/$(F))

afl: $(if $(F),$(B)/afl/fuzz_$(F)) ## the same by AFL++: F=virtq [SECONDS=60], after tools/setup.sh afl
	$(Q)test -n "$(F)" || { echo "name one: make afl F=..."; exit 1; }
	$(Q)mkdir -p $(B)/afl/out-$(F)
	$(Q)AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 \
		AFL_AUTORESUME=1 AFL_NO_UI=1 afl-fuzz -V $(FUZZ_TIME) -m none -t 10000 \
		-i tests/fuzz/seeds/$(F) -o $(B)/afl/out-$(F) -- $(B)/afl/fuzz_$(F)

-include $(FUZZ_OBJS:.o=.d) $(TRACED_OBJS:.o=.d)
