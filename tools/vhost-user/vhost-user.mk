# SPDX-License-Identifier: BSD-2-Clause
#
# The vhost-user server: a hosted program, optimised, without sanitizers. Its engine is the image's:
# the same sources from ENGINE_SRCS.

VU_MAIN_SRCS  := tools/vhost-user/main.c tools/vhost-user/port_linux.c
VU_SRCS       := $(addprefix tools/vhost-user/,vu_msg.c vu_mem.c vu_inflight.c \
	vu_inflight_packed.c vu_ring.c \
	vu_session.c vu_conn.c vu_server.c vu_options.c bdev_file.c)
VU_ENGINE     := $(filter virtio/% blk/% start/base/%,$(ENGINE_SRCS))
FAST_CFLAGS   := $(COMMON) -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer

FAST_OBJS := $(patsubst %,$(B)/host-fast/%.o,$(VU_MAIN_SRCS) $(VU_SRCS) $(VU_ENGINE))

$(B)/host-fast/%.c.o: %.c Makefile tools/vhost-user/vhost-user.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(FAST_CFLAGS) -MMD -MP -c $< -o $@

$(B)/host/caisson-vhost-user: \
		$(patsubst %,$(B)/host-fast/%.o,$(VU_MAIN_SRCS) $(VU_SRCS) $(VU_ENGINE))
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $^ -o $@

# Unit tests and the fuzzer of the server link its parts, with sanitizers.
VU_TESTS := $(filter test_vhost_user%,$(UNIT_TESTS))
$(addprefix $(B)/host/tests/,$(VU_TESTS)): $(patsubst %,$(B)/host/%.o,$(VU_SRCS))
$(B)/host/tests/fuzz_vhost_user: $(patsubst %,$(B)/host/%.o,$(VU_SRCS))
# The fake front end talks to it, and fuzzers link all fakes.
$(addprefix $(B)/fuzz/,$(FUZZERS)): $(patsubst %,$(B)/fuzz/obj/%.o,$(VU_SRCS))
$(addprefix $(B)/afl/,$(FUZZERS)): $(patsubst %,$(B)/afl/obj/%.o,$(VU_SRCS))

.PHONY: vhost-user
vhost-user: $(B)/host/caisson-vhost-user $(B)/host/vhost-client ## build the vhost-user server

-include $(FAST_OBJS:.o=.d)
