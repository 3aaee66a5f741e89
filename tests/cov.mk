# SPDX-License-Identifier: BSD-2-Clause
#
# Coverage of virtio/ and blk/: their objects count, everything else is that of the unit tests.

COV_SRCS  := $(filter virtio/% blk/%,$(ENGINE_SRCS))
COV_OBJS  := $(patsubst %,$(B)/cov/host/%.o,$(COV_SRCS))
COV_REST  := $(filter-out $(patsubst %,$(B)/host/%.o,$(COV_SRCS)),$(HOST_OBJS)) \
	$(patsubst %,$(B)/host/%.o,$(VU_SRCS))
# test_hostile_order has a queue of its own, and its counts are not the engine's.
COV_TESTS := $(filter-out test_hostile_order,$(filter test_v% test_hostile_% test_gmem test_watch \
	test_bdev test_blk% test_ramdisk test_partition,$(UNIT_TESTS))) $(ENUM_TESTS) \
	$(filter fuzz_v% fuzz_blk% fuzz_partition fuzz_classes,$(FUZZERS))
COV_BINS  := $(addprefix $(B)/cov/host/tests/,$(COV_TESTS))

$(B)/cov/host/%.c.o: %.c Makefile tests/cov.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(COMMON) -D_GNU_SOURCE -O0 -g --coverage -MMD -MP -c $< -o $@

$(B)/cov/librest.a: $(COV_REST)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

COV_LINK = $(Q)mkdir -p $(@D) && $(HOST_CC) $(HOST_CFLAGS) --coverage $(filter %.o,$^) \
	$(filter %.a,$^) $(HOST_LIBS) -o $@

$(B)/cov/host/tests/%: $(B)/host/tests/unit/%.c.o $(COV_OBJS) $(B)/cov/librest.a
	$(COV_LINK)

$(B)/cov/host/tests/%: $(B)/host/tests/enum/%.c.o $(COV_OBJS) $(B)/cov/librest.a
	$(COV_LINK)

$(B)/cov/host/tests/%: $(B)/host/tests/fuzz/%.c.o $(B)/host/tests/fuzz/main.c.o $(COV_OBJS) \
		$(B)/cov/librest.a
	$(COV_LINK)

.PHONY: cov
cov: $(COV_BINS) ## lines and branches of virtio/ and blk/ that the tests run, and the corpora alone
	$(Q)$(PYTHON) tools/cov.py
	$(Q)$(PYTHON) tools/cov.py --corpus

-include $(COV_OBJS:.o=.d)
