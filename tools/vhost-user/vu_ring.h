/* SPDX-License-Identifier: BSD-2-Clause */
/* vu_ring.h - the rings of a session: when they run, where they stop. plane: control */
#pragma once

#include "tools/vhost-user/vu_session.h"

/* Messages about one ring. ST_INVAL when the index is not one of ours or the value makes no sense.
 */
enum status vu_ring_set_size(struct vu_session *s, const struct vu_vring_state *state,
                             const char **why);
enum status vu_ring_set_addr(struct vu_session *s, const struct vu_vring_addr *addr,
                             const char **why);
enum status vu_ring_set_base(struct vu_session *s, const struct vu_vring_state *state,
                             const char **why);
enum status vu_ring_enable(struct vu_session *s, const struct vu_vring_state *state,
                           const char **why);
/* These three own fd, also when they fail. */
enum status vu_ring_set_kick(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                             const char **why);
enum status vu_ring_set_call(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                             const char **why);
enum status vu_ring_set_err(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                            const char **why);
/** Stop the ring until a new kick descriptor comes; state->num becomes where it stopped. */
enum status vu_ring_stop_for_good(struct vu_session *s, struct vu_vring_state *state,
                                  const char **why);

/** Start what may run, stop what may not. ST_OK, or the first failure with *why. */
enum status vu_rings_update(struct vu_session *s, const char **why);
/** Stop all where they are; vu_rings_update() goes on. Nothing is in flight or pinned afterwards.
 */
void vu_rings_stop(struct vu_session *s);
/** Stop all until each is enabled again. */
void vu_rings_disable(struct vu_session *s);
/** Stop all and forget what the front end said about them. */
void vu_rings_forget(struct vu_session *s);

/** Signal the driver: the ring has used buffers. */
void vu_ring_call(struct vu_session *s, u32 index);
/** Signal the front end of every ring that is broken. */
void vu_rings_tell_errors(struct vu_session *s);
