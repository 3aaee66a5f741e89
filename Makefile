# SPDX-License-Identifier: BSD-2-Clause
#
# Caisson: a bare-metal storage backend for Xen on Arm. `make help` lists the targets.
#
# What each build is made of. ENGINE_SRCS is in all of them: that line is the portability proof.
B := build

# Compiled for the image and for every hosted build.
ENGINE_SRCS := \
	start/base/status.c start/base/log.c start/base/bucket.c \
	start/poll.c start/pagetable.c start/config.c start/memmap.c start/disks.c start/attach.c \
	start/share.c start/turn.c start/limit.c \
	start/classes.c start/consoles.c start/random.c start/report.c start/command.c start/eyes.c \
	start/pv.c \
	drivers/fdt/fdt_scan.c \
	drivers/gic/gic.c drivers/gic/gicv2.c drivers/gic/gicv3.c \
	drivers/timer/timer.c drivers/console/console.c \
	drivers/xen/xen.c drivers/xen/physmap.c drivers/xen/dm_op.c drivers/xen/evtchn.c \
	drivers/xen/gnttab.c drivers/xen/extregion.c drivers/xen/gmem_foreign.c \
	drivers/xen/gmem_grants.c drivers/xen/ioreq.c \
	drivers/xen/xs_wire.c drivers/xen/xs.c \
	drivers/xen/backend.c drivers/xen/backend_keys.c drivers/xen/backend_scan.c \
	drivers/xen/backend_tx.c drivers/xen/backend_front.c drivers/xen/grant_pages.c \
	virtio/gmem.c virtio/virtq.c virtio/virtq_walk.c virtio/virtq_packed.c virtio/virtq_order.c \
	virtio/vdev.c virtio/vmmio.c \
	virtio/vblk.c virtio/vblk_quick.c virtio/vblk_rare.c virtio/vblk_device.c \
	virtio/ventropy.c virtio/vconsole.c \
	blk/bdev.c blk/ramdisk.c blk/partition.c blk/blkif_wire.c blk/blkif.c

# Cards: part of every hosted build, and compiled for arm64 by `make check`; not in the image yet.
MMC_SRCS := drivers/mmc/adma2.c drivers/mmc/sdhci.c drivers/mmc/sdhci_request.c \
	drivers/mmc/sdhci_quirks.c drivers/mmc/mmc.c drivers/mmc/mmc_sd.c drivers/mmc/mmc_emmc.c \
	drivers/mmc/mmc_io.c drivers/mmc/mmc_bdev.c

# libfdt, from Debian's source package (tools/setup.sh), compiled like the rest; not our warnings.
LIBFDT      := $(B)/setup/libfdt
LIBFDT_SRCS := $(addprefix $(LIBFDT)/,fdt.c fdt_ro.c fdt_check.c fdt_strerror.c)

# Only on the machine itself: kept short, and shrinking.
TARGET_ONLY_SRCS := \
	start/entry.S start/vectors.S start/copy.S start/mmu.c start/trap.c start/libc_glue.c \
	start/port_arm64.c \
	start/main.c drivers/xen/hypercall.S

IMAGE_SRCS := $(ENGINE_SRCS) $(TARGET_ONLY_SRCS)

# What the image may be built without (start/base/parts.h says what each is). With virtio alone it
# holds to the smaller ceiling of text, rodata and data; `make check` builds it so too.
PARTS_VIRTIO := rings entropy console
PARTS_KNOWN  := $(PARTS_VIRTIO) pv tables limits grants eyes
PARTS        ?= $(PARTS_KNOWN)
$(if $(filter-out $(PARTS_KNOWN),$(PARTS)),$(error PARTS=$(PARTS): there are only: $(PARTS_KNOWN)))
part         = $(if $(filter $(1),$(PARTS)),1,0)
PART_FLAGS  := $(foreach p,$(PARTS_KNOWN),-DPART_$(shell echo $(p) | tr a-z A-Z)=$(call part,$(p)))
IMAGE_LIMIT := $(if $(filter-out $(PARTS_VIRTIO),$(PARTS)),163840,98304)

# On a request's way: compiled for speed. The rest of the image is compiled for size.
FAST_SRCS := virtio/gmem.c virtio/virtq.c virtio/virtq_walk.c virtio/vblk_quick.c \
	$(filter blk/blkif%,$(ENGINE_SRCS)) start/poll.c start/port_arm64.c

# Where guests' bytes are handled the stack protector guards every array and every variable that is
# pointed to; elsewhere, buffers of characters.
GUARDED_SRCS := $(filter virtio/% blk/%,$(ENGINE_SRCS))

# The fake machine, the fake Xen and the fake guest that hosted tests link.
FAKE_SRCS := $(wildcard tests/fake/*.c tests/model/*.c)

UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
ENUM_TESTS := $(patsubst tests/enum/%.c,%,$(wildcard tests/enum/enum_*.c))
FUZZERS    := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- tools and flags --------------------------------------------------------------------------
CROSS_COMPILE ?= aarch64-linux-gnu-
ARM_CC        := $(CROSS_COMPILE)gcc
HOST_CC       ?= gcc
CLANG         ?= clang
CLANG_TIDY    ?= clang-tidy
CLANG_FORMAT  ?= clang-format
FUZZ_CC       ?= $(CLANG)
PYTHON        := /usr/bin/python3
PICOLIBC      ?= /usr/lib/picolibc/aarch64-linux-gnu
XEN_HEADERS   ?= /usr/include/xen
Q             := $(if $(V),,@)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-align -Wvla
COMMON   := -std=c11 -I. -I$(B)/include -I$(LIBFDT) -fno-common -fno-strict-aliasing \
	$(WARNINGS)

# What gcc does at -Os that makes code larger.
ARM_LARGE  := shrink-wrap move-loop-invariants tree-switch-conversion
ARM_FAST   := -O2 $(addprefix -f,$(ARM_LARGE))
ARM_CFLAGS := $(COMMON) -Os -g -ffreestanding -fno-pie -mcmodel=tiny -fvisibility=hidden \
	-mgeneral-regs-only -mno-outline-atomics -mstrict-align -fno-omit-frame-pointer \
	-fstack-protector $(addprefix -fno-,$(ARM_LARGE)) \
	-mbranch-protection=none -ffunction-sections -fdata-sections -fno-builtin-printf \
	-fno-asynchronous-unwind-tables -isystem $(PICOLIBC)/include \
	-D_GNU_SOURCE -DPICOLIBC_INTEGER_PRINTF_SCANF -DVIRTQ_JOURNAL=0 $(PART_FLAGS) -flto
comma       := ,
ARM_LDFLAGS := -flto-partition=one -nostdlib -static \
	$(addprefix -Wl$(comma), \
	-znoexecstack -zmax-page-size=4096 --gc-sections --build-id=none --fatal-warnings \
	--defsym=image_limit=$(IMAGE_LIMIT))

HOST_CFLAGS := $(COMMON) -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
HOST_LIBS   := -lcmocka

# ---- the image --------------------------------------------------------------------------------
.PHONY: all
all: $(B)/caisson.img ## build the image: build/caisson.img (kernel= for xl) and build/caisson.elf
	$(Q)$(SIZE) --brief

SIZE = IMAGE_BUILD=$(B) IMAGE_LIMIT=$(IMAGE_LIMIT) $(PYTHON) tools/size.py

.PHONY: core
core: ## build the image that serves virtio alone, under build/core: at most 96 KiB
	$(Q)$(MAKE) --no-print-directory B=$(B)/core LIBFDT=$(LIBFDT) PARTS='$(PARTS_VIRTIO)' all

# What was compiled with other parts is compiled again.
$(B)/parts: FORCE
	$(Q)mkdir -p $(@D) && { echo '$(PARTS)' | cmp -s - $@ || echo '$(PARTS)' >$@; }
FORCE:

ARM_OBJS := $(patsubst %,$(B)/arm/%.o,$(IMAGE_SRCS) $(LIBFDT_SRCS))

$(B)/include/xen:
	$(Q)test -r $(XEN_HEADERS)/xen.h || \
		{ echo "no $(XEN_HEADERS)/xen.h: run tools/setup.sh"; exit 1; }
	$(Q)mkdir -p $(@D) && ln -sfn $(XEN_HEADERS) $@

$(LIBFDT)/%:
	$(Q)echo "no $@: run tools/setup.sh"; exit 1

HEADERS := $(B)/include/xen $(LIBFDT)/libfdt.h

$(B)/arm/$(LIBFDT)/%: ARM_CFLAGS += -w
$(B)/host/$(LIBFDT)/%: HOST_CFLAGS += -w

$(B)/arm/%.c.o: %.c Makefile $(B)/parts | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)command -v $(ARM_CC) >/dev/null || { echo "no $(ARM_CC): run tools/setup.sh"; exit 1; }
	$(Q)$(ARM_CC) $(ARM_CFLAGS) -MMD -MP -c $< -o $@

$(patsubst %,$(B)/arm/%.o,$(FAST_SRCS)): ARM_CFLAGS += $(ARM_FAST)
$(patsubst %,$(B)/arm/%.o,$(GUARDED_SRCS)): ARM_CFLAGS += -fstack-protector-strong

$(B)/arm/%.S.o: %.S Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) $(ARM_CFLAGS) -D__ASSEMBLY__ -MMD -MP -c $< -o $@

$(B)/caisson.elf: $(ARM_OBJS) linker/image.lds
	$(Q)$(ARM_CC) $(ARM_CFLAGS) $(ARM_LDFLAGS) -T linker/image.lds -Wl,-Map,$(B)/caisson.map -o $@ \
		$(ARM_OBJS) $(PICOLIBC)/lib/libc.a

$(B)/caisson.img: $(B)/caisson.elf
	$(Q)$(CROSS_COMPILE)objcopy -O binary $< $@

# ---- kernels for the test bed ------------------------------------------------------------------
# Freestanding guests that the system tests start: tests/guest. wrong_tree.S in its three kinds.
GUEST_KERNELS := $(addprefix $(B)/guest/wrong-tree-,zero rubbish no-gic) $(B)/guest/front

.PHONY: guest-kernels
guest-kernels: $(GUEST_KERNELS)

$(B)/guest/wrong-tree-zero: WRONG_TREE := 0
$(B)/guest/wrong-tree-rubbish: WRONG_TREE := 1
$(B)/guest/wrong-tree-no-gic: WRONG_TREE := 2
$(B)/guest/wrong-tree-%: tests/guest/wrong_tree.S Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) -nostdlib -static -Wl,-e,head -DWRONG_TREE=$(WRONG_TREE) -o $@.elf $<
	$(Q)$(CROSS_COMPILE)objcopy -O binary -j .text $@.elf $@

# The front-end guest: our own parts below a front end of each protocol, tests/guest/front.
FRONT_SRCS := $(wildcard tests/guest/front/*.c)
FRONT_PARTS := start/base/status.c start/base/log.c start/base/bucket.c \
	start/pagetable.c start/memmap.c start/config.c start/random.c drivers/fdt/fdt_scan.c \
	$(filter drivers/gic/% drivers/timer/% drivers/console/%,$(ENGINE_SRCS)) \
	$(addprefix drivers/xen/,xen.c physmap.c dm_op.c evtchn.c gnttab.c xs_wire.c xs.c) \
	$(filter-out start/main.c,$(TARGET_ONLY_SRCS))
FRONT_OBJS := $(patsubst %,$(B)/arm/%.o,$(FRONT_SRCS) $(FRONT_PARTS) $(LIBFDT_SRCS))

$(B)/guest/front: $(FRONT_OBJS) linker/image.lds
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) $(ARM_CFLAGS) $(ARM_LDFLAGS) -T linker/image.lds -o $@.elf \
		$(FRONT_OBJS) $(PICOLIBC)/lib/libc.a
	$(Q)$(CROSS_COMPILE)objcopy -O binary $@.elf $@

# ---- a helper for Dom0 --------------------------------------------------------------------------
$(B)/set-target: tools/set-target.c Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(ARM_CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -s -static -o $@ $<

.PHONY: set-target
set-target: $(B)/set-target ## the helper for Dom0 that opens one guest (docs/privilege.md)

# ---- hosted builds ----------------------------------------------------------------------------
HOST_OBJS := $(patsubst %,$(B)/host/%.o,$(ENGINE_SRCS) $(MMC_SRCS) $(FAKE_SRCS) $(LIBFDT_SRCS) \
	$(LIBFDT)/fdt_sw.c)
TEST_BINS := $(addprefix $(B)/host/tests/,$(UNIT_TESTS) $(ENUM_TESTS) $(FUZZERS))

$(B)/host/%.c.o: %.c Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(B)/host/libengine.a: $(HOST_OBJS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/host/tests/%: $(B)/host/tests/unit/%.c.o $(B)/host/libengine.a
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(HOST_LIBS) -o $@

$(B)/host/tests/%: $(B)/host/tests/enum/%.c.o $(B)/host/libengine.a
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(HOST_LIBS) -o $@

.PRECIOUS: $(B)/host/%.c.o
.PHONY: host-tests
host-tests: $(TEST_BINS)

# ---- checks -----------------------------------------------------------------------------------
# Every object is one step, remembered under build/check: only what changed is checked again.
CHECK_C     := $(filter %.c,$(IMAGE_SRCS)) $(MMC_SRCS) $(FRONT_SRCS)
CHECK_HOST  := $(ENGINE_SRCS) $(MMC_SRCS) $(FAKE_SRCS) \
	$(wildcard tests/unit/*.c tests/enum/*.c tests/fuzz/*.c)
HOST_CHECK  := $(COMMON) -D_GNU_SOURCE -O2
# What clang makes of the image: gcc's flags but those that only gcc knows.
ARM_CHECK   := --target=aarch64-linux-gnu -nostdlibinc \
	$(filter-out -mno-outline-atomics -flto $(addprefix -fno-,$(ARM_LARGE)),$(ARM_CFLAGS))

$(B)/check/gcc/%.ok: % Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CHECK) -MMD -MP -MF $(@:.ok=.d) -MT $@ -c $< -o /dev/null && touch $@

$(B)/check/clang/%.ok: % Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(HOST_CHECK) -MMD -MP -MF $(@:.ok=.d) -MT $@ -c $< -o /dev/null && touch $@

$(B)/check/clang-arm/%.ok: % Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(ARM_CHECK) -MMD -MP -MF $(@:.ok=.d) -MT $@ -MT $(B)/check/lint/$*.ok \
		-c $< -o /dev/null && touch $@

$(B)/check/lint/%.ok: % .clang-tidy Makefile | $(HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(ARM_CHECK) 2>$(@:.ok=.err) || \
		{ grep -v 'warnings generated' $(@:.ok=.err); exit 1; }
	$(Q)touch $@

.PHONY: check check-format check-layers check-tidy check-conformance check-warnings check-lint
check: check-format check-layers check-tidy check-conformance check-warnings check-lint core ## format, layers, style, traced requirements, lint

check-format:
	$(Q)mkdir -p $(B)/check
	$(Q)bad=0; for f in $$(git ls-files '*.c' '*.h'); do \
		$(CLANG_FORMAT) $$f | cmp - $$f >$(B)/check/format || { bad=1; \
			echo "$$f:$$(sed 's/.*line //' $(B)/check/format):" \
				"not in the house format: make format"; }; \
	done; exit $$bad

check-layers:
	$(Q)$(PYTHON) tools/layers.py

check-tidy:
	$(Q)$(PYTHON) tools/tidy.py

check-conformance:
	$(Q)$(PYTHON) tools/conformance.py

.PHONY: conformance
conformance: ## write docs/conformance.md: which test proves which requirement
	$(Q)$(PYTHON) tools/conformance.py --write

check-warnings: $(patsubst %,$(B)/check/gcc/%.ok,$(CHECK_HOST)) \
	$(patsubst %,$(B)/check/clang/%.ok,$(CHECK_HOST)) \
	$(patsubst %,$(B)/check/clang-arm/%.ok,$(CHECK_C))

check-lint: $(patsubst %,$(B)/check/lint/%.ok,$(CHECK_C))

.PHONY: format size stack
format: ## put the C files into the house format
	$(Q)git ls-files -z '*.c' '*.h' | xargs -0 $(CLANG_FORMAT) -i

.PHONY: mutants
mutants: host-tests ## plant bugs in a copy of the sources: each must be caught by its test
	$(Q)$(PYTHON) tools/mutants.py

size: $(B)/caisson.elf ## bytes per module of the image, and of the one that serves virtio alone; fails above a limit
	$(Q)$(SIZE)
	$(Q)$(MAKE) --no-print-directory core

stack: $(B)/caisson.elf ## worst stack depth per entry of the image
	$(Q)$(PYTHON) tools/stack.py

# ---- the front door ---------------------------------------------------------------------------
.PHONY: help setup run test test-slow soak clean
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install the packages that building and testing need (Debian 12 or 13)
	$(Q)tools/setup.sh

test: ## all tests: unit, tools, check, system; T=NAME for some, UNIT=1 without the test bed
	$(Q)tools/setup.sh
	$(Q)$(PYTHON) tools/run_tests.py $(if $(T),-k $(T)) $(if $(UNIT),--unit-only) \
		$(if $(SLOW),--slow)

test-slow: ## make test, and the tests that take minutes: long matrices, QEMU's own suite
	$(Q)$(MAKE) --no-print-directory test SLOW=1

run: ## from nothing to a table: packages, image, Xen, a stock guest's verified I/O on our disk
	$(Q)tools/setup.sh
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(PYTHON) tools/run.py

soak: ## 20 guests destroyed in the middle of fio, 5 reboots: a quarter of an hour
	$(Q)CAISSON_DEATHS=20 $(PYTHON) tools/run_tests.py --system-only -k in_the_middle

# One run for each kind: together they would take longer than a run may.
.PHONY: cycles
cycles: ## 100 under load of each: attach/detach, drivers reloaded, reboot and xl destroy; T=KIND: one
	$(Q)for kind in $(or $(T),attached reloaded reboot); do \
		CAISSON_CYCLES=100 $(PYTHON) tools/run_tests.py --system-only \
			-k "test_cycles and $$kind" || exit 1; done

.PHONY: matrix
matrix: $(B)/caisson.img ## boot every Xen with every policy, and write docs/matrix.md; T=XEN-POLICY: one
	$(Q)tools/setup.sh
	$(Q)$(PYTHON) tools/matrix.py $(T)

.PHONY: bench-icount
bench-icount: $(B)/caisson.img $(B)/guest/front ## instructions per request beside Linux xen-blkback (TWICE=1: twice)
	$(Q)tools/setup.sh
	$(Q)$(PYTHON) tools/bench_icount.py $(if $(TWICE),--twice)

clean: ## remove what was built; downloads and Xen under build/testbed stay
	$(Q)rm -rf $(B)/arm $(B)/host $(B)/check $(B)/fuzz $(B)/include $(B)/caisson.*

include tests/fuzz/fuzz.mk tools/vhost-user/vhost-user.mk tests/cov.mk tests/bench/bench.mk

-include $(shell find $(wildcard $(addprefix $(B)/,arm host host-fast check bench)) /dev/null \
	-name '*.d')
