# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench`: the engine counted on arm64 by QEMU, and the vhost-user server beside its peers.

# The engine alone on a bare machine, with the image's flags and without anything of Xen. Its guest
# memory is larger than -mcmodel=tiny allows.
ARM_BENCH_SRCS := virtio/gmem.c virtio/virtq.c virtio/virtq_walk.c virtio/virtq_packed.c \
	virtio/virtq_order.c virtio/vdev.c virtio/vmmio.c \
	virtio/vblk.c virtio/vblk_quick.c virtio/vblk_rare.c virtio/vblk_device.c \
	blk/bdev.c blk/ramdisk.c drivers/timer/timer.c \
	start/copy.S tests/bench/arm64/start.S tests/bench/arm64/bench_vblk.c
ARM_BENCH_OBJS := $(patsubst %,$(B)/bench/%.o,$(ARM_BENCH_SRCS))
ARM_BENCH_FAST := $(patsubst %,$(B)/bench/%.o,$(FAST_SRCS))
ARM_BENCH_CFLAGS = $(filter-out -mcmodel=tiny,$(ARM_CFLAGS))
ARM_BENCH_LINK  = $(ARM_CC) $(ARM_BENCH_CFLAGS) -O2 -nostdlib -static -no-pie -Wl,--gc-sections \
	-Wl,--build-id=none -Wl,--no-warn-rwx-segments -T tests/bench/arm64/bench.lds

$(B)/bench/%.c.o: %.c Makefile tests/bench/bench.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) $(ARM_BENCH_CFLAGS) -MMD -MP -c $< -o $@

$(B)/bench/%.S.o: %.S Makefile tests/bench/bench.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) $(ARM_BENCH_CFLAGS) -D__ASSEMBLY__ -c $< -o $@

$(ARM_BENCH_FAST): ARM_CFLAGS += $(ARM_FAST)
$(ARM_BENCH_OBJS): ARM_CFLAGS += -fstack-protector-strong

$(B)/bench/no-copy.o: tests/bench/arm64/bench_vblk.c Makefile tests/bench/bench.mk | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) $(ARM_BENCH_CFLAGS) -DNO_COPY -MMD -MP -c $< -o $@

$(B)/bench/vblk.elf: $(ARM_BENCH_OBJS) tests/bench/arm64/bench.lds
	$(Q)$(ARM_BENCH_LINK) -o $@ $(ARM_BENCH_OBJS) $(PICOLIBC)/lib/libc.a

# port_copy() that returns at once comes first, and the real one stays in its archive.
$(B)/bench/vblk-no-copy.elf: $(ARM_BENCH_OBJS) $(B)/bench/no-copy.o tests/bench/arm64/bench.lds
	$(Q)$(ARM_BENCH_LINK) -Wl,--allow-multiple-definition -o $@ $(B)/bench/no-copy.o \
		$(filter-out %/bench_vblk.c.o,$(ARM_BENCH_OBJS)) $(PICOLIBC)/lib/libc.a

CLIENT_SRCS   := tests/bench/vhost_client.c tests/bench/vhost_front.c

$(B)/host/vhost-client: $(patsubst %,$(B)/host-fast/%.o,$(CLIENT_SRCS))
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $^ -o $@

$(B)/host/hop: tests/bench/hop.c
	$(Q)mkdir -p $(@D) && $(HOST_CC) $(FAST_CFLAGS) $< -lpthread -o $@

# The comparison back end on DPDK's vhost library; only where libdpdk-dev is installed.
$(B)/host/peer-dpdk: tests/bench/peer_dpdk.c
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(filter-out -Wcast-align -Wundef -Wshadow -std=c11,$(FAST_CFLAGS)) \
		-std=gnu11 $$(pkg-config --cflags libdpdk) $< $$(pkg-config --libs libdpdk) -o $@

.PHONY: bench
bench: $(addprefix $(B)/host/,caisson-vhost-user vhost-client hop) \
		$(B)/bench/vblk.elf $(B)/bench/vblk-no-copy.elf ## measure the engine, alone and beside its peers
	$(Q)! pkg-config --exists libdpdk || $(MAKE) --no-print-directory $(B)/host/peer-dpdk
	$(Q)$(PYTHON) tests/bench/bench.py

-include $(ARM_BENCH_OBJS:.o=.d) $(B)/bench/no-copy.d
-include $(patsubst %,$(B)/host-fast/%.d,$(CLIENT_SRCS))
