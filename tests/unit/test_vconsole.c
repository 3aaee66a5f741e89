/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vconsole.c - output of a guest to a sink, input to the guest. [VIRTIO 5.3] */
#include "virtio/vconsole.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define EMERG_WR (REG_CONFIG + 8)

static struct arena arena;
static struct vmmio mmio;
static struct driver rx, tx; /* the driver's view of the two queues */
static struct vconsole vc;
static struct vq_chain chain;
static char said[KIB(128)];
static u32 said_bytes;

static void sink(void *ctx, const u8 *bytes, u32 count)
{
    assert_ptr_equal(ctx, &said_bytes);
    assert_true(said_bytes + count < sizeof(said));
    memcpy(said + said_bytes, bytes, count);
    said_bytes += count;
    said[said_bytes] = '\0';
}

/** Both queues, then DRIVER_OK. */
static void start(u64 features)
{
    CHECK(driver_negotiate(&rx, features));
    tx.features = rx.features;
    rx.desc = rx.avail = rx.used = tx.desc = tx.avail = tx.used = 0;
    CHECK(driver_queue(&rx, 16));
    tx.free = rx.free + KIB(64);
    CHECK(driver_queue(&tx, 16));
    driver_set(&rx, REG_STATUS, driver_get(&rx, REG_STATUS) | VIRTIO_STATUS_DRIVER_OK);
}

static int bare(void **state)
{
    (void)state;
    said_bytes = 0;
    said[0] = '\0';
    port_host_now_ns = 1;
    arena_init(&arena, 4, KIB(256));
    vconsole_init(&vc, &(struct vconsole_init){
                           .gm = &arena.gm,
                           .chain = &chain,
                           .name = "console",
                           .sink = sink,
                           .sink_ctx = &said_bytes,
                       });
    vmmio_init(&mmio, &vc.vdev, driver_irq, &rx);
    driver_init(&rx, &arena, &mmio);
    driver_init(&tx, &arena, &mmio);
    rx.queue = VCONSOLE_RX;
    tx.queue = VCONSOLE_TX;
    return 0;
}

static int fresh(void **state)
{
    bare(state);
    start(UINT64_MAX);
    return 0;
}

static int done(void **state)
{
    (void)state;
    assert_true(vdev_shutdown(&vc.vdev));
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

static u32 poll(void)
{
    return vdev_idle(&vc.vdev) && !vdev_due(&vc.vdev) ? 0 : vc.vdev.ops->poll(&vc.vdev, 64);
}

static void guest_says(const char *text)
{
    struct driver_piece piece = {driver_alloc(&tx, strlen(text), 1), (u32)strlen(text), false};

    arena_write(&arena, piece.addr, text, piece.bytes);
    driver_offer(&tx, driver_chain(&tx, &piece, 1));
}

static u64 guest_listens(u32 bytes)
{
    struct driver_piece piece = {driver_alloc(&rx, bytes, 1), bytes, true};

    driver_offer(&rx, driver_chain(&rx, &piece, 1));
    return piece.addr;
}

static u32 taken(struct driver *drv)
{
    u32 id, written;

    return driver_take(drv, &id, &written) ? written : UINT32_MAX;
}

static void it_is_a_console_with_one_port(void **state)
{
    (void)state;
    assert_int_equal(driver_get(&rx, REG_DEVICE_ID), VIRTIO_ID_CONSOLE);
    /* Neither a size nor further ports: the fields of features not offered read as 0. */
    driver_set(&rx, REG_DEVICE_FEATURES_SEL, 0);
    assert_int_equal(driver_get(&rx, REG_DEVICE_FEATURES) & 7, BIT32(VIRTIO_CONSOLE_F_EMERG_WRITE));
    for (u32 at = 0; at < 16; at += 4) {
        assert_int_equal(driver_get(&rx, REG_CONFIG + at), 0);
    }
    driver_set(&rx, REG_QUEUE_SEL, 2);
    assert_int_equal(driver_get(&rx, REG_QUEUE_SIZE_MAX), 0);
}

static void what_the_guest_says_reaches_the_sink_and_its_buffer_comes_back(void **state)
{
    (void)state;
    guest_says("hello ");
    guest_says("world\n");
    assert_true(poll() > 0);
    assert_string_equal(said, "hello world\n");
    assert_int_equal(taken(&tx), 0);
    assert_int_equal(taken(&tx), 0);
    assert_int_equal(taken(&tx), UINT32_MAX);
    assert_int_equal(rx.irqs, 1);
    assert_int_equal(poll(), 0);
    assert_int_equal(vc.bytes_out, 12);
}

static void a_long_buffer_is_cut_and_the_rest_is_counted(void **state)
{
    const u32 bytes = VCONSOLE_CHAIN_BYTES + 300;
    struct driver_piece piece;

    (void)state;
    piece = (struct driver_piece){driver_alloc(&tx, bytes, 1), bytes, false};
    arena_fill(&arena, piece.addr, 'x', bytes);
    driver_offer(&tx, driver_chain(&tx, &piece, 1));
    assert_int_equal(poll(), 1 + VCONSOLE_CHAIN_BYTES / VCONSOLE_UNIT);
    assert_int_equal(said_bytes, VCONSOLE_CHAIN_BYTES);
    assert_int_equal(vc.bytes_dropped, 300);
    assert_int_equal(taken(&tx), 0);
}

static void output_ends_at_what_is_no_memory(void **state)
{
    const struct driver_piece piece[] = {{driver_alloc(&tx, 3, 1), 3, false}, {0x1000, 8, false}};

    (void)state;
    arena_write(&arena, piece[0].addr, "abc", 3);
    driver_offer(&tx, driver_chain(&tx, piece, 2));
    poll();
    assert_string_equal(said, "abc");
    assert_int_equal(vc.bytes_dropped, 8);
    assert_int_equal(taken(&tx), 0);
}

static void a_turn_keeps_to_its_budget(void **state)
{
    (void)state;
    for (u32 i = 0; i < 10; i++) {
        guest_says("x");
    }
    assert_int_equal(vc.vdev.ops->poll(&vc.vdev, 4), 4);
    assert_string_equal(said, "xxxx");
    assert_int_equal(vc.vdev.ops->poll(&vc.vdev, 64), 6);
}

/* Buffers for input are there all the time: no work, and no kick is wanted for them. */
static void buffers_for_input_are_no_work_until_there_is_some(void **state)
{
    (void)state;
    for (u32 i = 0; i < 4; i++) {
        guest_listens(100);
    }
    poll();
    assert_true(vdev_idle(&vc.vdev));
    assert_false(vdev_arm(&vc.vdev));
    assert_int_equal(vc.vdev.wake_ns, 0);
    assert_int_equal(taken(&rx), UINT32_MAX);
    vdev_disarm(&vc.vdev);
    assert_true(vconsole_input(&vc, "root\n", 5));
    assert_false(vdev_idle(&vc.vdev));
    assert_int_equal(poll(), 1);
    assert_int_equal(taken(&rx), 5);
    assert_int_equal(taken(&rx), UINT32_MAX);
    assert_true(vdev_idle(&vc.vdev));
}

static void input_fills_one_buffer_after_the_other(void **state)
{
    const struct driver_piece pair[] = {{driver_alloc(&rx, 2, 1), 2, true},
                                        {driver_alloc(&rx, 2, 1), 2, true}};
    char got[4];
    u64 last;

    (void)state;
    assert_true(vconsole_input(&vc, "abcdef", 6)); /* before the guest listens */
    assert_int_equal(poll(), 0);
    driver_offer(&rx, driver_chain(&rx, pair, 2));
    last = guest_listens(8);
    assert_int_equal(poll(), 2);
    assert_int_equal(taken(&rx), 4);
    assert_int_equal(taken(&rx), 2);
    arena_read(&arena, pair[0].addr, got, 2);
    arena_read(&arena, pair[1].addr, got + 2, 2);
    assert_memory_equal(got, "abcd", 4);
    arena_read(&arena, last, got, 3);
    assert_memory_equal(got, "ef\0", 3);
    assert_int_equal(vc.bytes_in, 6);
}

/* Input without a buffer: the guest is asked to kick when it has one. */
static void a_guest_with_input_and_no_buffer_is_asked_for_one(void **state)
{
    u64 enables = vc.vdev.queue[VCONSOLE_RX].vq.kick_enables;

    (void)state;
    assert_true(vconsole_input(&vc, "x", 1));
    poll();
    assert_false(vdev_arm(&vc.vdev));
    assert_int_equal(vc.vdev.queue[VCONSOLE_RX].vq.kick_enables, enables + 1);
    guest_listens(1);
    assert_true(vdev_arm(&vc.vdev));
    assert_int_equal(poll(), 1);
    assert_int_equal(taken(&rx), 1);
}

static void input_above_the_room_is_refused_whole(void **state)
{
    static const char text[VCONSOLE_INPUT_BYTES] = {'a'};

    (void)state;
    assert_true(vconsole_input(&vc, text, sizeof(text) - 1));
    assert_false(vconsole_input(&vc, "bc", 2));
    assert_true(vconsole_input(&vc, "b", 1));
    guest_listens(VCONSOLE_INPUT_BYTES + 10);
    poll();
    assert_int_equal(taken(&rx), VCONSOLE_INPUT_BYTES);
}

/* G-5.3.6.1-01, -02: the driver MUST NOT put buffers of the wrong direction into a queue. */
static void buffers_of_the_wrong_direction_are_given_back(void **state)
{
    struct driver_piece piece = {ARENA_BASE + KIB(512), 8, true};

    (void)state;
    driver_offer(&tx, driver_chain(&tx, &piece, 1));
    piece.write = false;
    driver_offer(&rx, driver_chain(&rx, &piece, 1));
    assert_true(vconsole_input(&vc, "x", 1));
    poll();
    assert_int_equal(taken(&tx), 0);
    assert_int_equal(taken(&rx), 0);
    assert_int_equal(vc.vdev.queue[VCONSOLE_TX].vq.dropped, 1);
    assert_int_equal(vc.vdev.queue[VCONSOLE_RX].vq.dropped, 1);
    assert_int_equal(said_bytes, 0);
    guest_listens(8); /* the input is still there */
    poll();
    assert_int_equal(taken(&rx), 1);
}

static void a_broken_ring_makes_it_ask_for_a_reset(void **state)
{
    (void)state;
    arena_put16(&arena, tx.avail + 2, 1000);
    poll();
    assert_true(driver_get(&rx, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_true(vconsole_input(&vc, "stale", 5));
    assert_int_equal(poll(), 0);
    start(UINT64_MAX);
    guest_listens(8);
    guest_says("again");
    poll();
    assert_string_equal(said, "again");
    assert_int_equal(taken(&rx), UINT32_MAX); /* typed for the last life */
}

/* D-5.3.5.1-01: the device MUST allow a write to emerg_wr, even on an unconfigured device. */
static void an_emergency_write_needs_no_driver(void **state)
{
    u64 data = 0x1234500 | 'P';

    (void)state;
    assert_int_equal(driver_get(&rx, REG_STATUS), 0);
    driver_set(&rx, EMERG_WR, data);
    vmmio_access(&mmio, EMERG_WR, 1, true, &(u64){'!'});
    assert_string_equal(said, "P!");
    driver_set(&rx, REG_CONFIG, 'n');
    vmmio_access(&mmio, EMERG_WR + 1, 1, true, &data);
    vmmio_access(&mmio, EMERG_WR, 8, true, &data); /* reaches past the end of the space */
    assert_string_equal(said, "P!");
    assert_int_equal(driver_get(&rx, EMERG_WR), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_a_console_with_one_port),
        TEST(what_the_guest_says_reaches_the_sink_and_its_buffer_comes_back),
        TEST(a_long_buffer_is_cut_and_the_rest_is_counted),
        TEST(output_ends_at_what_is_no_memory),
        TEST(a_turn_keeps_to_its_budget),
        TEST(buffers_for_input_are_no_work_until_there_is_some),
        TEST(input_fills_one_buffer_after_the_other),
        TEST(a_guest_with_input_and_no_buffer_is_asked_for_one),
        TEST(input_above_the_room_is_refused_whole),
        TEST(buffers_of_the_wrong_direction_are_given_back),
        TEST(a_broken_ring_makes_it_ask_for_a_reset),
        cmocka_unit_test_setup_teardown(an_emergency_write_needs_no_driver, bare, done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
