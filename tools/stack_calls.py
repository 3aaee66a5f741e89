# SPDX-License-Identifier: BSD-2-Clause
"""stack_calls.py - what tools/stack.py cannot read from the instructions.

Names may hold * as in a shell.
"""

# (function, what it is, bottom and top of its stack in linker/image.lds)
ENTRIES = [
    ("start_c", "boot and poll loop", "stack_bottom", "stack_top"),
    ("vectors", "exception report", "trap_stack_bottom", "trap_stack_top"),
]

# Calls through pointers: (source file or function of the call, everything behind the pointer).
# The first line that fits counts.
INDIRECT = [
    ("start/poll.c", [
        "attach_mmio_poll", "attach_mmio_arm", "attach_mmio_disarm",
        "turn_poll", "turn_arm", "turn_disarm", "turn_deadline_ns",
        "disks_poll", "disks_arm", "disks_disarm",
        "xs_poll", "xs_arm", "xs_disarm", "xs_deadline_ns", "backend_poll", "backend_deadline_ns",
        "eyes_poll", "eyes_deadline_ns", "poll_console", "arm_console", "disarm_console", "woken",
        "disarmed"]),
    ("start/base/log.c", ["hyp_sink", "uart_sink", "ring_sink"]),
    ("start/trap.c", ["halt", "console_flush"]),
    ("start/memmap.c", ["memory_access"]),
    ("drivers/console/console.c", ["xen_console_write", "console_notify"]),
    ("drivers/gic/gic.c", ["gicv2_*", "gicv3_*"]),
    ("drivers/xen/ioreq.c", ["device_mmio", "guest_invalidate"]),
    ("drivers/xen/xs.c", ["*_answer", "watch_placed", "backend_changed", "front_event",
                          "eyes_changed"]),
    ("drivers/xen/backend.c", ["on_attach*", "on_detach*", "on_limit*"]),
    ("drivers/xen/backend_tx.c", ["on_pair"]),
    ("drivers/xen/backend_front.c", ["on_connect", "on_disconnect"]),
    ("blk/blkif.c", ["seam_map", "seam_unmap", "seam_copy", "ring_event"]),
    ("start/attach.c", [
        "block_open", "block_close", "class_poll", "class_shutdown",
        "entropy_open", "ventropy_poll", "vconsole_open", "vconsole_close", "vconsole_poll"]),
    ("start/report.c", [
        "class_report", "ventropy_report", "vconsole_report", "disk_is", "disk_io",
        "disk_events", "disk_errors", "disk_latency"]),
    ("virtio/ventropy.c", ["random_fill"]),
    ("virtio/vconsole.c", ["console_output"]),
    ("gmem_settle", ["grants_settle"]),
    ("virtio/gmem.h", ["grants_settle"]),  # the same, inlined
    ("virtio/gmem.c", ["gmem_foreign_find", "grants_find"]),
    ("virtio/vblk_rare.c", []),  # a lifetime: no medium of the image tells one
    ("virtio/vdev.c", ["vblk_features_ok", "vblk_start", "vblk_stopped", "vblk_config_write",
                       "vconsole_stopped", "vconsole_config_write", "vmmio_raise"]),
    ("vmmio_raise", ["device_irq"]),
    ("virtio/vmmio.c", ["device_irq"]),
    ("blk/partition.c", ["place_read"]),
    ("blk/bdev.c", ["ramdisk_submit", "ramdisk_poll", "ramdisk_cancel"]),
    # The C library formats into a buffer only.
    ("*vfprintf", ["__file_str_put"]),
]

# Functions that call themselves, however far round: {name: most nested calls}
RECURSION = {
    # The report of a damaged canary is not followed into the report of another one.
    "__stack_chk_fail": 1,
    "panic": 1,
    # libfdt: a path that begins with an alias is looked up once more.
    "fdt_path_offset*": 2,
    # Its purpose is to overflow the stack.
    "selftest_stack*": 1,
}

# Calls after which the caller's next instruction is somebody else's.
NEVER_RETURN = {"panic", "check_failed", "__stack_chk_fail", "abort"}
