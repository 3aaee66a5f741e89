# SPDX-License-Identifier: BSD-2-Clause
#
# The vhost-user server and what measures it: hosted programs, optimised, without sanitizers.
# Their engine is the image's: the same sources from ENGINE_SRCS.

VU_MAIN_SRCS  := tools/vhost-user/main.c tools/vhost-user/port_linux.c
VU_SRCS       := $(addprefix tools/vhost-user/,vu_msg.c vu_mem.c vu_inflight.c vu_ring.c \
	vu_session.c vu_conn.c vu_server.c vu_options.c bdev_file.c)
VU_ENGINE     := $(filter virtio/% blk/% start/base/%,$(ENGINE_SRCS))
CLIENT_SRCS   := tests/bench/vhost_client.c tests/bench/vhost_front.c
FAST_CFLAGS   := $(COMMON) -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer
DPDK_CFLAGS    = $(shell pkg-config --cflags libdpdk 2>/dev/null)
DPDK_LIBS      = $(shell pkg-config --libs libdpdk 2>/dev/null)

FAST_OBJS := $(patsubst %,$(B)/host-fast/%.o,$(VU_MAIN_SRCS) $(VU_SRCS) $(VU_ENGINE) $(CLIENT_SRCS))

$(B)/host-fast/%.c.o: %.c Makefile tools/vhost-user/vhost-user.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(FAST_CFLAGS) -MMD -MP -c $< -o $@

$(B)/host/caisson-vhost-user: \
		$(patsubst %,$(B)/host-fast/%.o,$(VU_MAIN_SRCS) $(VU_SRCS) $(VU_ENGINE))
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $^ -o $@

$(B)/host/vhost-client: $(patsubst %,$(B)/host-fast/%.o,$(CLIENT_SRCS))
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $^ -o $@

$(B)/host/hop: tests/bench/hop.c
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $< -lpthread -o $@

# The comparison back end on DPDK's vhost library; only where libdpdk-dev is installed.
$(B)/host/peer-dpdk: tests/bench/peer_dpdk.c
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(filter-out -Wcast-align -Wundef -Wshadow -std=c11,$(FAST_CFLAGS)) \
		-std=gnu11 $(DPDK_CFLAGS) $< $(DPDK_LIBS) -o $@

# Unit tests and the fuzzer of the server link its parts, with sanitizers.
VU_TESTS := $(filter test_vhost_user%,$(UNIT_TESTS))
$(addprefix $(B)/host/tests/,$(VU_TESTS)): $(patsubst %,$(B)/host/%.o,$(VU_SRCS))
$(B)/fuzz/fuzz_vhost_user: $(VU_SRCS)

.PHONY: vhost-user bench
vhost-user: $(B)/host/caisson-vhost-user $(B)/host/vhost-client ## build the vhost-user server

bench: $(addprefix $(B)/host/,caisson-vhost-user vhost-client hop) ## measure the hosted engine beside its peers
	$(Q)! pkg-config --exists libdpdk || $(MAKE) --no-print-directory $(B)/host/peer-dpdk
	$(Q)$(PYTHON) tests/bench/bench.py

-include $(FAST_OBJS:.o=.d)
