#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""mutants.py - plants one bug after the other and shows that the test named for it dies of it.

Works on a copy of the sources and of the hosted objects under build/mutants; only what a bug
touches is built again. A bug that does not apply any more, does not compile, or whose test does not
pass without it, is an error: the list below is then to be brought up to date.

  tools/mutants.py          all of them; a table, exit 1 unless each is caught
  tools/mutants.py NAME..   those whose name contains one of the words
"""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import tree

COPY = tree.ROOT / "build" / "mutants" / "tree"
BUILD_LIMIT_S = 300
TEST_LIMIT_S = 60

# (name, file, what stands there exactly once, what stands there instead, program, test)
MUTANTS = [
    ("off by one in the bound of a chain", "virtio/virtq_walk.h",
     "if (w->left-- == 0) {", "if (w->left-- + 1 == 0) {",
     "test_virtq", "a_chain_of_the_queue_size_is_the_longest"),
    ("missed barrier before used_event", "virtio/virtq.c",
     "    full_barrier();\n    vq->irq_from = shown;\n", "    vq->irq_from = shown;\n",
     "test_hostile_order", "the_index_is_visible_before_the_drivers_wish_is_read"),
    ("missed barrier after avail_event", "virtio/virtq.c",
     "    full_barrier();\n    return virtq_waiting(vq);\n", "    return virtq_waiting(vq);\n",
     "test_hostile_order", "the_wish_for_kicks_is_visible_before_the_last_look"),
    ("index without release", "virtio/virtq.c",
     "        vq->used_shown = vq->used_next;\n        store_release_u16(",
     "        vq->used_shown = vq->used_next;\n        store_u16(",
     "test_hostile_order", "elements_are_visible_before_their_index"),
    ("double fetch of next", "virtio/virtq.c",
     "index = VIRTQ_DESC_NEXT(word);", "index = VIRTQ_DESC_NEXT(load_u64(at + sizeof(u64)));",
     "test_hostile_memory", "a_request_is_what_it_was_when_it_was_read"),
    ("wrong used length of a read", "virtio/vblk.c",
     "vr->written = (u32)bytes + 1;", "vr->written = (u32)bytes;",
     "test_vblk", "a_read_brings_the_sectors"),
    ("used_event without the wrap", "virtio/virtq.c",
     "return (u16)(load_u16(vq->used_event) - from) < (u16)(shown - from);",
     "return load_u16(vq->used_event) >= from && load_u16(vq->used_event) < shown;",
     "test_virtq_life", "with_event_idx_the_crossing_decides"),
    ("a table in a table", "virtio/virtq_walk.c",
     "    if (in_table) {\n", "    if (in_table && bytes == 0) {\n",
     "test_virtq", "indirect_in_indirect_is_malformed"),
    ("duplicate head", "virtio/virtq.c",
     "if (vq->busy[*head / 64] >> (*head % 64) & 1) {",
     "if (vq->busy[*head / 64] >> (*head % 64) & 2) {",
     "test_virtq", "a_head_offered_twice_breaks_the_queue"),
    ("each descriptor checked, not their sum", "virtio/vblk_parts.h",
     "range_ok(sector, bytes / SECTOR_BYTES, info->sectors)",
     "range_ok(sector, bytes != 0, info->sectors)",
     "test_vblk", "the_sum_of_the_descriptors_counts"),
    ("registers written after DRIVER_OK", "virtio/vdev.c",
     "(dev->queue[queue].again || !(dev->status & VIRTIO_STATUS_DRIVER_OK)) &&", "",
     "test_vmmio", "queue_registers_are_frozen_when_they_must_be"),
    ("reset that does not wait for the medium", "virtio/vdev.c",
     "if (!dev->resetting || vdev_in_flight(dev) > 0) {", "if (!dev->resetting) {",
     "test_vblk_life", "a_reset_with_requests_in_flight_leaves_the_guest_alone"),
    ("feature bits that survive a reset", "virtio/vdev.c",
     "    dev->driver_features = 0;\n    dev->features = 0;\n", "",
     "test_vdev", "a_reset_goes_back_to_the_beginning"),
    ("flush that the medium never hears of", "virtio/vblk_rare.c",
     "    vr->blk.op = BLK_FLUSH;\n", "    vr->blk.op = BLK_READ;\n",
     "test_vblk", "a_flush_reaches_the_medium"),
    ("double fetch on the quick way", "virtio/virtq_quick.h",
     "q->data_bytes = VIRTQ_DESC_LEN(word);",
     "q->data_bytes = VIRTQ_DESC_LEN(load_u64(at + sizeof(u64)));",
     "test_hostile_memory", "a_request_that_is_served_at_once_is_read_once"),
    ("packed: a lap that ends one too late", "virtio/virtq_packed.c",
     "if (to >= pk->size) {", "if (to > pk->size) {",
     "test_virtq_packed", "chains_of_all_lengths_go_round_at_every_size"),
    ("packed: a chain that goes on in what is not there", "virtio/virtq_packed.c",
     "if (!list->again && bits_of(list->word) != bits_available(list->wrap)) {",
     "if (!list->again && list->slots == 0) {",
     "enum_packed", "every_ring_of_size_4"),
    ("packed: an id twice in flight", "virtio/virtq_packed.c",
     "if (vq->busy[id / 64] >> (id % 64) & 1) {", "if (vq->busy[id / 64] >> (id % 64) & 2) {",
     "test_hostile_packed", "an_id_that_is_in_flight_breaks_the_ring"),
    ("packed: an event at the place it begins", "virtio/virtq_packed.c",
     "now += now <= at ? 2u * pk->size : 0;", "now += now < at ? 2u * pk->size : 0;",
     "test_virtq_packed", "an_event_comes_when_its_place_is_passed"),
    ("packed: a batch that shows before it is whole", "virtio/virtq_packed.c",
     "    if (!pk->first_at) {\n        store_u32(",
     "    if (!pk->first_at && false) {\n        store_u32(",
     "test_virtq_packed", "nothing_is_seen_of_a_batch_before_it_is_published"),
    ("in order: skipped, though not used completely", "virtio/virtq_order.c",
     "order->open_whole = whole && ", "order->open_whole = (whole || true) && ",
     "test_virtq_order", "a_buffer_that_was_not_used_completely_is_not_skipped"),
    ("a partition beyond the medium", "blk/partition.c",
     "!range_ok(search.first, search.count, source->sectors / factor)", "false",
     "test_partition", "a_partition_outside_the_medium_is_refused"),
    ("a table whose checksum is wrong", "blk/partition.c",
     "return ~crc == le32_get(gpt->entries_crc) ? ST_OK : ST_PROTO;", "return ST_OK;",
     "test_partition", "a_damaged_table_is_taken_from_its_copy"),
    ("grant that a copy did not get", "blk/blkif.c",
     "st = pool->copy[i].status != ST_OK ? pool->copy[i].status : st;", "st = ST_OK;",
     "test_blkif_copy", "a_page_that_is_not_granted_fails_its_own_request"),
    ("range longer than the medium takes", "blk/blkif.c",
     "min_u64(req->left, req->bi->bdev->info.range_sectors_max)", "req->left",
     "test_blkif_copy", "a_long_discard_is_done_in_pieces_that_the_medium_takes"),
    ("another front end's page of the same number", "drivers/xen/grant_pages.c",
     "(page[i].ref != ref || page[i].keeper != user)", "page[i].ref != ref",
     "test_grant_pages", "two_front_ends_have_their_own_page_of_the_same_number"),
    ("page in use that is discarded", "drivers/xen/grant_pages.c",
     "        if (page[i].users == 0) {\n            page_unkeep",
     "        if (page[i].users < 2) {\n            page_unkeep",
     "test_grant_pages", "a_page_in_use_is_not_discarded"),
    ("spare pages that are kept", "drivers/xen/grant_pages.c",
     "&& free_count > GRANT_SPARE", "",
     "test_grant_pages", "there_is_always_room_for_the_requests_in_flight"),
    ("port of a ring that stays open", "start/pv.c",
     "        evtchn_close(device->port[i]);\n", "",
     "test_pv", "a_guest_writes_and_reads_back_without_any_privilege"),
    ("share by devices, not by guests", "start/share.c",
     "budget / shares->count", "share->members * budget / shares->count",
     "test_turn", "both_kinds_of_a_guest_divide_its_share"),
    ("bytes that nobody pays for", "start/limit.c",
     "take(&limit->bytes_full_ns, bytes - limit->seen_bytes, limit->bytes, now_ns);\n", "",
     "test_limit", "bytes_keep_to_their_rate_whatever_the_request"),
    ("limit that spins", "start/pv.c",
     "    if (device->resting) {\n        return device->blkif.in_flight > 0;",
     "    if (false) {\n        return false;",
     "test_turn", "a_limited_disk_keeps_to_its_rate_and_the_guests_other_disk_does_not"),
    ("time that nobody owes", "start/share.c",
     "share->owed_ns + share->turn_ns", "share->owed_ns",
     "test_share", "a_guest_whose_work_is_dear_gets_no_more_time_than_the_other"),
    ("state 2 that libxl cannot see", "drivers/xen/backend_front.c",
     "front_set(dev, FRONT_WAIT, now + BACKEND_HOLD_NS);",
     "front_set(dev, FRONT_WAIT, now);",
     "test_backend_front", "a_fast_front_end_does_not_hide_state_2_from_libxl"),
    ("disk taken from a front end that still uses it", "drivers/xen/backend.c",
     "closing && dev->state == BE_CONNECTED && backend_is_pv(dev)", "closing && false",
     "test_backend_front", "the_toolstack_waits_for_the_front_end_to_close"),
    ("flush of one queue only", "virtio/vblk_rare.c",
     "    vr->blk.op = BLK_FLUSH;\n",
     "    if (vr->vq != &vb->vdev.queue[0].vq) {\n        return ST_OK;\n    }\n"
     "    vr->blk.op = BLK_FLUSH;\n",
     "test_vblk_rare", "a_flush_covers_the_writes_of_every_queue"),
]


def run(command, limit_s, **more):
    """Exit status, None when it had to be ended, and the output."""
    try:
        done = subprocess.run(command, cwd=COPY, timeout=limit_s, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    except subprocess.TimeoutExpired as e:
        return None, str(e)
    return done.returncode, done.stdout


def copy_sources():
    """The tracked files and the hosted objects, with their times: nothing is built twice."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in tree.tracked():
        if name.startswith("tests/fuzz/seeds/") and "/partition/" not in name:
            continue                    # those are tables that a unit test reads, too
        to = COPY / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree.ROOT / name, to)
    for part in ("host", "include", "setup/libfdt"):
        built = tree.ROOT / "build" / part
        if built.is_dir():
            shutil.copytree(built, COPY / "build" / part, symlinks=True)


def build(program):
    """What is wrong, or None."""
    host = COPY / "build" / "host"
    for stale in (host / "libengine.a", host / "tests" / program,
                  host / "tests" / "unit" / f"{program}.c.o",
                  host / "tests" / "tests" / "unit" / f"{program}.c.o"):
        stale.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    status, out = run(["make", "--no-print-directory", "-j2", f"build/host/tests/{program}"],
                      BUILD_LIMIT_S, env=env)
    return None if status == 0 else out[-2000:]


def passes(program, test):
    """True, False, or None when there is no such test."""
    env = dict(os.environ, CMOCKA_TEST_FILTER=test, CMOCKA_MESSAGE_OUTPUT="TAP")
    status, out = run([f"build/host/tests/{program}"], TEST_LIMIT_S, env=env)
    if status == 0:
        return True if f"- {test}\n" in out else None
    return False


def objects_again(since_ns):
    """What was built since then is bent: the objects of the sources as they are come back."""
    for path in (COPY / "build" / "host").rglob("*.o"):
        if path.stat().st_mtime_ns >= since_ns:
            good = tree.ROOT / path.relative_to(COPY)
            path.unlink()
            if good.is_file():
                shutil.copy2(good, path)


def try_one(mutant):
    """The last word of its line in the table; raises RuntimeError when the list is out of date."""
    name, file, old, new, program, test = mutant
    path = COPY / file
    text = path.read_text()
    if text.count(old) != 1:
        raise RuntimeError(f"{name}: {file} holds {text.count(old)} times what it replaces")
    times = path.stat()
    path.write_text(text.replace(old, new))
    since_ns = path.stat().st_mtime_ns
    try:
        wrong = build(program)
        if wrong:
            raise RuntimeError(f"{name}: does not compile:\n{wrong}")
        return "survives" if passes(program, test) else "caught"
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        objects_again(since_ns)


def check_tests(mutants):
    """Every named test must exist and pass on the sources as they are."""
    for program in sorted({m[4] for m in mutants}):
        wrong = build(program)
        if wrong:
            raise RuntimeError(f"{program} does not build:\n{wrong}")
        for test in sorted({m[5] for m in mutants if m[4] == program}):
            if not passes(program, test):
                raise RuntimeError(f"{program}: {test} does not pass without any bug")


def main(argv):
    mutants = [m for m in MUTANTS if not argv or any(word in m[0] for word in argv)]
    start = time.monotonic()
    errors = survivors = 0
    copy_sources()
    try:
        check_tests(mutants)
    except RuntimeError as e:
        print(e)
        return 1
    for mutant in mutants:
        try:
            outcome = try_one(mutant)
            survivors += outcome != "caught"
        except RuntimeError as e:
            print(e)
            errors, outcome = errors + 1, "error"
        print(f"{outcome:9} {mutant[0]:42} {mutant[4]}: {mutant[5]}", flush=True)
    print(f"{len(mutants)} bugs planted: {len(mutants) - survivors - errors} caught, "
          f"{survivors} survive, {errors} in error; {time.monotonic() - start:.0f} s")
    return 1 if survivors or errors or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
