/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq_order.c - VIRTIO_F_IN_ORDER: buffers go back in the order they were offered in.
 *
 * A medium completes as it likes. What is returned before its turn waits in a small table, so no
 * more requests of such a queue are taken than the table has places.
 *
 * Consecutive requests share one element, which names the last of them: the driver knows how many
 * it stands for, and takes those before it as used completely. [VIRTIO 2.7.9, 2.8.9] So only one
 * that was used completely may be skipped. With a journal none is: it finds each in the ring.
 */
#include "start/base/check.h"
#include "virtio/virtq_inner.h"

STATIC_CHECK(VQ_ORDER_MAX <= 32, "done and whole have 32 bits");

COLD void order_start(struct virtq *vq, u16 first)
{
    vq->order.turn = first;
    vq->order.done = 0;
    vq->order.held = 0;
    vq->order.open = false;
}

COLD void order_close(struct virtq *vq)
{
    struct virtq_order *order = &vq->order;

    if (!order->open) {
        return;
    }
    order->open = false;
    if (vq->packed) {
        packed_stage(vq, order->last);
    } else {
        order->held = (u16)(order->held - order->last.span);
        vq_split_stage(vq, order->last);
    }
}

/** It is the turn of this one. */
static void order_next(struct virtq *vq, struct virtq_element element, bool whole)
{
    struct virtq_order *order = &vq->order;
    struct virtq_element last = element;

    if (order->open && order->open_whole) {
        last.span = (u16)(last.span + order->last.span);
    } else {
        order_close(vq);
    }
    order->last = last;
    order->open = true;
    order->open_whole = whole && !virtq_has_journal(vq);
}

COLD void order_return(struct virtq *vq, u16 number, struct virtq_element element, bool whole)
{
    struct virtq_order *order = &vq->order;
    u32 at = number % VQ_ORDER_MAX;

    CHECK((u16)(number - order->turn) < VQ_ORDER_MAX && !(order->done & BIT32(at)));
    order->entry[at] = element;
    order->done |= BIT32(at);
    order->whole = (order->whole & ~BIT32(at)) | (u32)whole << at;
    order->held = (u16)(order->held + !vq->packed);
    for (at = order->turn % VQ_ORDER_MAX; order->done & BIT32(at);
         at = order->turn % VQ_ORDER_MAX) {
        order->done &= ~BIT32(at);
        order->turn++;
        order_next(vq, order->entry[at], (order->whole >> at & 1) != 0);
    }
}

COLD void order_stop(struct virtq *vq)
{
    vq->used_next = (u16)(vq->used_next + vq->order.held);
    order_start(vq, 0);
}
