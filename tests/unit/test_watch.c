/* SPDX-License-Identifier: BSD-2-Clause */
/* test_watch.c - the list finds what waits in any queue of any device, and nothing else. */
#include "virtio/watch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DEVICES 3

static struct watch watch;
static struct vdev dev[DEVICES];
static u8 avail_idx[DEVICES][VQ_PER_DEVICE][2];

static int fresh(void **state)
{
    static const struct vdev_ops ops;

    (void)state;
    watch_clear(&watch);
    for (u32 d = 0; d < DEVICES; d++) {
        vdev_init(&dev[d], &(struct vdev_init){.ops = &ops,
                                               .name = "watched",
                                               .queue_count = (u16)(d + 1),
                                               .queue_size_max = 4});
        for (u32 q = 0; q <= d; q++) {
            store_u16(avail_idx[d][q], 0);
            dev[d].queue[q].vq.look_at = avail_idx[d][q];
            dev[d].queue[q].vq.look_mask = UINT16_MAX;
        }
        watch_add(&watch, &dev[d]);
    }
    return 0;
}

static void nothing_waits_in_idle_queues(void **state)
{
    (void)state;
    assert_int_equal(watch.count, 1 + 2 + 3);
    assert_false(watch_found(&watch));
}

static void a_chain_in_any_queue_is_found(void **state)
{
    (void)state;
    for (u32 d = 0; d < DEVICES; d++) {
        for (u32 q = 0; q <= d; q++) {
            store_u16(avail_idx[d][q], 1);
            assert_true(watch_found(&watch));
            dev[d].queue[q].vq.next = 1;
            assert_false(watch_found(&watch));
        }
    }
}

static void what_rests_is_not_found_until_its_rest_is_over(void **state)
{
    (void)state;
    dev[1].queue[1].resting = true;
    store_u16(avail_idx[1][1], 1);
    assert_false(watch_found(&watch));
    dev[1].queue[1].resting = false;
    assert_true(watch_found(&watch));
}

static void an_empty_list_finds_nothing(void **state)
{
    (void)state;
    store_u16(avail_idx[0][0], 1);
    watch_clear(&watch);
    assert_false(watch_found(&watch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_waits_in_idle_queues, fresh),
        cmocka_unit_test_setup(a_chain_in_any_queue_is_found, fresh),
        cmocka_unit_test_setup(what_rests_is_not_found_until_its_rest_is_over, fresh),
        cmocka_unit_test_setup(an_empty_list_finds_nothing, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
