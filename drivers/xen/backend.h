/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h - the toolstack's side: which guest wants which device of us.         plane: control
 *
 * Watches our own `backend` directory in xenstore, keeps one state machine per device directory,
 * reads its keys, and calls the handlers that start/attach.c gave. Knows no virtio and no ring.
 * Everything is asynchronous: a guest whose directory is nonsense or whose toolstack is slow holds
 * up nobody.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/log.h"
#include "start/base/status.h"
#include "start/base/types.h"

/**
 * How much the device may be asked for, as its directory says: limit-iops and limit-bytes, per
 * second, 0 for no limit; limit-burst, milliseconds of that at once. A key that is not there is
 * BACKEND_LIMIT_UNSAID.
 */
struct backend_limits {
    u64 iops, bytes, burst_ms;
};

#define BACKEND_LIMIT_UNSAID     UINT64_MAX
#define BACKEND_LIMIT_IOPS_MAX   UINT64_C(100000000)
#define BACKEND_LIMIT_BYTES_MAX  UINT64_C(10000000000)
#define BACKEND_LIMIT_BURST_MS   100 /* when nothing is said: a tenth of a second */
#define BACKEND_LIMIT_BURST_LAST 10000

/** What a device directory said, checked. */
struct backend_request {
    u16 domid;                  /* the front end's domain */
    u32 devid;                  /* last component of the directory */
    u32 device_type;            /* virtio device id; 2 = block [VIRTIO 5] */
    u64 mmio_base;              /* guest-physical base of its 0x200 byte register window */
    u32 irq;                    /* SPI number, 32.. */
    bool read_only;             /* mode = r */
    bool grants;                /* grant_usage = 1 */
    bool pv_block;              /* the front end speaks Xen's PV block protocol, not virtio */
    bool no_discard;            /* discard-enable = 0 */
    char target[DISK_NAME_MAX]; /* params; "" when the directory has none */
};

#define BACKEND_FRONT_RINGS    4 /* multi-queue-max-queues */
#define BACKEND_FRONT_PAGES    4 /* of a ring: max-ring-page-order 2 */
#define BACKEND_FRONT_PROTOCOL 12

/** What a PV front end said about its rings. The numbers are the guest's own: anything. */
struct backend_front {
    u32 rings, pages; /* checked: 1 .. BACKEND_FRONT_RINGS, a power of two .. BACKEND_FRONT_PAGES */
    bool numbered;    /* its keys are ring-ref0, ring-ref1, ... */
    bool persistent;  /* it uses the same grants again and again */
    char protocol[BACKEND_FRONT_PROTOCOL]; /* "" when it did not say */
    u32 ref[BACKEND_FRONT_RINGS][BACKEND_FRONT_PAGES];
    u32 port[BACKEND_FRONT_RINGS];
};

/** A key that goes with a state. */
struct backend_pair {
    char name[32];
    char value[24];
};

struct backend_ops {
    /**
     * Make the device. When this returns ST_OK the guest may be started at once: the window is
     * claimed and answers. *handle is given back to detach. Any other status: the directory stays
     * away from InitWait; the reason has been logged by the handler.
     */
    enum status (*attach)(void *ctx, const struct backend_request *request, void **handle);
    /** The device goes (toolstack or guest death): let go of everything of it. */
    void (*detach)(void *ctx, void *handle);
    /** False once the guest is being destroyed, or its PV front end has closed its event channel:
     * asked every BACKEND_PROBE_NS. NULL: the toolstack tells. */
    bool (*alive)(void *ctx, void *handle);
    /** These are the limits: after attach, and when the directory says others. NULL: there are
     * none.
     */
    void (*limit)(void *ctx, void *handle, const struct backend_limits *limits);
    /* of devices with pv_block; NULL when there are none */
    /** Key i that goes with state InitWait (what is offered) or Connected (what the disk is). False
     * behind the last. */
    bool (*pair)(void *ctx, void *handle, bool connected, u32 i, struct backend_pair *pair);
    /** Serve these rings. Any status but ST_OK: they cannot be served, and a line has said why. */
    enum status (*connect)(void *ctx, void *handle, const struct backend_front *front);
    /** The front end has gone: let go of its rings. True when that is done: asked until then. */
    bool (*disconnect)(void *ctx, void *handle);
};

/* --- the state machine of one device directory -------------------------------------------------
 *
 *   FREE -> READING -> ANNOUNCING -> CONNECTED -> CLOSING -> LINGER -> REMOVING -> FREE
 *              |       writes 2      (then 4)     writes 6            removes the directory
 *              v
 *           REFUSED -- the directory changes --> READING
 *
 * A state is written in a transaction that reads it first, so that a directory which the toolstack
 * removed meanwhile is not made anew. The toolstack ends a device by online = 0 and state 5; a dead
 * guest or a vanished directory ends it too, and state 1 under a connected device means that the
 * directory was removed and made again between two looks.
 *
 * In CONNECTED a PV front end has states of its own, in its own directory, and we answer them:
 *
 *   WAIT    -- its state is 3 or 4 --> FETCH (its keys) --> rings are mapped --> UP  writes 4
 *   UP      -- 5 --> writes 5, serves on     -- 6, 1, or it is gone --> STOP --> CLOSED  writes 6
 *           -- its event channel is closed, before it says so or because its guest died --> STOP
 *   CLOSED  -- 1 --> WAIT  writes 2
 *
 * When the toolstack wants the device gone the front end is given the time that it takes to close:
 * libxl removes the front end's directory when it takes longer than libxl waits.
 *
 * libxl waits for exactly 2 (at most 10 s) and for exactly 6, reads the value some time after it
 * was told, and takes a later value or a missing directory for failure. Hence 4 comes only when the
 * guest is known to run or BACKEND_INITWAIT_NS is over. And 6 stays for BACKEND_LINGER_LOOKS looks
 * of ours, BACKEND_LINGER_NS apart: xenstored and the toolstack share Dom0, so where its answers
 * are slow the toolstack gets more time.
 */
#define BACKEND_INITWAIT_NS  UINT64_C(15000000000) /* longer than libxl waits for state 2 */
#define BACKEND_LINGER_NS    UINT64_C(10000000)    /* between looks at state 6 */
#define BACKEND_LINGER_LOOKS 16 /* then the directory goes: after 0.16 s at least */
#define BACKEND_PROBE_NS     UINT64_C(2000000000) /* a guest's death is noticed within this time */
#define BACKEND_RETRY_NS     UINT64_C(1000000000) /* xenstore had no room: asked again */
#define BACKEND_HOLD_NS      UINT64_C(20000000)   /* PV: 2 stays this long, so that libxl sees it */
#define BACKEND_STOP_NS      UINT64_C(1000000)    /* PV: between looks whether the medium let go */
#define BACKEND_TX_TRIES     8    /* a transaction is repeated this often on EAGAIN */
#define BACKEND_LIST_BYTES   4096 /* one directory listing: the protocol's payload */

enum backend_state {
    BE_FREE,
    BE_READING,    /* keys asked for */
    BE_REFUSED,    /* not served; waits for the directory to change */
    BE_ANNOUNCING, /* attached; writing state 2 */
    BE_CONNECTED,  /* served; state 4 is written when due */
    BE_CLOSING,    /* detached; writing state 6 */
    BE_LINGER,     /* state 6 is readable, and looked at now and then */
    BE_REMOVING,   /* removing the directory */
    BE_UNWATCHING, /* all is gone but the watch of its front end */
};

/** Of a PV front end, in BE_CONNECTED. */
enum front_state { FRONT_WAIT, FRONT_FETCH, FRONT_UP, FRONT_STOP, FRONT_CLOSED };

/** What is being fetched from the directory. */
enum backend_fetch { BE_FETCH_NONE, BE_FETCH_CHECK, BE_FETCH_ALL, BE_FETCH_LIMITS };

struct xs;
struct backend;

struct backend_device {
    struct backend *be;
    enum backend_state state;
    enum backend_fetch fetch;
    u8 type;        /* row of the type table */
    u8 key_next;    /* next key to ask for */
    u8 tries;       /* of the running transaction */
    u8 looks;       /* LINGER: looks since state 6 was written */
    u8 writing;     /* state the running transaction writes; 0: none runs */
    u8 tx_step;     /* its step */
    bool tx_unsent; /* there was no room for that step's request yet */
    u8 found_state; /* state and online as last read; state 0: none */
    bool found_online;
    bool changed; /* look at the directory again */
    bool relimit; /* look at its limits again */
    bool again;   /* an answer timed out */
    bool bad;     /* a key was refused; the reason is logged */
    u8 missing;   /* key that is not there, counted from 1; 0: none */
    bool attached;
    bool announced; /* state 4 was written or need not be */
    /* PV */
    enum front_state front;
    u8 front_found;     /* the front end's state as last read; 0: none, or nonsense */
    u8 front_write;     /* state to be written as soon as may be; 0: none */
    u8 front_key;       /* FETCH: key that is awaited or asked for next */
    bool front_watched; /* there is a watch */
    bool front_changed; /* look at its state */
    bool front_unsent;  /* there was no room for a request */
    bool front_bad;     /* FETCH: a key makes no sense */
    struct log_limit front_log;
    bool front_told; /* UP: that we saw its state 5, or that it cannot be served */
    bool leaving;    /* the toolstack wants the device gone */
    bool renew;      /* what goes with state 4 is to be written again */
    u8 tx_pair;      /* of the running transaction: key that is written */
    u8 written;      /* state that we wrote last; 0: none */
    u32 waiting;     /* answers outstanding; the slot is not reused before they came */
    u32 seen;        /* scan that last found the directory */
    u32 tx;
    u64 deadline_ns;
    void *handle;
    struct backend_request request;
    struct backend_limits limits;
};

struct backend {
    struct xs *xs;
    const struct backend_ops *ops;
    void *ctx;
    const struct backend_ops *pv_ops; /* NULL: PV front ends are not served */
    void *pv_ctx;
    struct backend_device device[DEVICES_MAX];
    /* the scan of the backend directory: one request at a time */
    bool watching, scan_wanted, scan_busy, full_said;
    u32 scan;        /* number of the running scan */
    u8 scan_type;    /* type table row being listed */
    bool scan_inner; /* the listing that is awaited is of one guest */
    u16 scan_domid;
    u32 list_bytes, list_at; /* guests of the row */
    u8 list[BACKEND_LIST_BYTES];
    bool busy;                           /* something changed: step all */
    struct backend_device *tx_device;    /* whose transaction runs */
    struct backend_device *front_device; /* whose front end is in FETCH */
    struct backend_front front;          /* what that one said so far */
    u64 probe_ns;                        /* when to ask next whether the guests live */
    u64 deadline_ns;
    u32 attached;
    u64 attaches, detaches, refusals; /* counters since start */
};

/** ops and ctx are kept. The watch is placed by the first poll. */
void backend_init(struct backend *be, struct xs *xs, const struct backend_ops *ops, void *ctx);

/** Serve PV front ends too, by these handlers: ops with pair, connect and disconnect. */
void backend_serve_pv(struct backend *be, const struct backend_ops *ops, void *ctx);

/** For start/poll.h; ctx is the struct backend. It needs no arming: xs wakes it. */
u32 backend_poll(void *ctx, u32 budget);
u64 backend_deadline_ns(void *ctx);

/** What goes with state Connected has changed (the size of a disk): the front end is told. */
void backend_renew(struct backend *be, const void *handle);

/** The guest has touched the device of this handle, so it runs: state 4 need not wait. Optional. */
void backend_in_use(struct backend *be, void *handle);
