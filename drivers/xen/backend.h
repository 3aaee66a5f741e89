/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h - the toolstack's side: which guest wants which device of us.         plane: control
 *
 * Watches our own `backend` directory in xenstore, keeps one state machine per device directory, reads
 * its keys, and calls the handlers that start/attach.c gave. Knows no virtio. Everything is asynchronous:
 * a guest whose directory is nonsense or whose toolstack is slow holds up nobody.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

/** What a device directory said, checked. */
struct backend_request {
    u16 domid;       /* the front end's domain */
    u32 devid;       /* last component of the directory */
    u32 device_type; /* virtio device id; 2 = block [VIRTIO 5] */
    u64 mmio_base;   /* guest-physical base of its 0x200 byte register window */
    u32 irq;         /* SPI number, 32.. */
    bool read_only;  /* mode = r */
    bool grants;     /* grant_usage = 1 */
    char target[DISK_NAME_MAX]; /* params; "" when the directory has none */
};

struct backend_ops {
    /**
     * Make the device. When this returns ST_OK the guest may be started at once: the window is claimed
     * and answers. *handle is given back to detach. Any other status: the directory stays away from
     * InitWait; the reason has been logged by the handler.
     */
    enum status (*attach)(void *ctx, const struct backend_request *request, void **handle);
    /** The device goes (toolstack or guest death): let go of everything of it. */
    void (*detach)(void *ctx, void *handle);
};

/* --- the state machine of one device directory -------------------------------------------------
 *
 *   FREE -> READING -> ANNOUNCING -> CONNECTED -> CLOSING -> LINGER -> REMOVING -> FREE
 *              |                         ^ state 2, then 4, each in a transaction that first
 *              v                           reads the directory, so that a removed one stays removed
 *           REFUSED -- the directory changes --> READING
 *
 * The toolstack ends a device by online = 0 and state 5; a dead guest or a vanished directory ends it too.
 * libxl reads state 6 before it waits for the directory to go, and calls it an error when it goes first:
 * hence LINGER.
 */
#define BACKEND_LINGER_NS   UINT64_C(250000000) /* state 6 stays readable this long */
#define BACKEND_TX_TRIES    8                   /* a transaction is repeated this often on EAGAIN */
#define BACKEND_LIST_BYTES  4096                /* one directory listing [XENSTORE] payload */
#define BACKEND_TYPE_MAX    4                   /* device types: rows of the table in backend.c */

enum backend_state {
    BE_FREE,
    BE_READING,    /* keys asked for */
    BE_REFUSED,    /* not served; waits for the directory to change */
    BE_ANNOUNCING, /* attached; writing state 2, then 4 */
    BE_CONNECTED,
    BE_CLOSING,    /* detached; writing state 6 */
    BE_LINGER,     /* state 6 is readable; the directory goes at the deadline */
    BE_REMOVING,   /* rm sent */
};

struct xs;

struct backend_device {
    enum backend_state state;
    u8 type;        /* row of the type table */
    u16 domid;
    u32 devid;
    u32 seen;       /* scan that last found the directory */
    u32 waiting;    /* answers outstanding; the slot is not reused before they came */
    u8 key_next;    /* READING: next key to ask for */
    u8 step;        /* transaction step */
    u8 tries;
    u8 write_state; /* state being written */
    u32 tx;
    bool changed;   /* look at the directory again */
    bool bad;       /* a key was refused: the reason is logged */
    bool gone;      /* the directory is not there */
    bool dead;      /* the guest is gone */
    bool attached;
    u64 deadline_ns;
    void *handle;
    struct backend_request request;
};

struct backend {
    struct xs *xs;
    const struct backend_ops *ops;
    void *ctx;
    struct backend_device device[DEVICES_MAX];
    /* the scan of the backend directory, one request at a time */
    bool scan_wanted, scan_busy, domains_changed, started;
    u32 scan;           /* number of the running scan */
    u8 scan_type;       /* type table row being listed */
    u32 list_bytes, list_at;
    u8 list[BACKEND_LIST_BYTES];
    bool busy;          /* something may be done without waiting for an answer */
    u32 watches;        /* watches placed */
    u64 attaches, detaches, refusals;
};

/** ops and ctx are kept. Watches are placed by the first polls. */
void backend_init(struct backend *be, struct xs *xs, const struct backend_ops *ops, void *ctx);

/** For start/poll.h; ctx is the struct backend. It is woken by xs. */
u32 backend_poll(void *ctx, u32 budget);
u64 backend_deadline_ns(void *ctx);

/** Devices that are attached now. */
u32 backend_attached(const struct backend *be);
