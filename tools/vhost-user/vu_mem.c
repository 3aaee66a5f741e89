/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_mem.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "start/base/arith.h"
#include "start/base/check.h"

STATIC_CHECK(VU_SLOTS_MAX <= 256, "order[] holds slot numbers in a byte");

/* Every vu_mem of the process, for the signal handler. Filled before the handler can run. */
static struct vu_mem *mems[VU_MEMS_MAX];
static u32 mem_count;

/* The place in order[] of the last region that begins at or before addr; count when there is none.
 */
static u32 order_before(const struct vu_mem *mem, u64 addr)
{
    u32 low = 0, high = mem->count;

    while (low < high) {
        u32 mid = low + (high - low) / 2;

        if (mem->slot[mem->order[mid]].region.guest <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == 0 ? mem->count : low - 1;
}

/* gmem's question. Runs are whole regions, so that the inline hits of gmem serve most requests. */
static enum status mem_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                            struct gmem_hit *run)
{
    struct vu_mem *mem = container_of(gm, struct vu_mem, gm);
    u32 at = order_before(mem, addr);
    const struct vu_slot *slot;

    (void)bytes;
    (void)dir;
    if (at == mem->count || mem->broken) {
        return ST_GUEST;
    }
    slot = &mem->slot[mem->order[at]];
    if (addr - slot->region.guest >= slot->region.bytes) {
        return ST_GUEST;
    }
    *run = (struct gmem_hit){
        .first = slot->region.guest,
        .bytes = slot->region.bytes,
        .base = slot->base,
        .bus = (u64)(uintptr_t)slot->base,
        .tag = mem->order[at],
        .writable = true,
    };
    return ST_OK;
}

static const struct gmem_ops mem_ops = {.find = mem_find};

void vu_mem_init(struct vu_mem *mem)
{
    CHECK(mem_count < VU_MEMS_MAX);
    memset(mem, 0, sizeof(*mem));
    gmem_init(&mem->gm, &mem_ops, mem->pins);
    mems[mem_count++] = mem;
}

static bool overlap(u64 a, u64 a_bytes, u64 b, u64 b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

static const char *region_wrong(const struct vu_mem *mem, const struct vu_region *r)
{
    u64 end;

    if (r->bytes == 0) {
        return "the memory region is empty";
    }
    if (!add_ok_u64(r->guest, r->bytes, &end) || !add_ok_u64(r->user, r->bytes, &end) ||
        !add_ok_u64(r->offset, r->bytes, &end) || end > INT64_MAX) {
        return "the memory region wraps around the end of the address space";
    }
    for (u32 i = 0; i < mem->count; i++) {
        const struct vu_region *other = &mem->slot[mem->order[i]].region;

        if (overlap(r->guest, r->bytes, other->guest, other->bytes) ||
            overlap(r->user, r->bytes, other->user, other->bytes)) {
            return "the memory region overlaps one that is mapped already";
        }
    }
    return NULL;
}

/* Map the file's pages that hold the region. Huge pages are mapped whole: st_blksize is their size.
 */
static const char *region_map(struct vu_slot *slot, const struct vu_region *r, int fd)
{
    struct stat st;
    u64 page = (u64)sysconf(_SC_PAGESIZE);
    u64 first, bytes;
    void *map;

    if (fstat(fd, &st) != 0 || st.st_size < 0) {
        return "the memory region's descriptor is not a file that can be mapped";
    }
    if (!range_ok(r->offset, r->bytes, (u64)st.st_size)) {
        return "the memory region is larger than the file behind it";
    }
    if (st.st_blksize > 0 && is_pow2((u64)st.st_blksize) && (u64)st.st_blksize > page) {
        page = (u64)st.st_blksize;
    }
    first = align_down(r->offset, page);
    bytes = align_up(r->offset + r->bytes - first, page);
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)first);
    if (map == MAP_FAILED) {
        return "the system refuses to map the memory region for reading and writing";
    }
    madvise(map, bytes, MADV_DONTDUMP);
    *slot = (struct vu_slot){
        .region = *r,
        .base = (u8 *)map + (r->offset - first),
        .map = map,
        .map_bytes = bytes,
    };
    return NULL;
}

static u32 slot_free(const struct vu_mem *mem)
{
    for (u32 i = 0; i < VU_SLOTS_MAX; i++) {
        if (!mem->slot[i].base) {
            return i;
        }
    }
    panic("vu_mem: count says there is a free slot, and there is none");
}

enum status vu_mem_add(struct vu_mem *mem, const struct vu_region *region, int fd, const char **why)
{
    u32 slot, at;

    *why = region_wrong(mem, region);
    if (*why) {
        return ST_INVAL;
    }
    if (mem->count == VU_SLOTS_MAX) {
        *why = "all 128 memory slots are in use";
        return ST_FULL;
    }
    slot = slot_free(mem);
    *why = region_map(&mem->slot[slot], region, fd);
    if (*why) {
        return ST_IO;
    }
    at = order_before(mem, region->guest);
    at = at == mem->count ? 0 : at + 1;
    memmove(&mem->order[at + 1], &mem->order[at], mem->count - at);
    mem->order[at] = (u8)slot;
    mem->count++;
    gmem_forget(&mem->gm);
    return ST_OK;
}

static void remove_at(struct vu_mem *mem, u32 at)
{
    struct vu_slot *slot = &mem->slot[mem->order[at]];

    CHECK(mem->pins[mem->order[at]] == 0);
    gmem_forget(&mem->gm);
    munmap(slot->map, slot->map_bytes);
    memset(slot, 0, sizeof(*slot));
    memmove(&mem->order[at], &mem->order[at + 1], mem->count - at - 1);
    mem->count--;
}

enum status vu_mem_remove(struct vu_mem *mem, const struct vu_region *region)
{
    for (u32 at = 0; at < mem->count; at++) {
        const struct vu_region *r = &mem->slot[mem->order[at]].region;

        if (r->guest == region->guest && r->user == region->user && r->bytes == region->bytes) {
            remove_at(mem, at);
            return ST_OK;
        }
    }
    return ST_NOENT;
}

void vu_mem_clear(struct vu_mem *mem)
{
    while (mem->count > 0) {
        remove_at(mem, mem->count - 1);
    }
    mem->broken = 0;
}

u32 vu_mem_pinned(const struct vu_mem *mem)
{
    u32 pinned = 0;

    for (u32 i = 0; i < VU_SLOTS_MAX; i++) {
        pinned += mem->pins[i];
    }
    return pinned;
}

bool vu_mem_user_to_guest(const struct vu_mem *mem, u64 user, u64 *guest)
{
    for (u32 i = 0; i < mem->count; i++) {
        const struct vu_region *r = &mem->slot[mem->order[i]].region;

        if (user >= r->user && user - r->user < r->bytes) {
            *guest = r->guest + (user - r->user);
            return true;
        }
    }
    return false;
}

/*
 * Only system calls and plain stores in here. slot[] may be half written by the code that the
 * signal interrupted; that code touches no guest memory, so the slot that faulted is never the one
 * being written.
 */
static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    const u8 *addr = info->si_addr;
    u64 page = (u64)sysconf(_SC_PAGESIZE);

    (void)context;
    for (u32 m = 0; m < mem_count; m++) {
        for (u32 i = 0; i < VU_SLOTS_MAX; i++) {
            const struct vu_slot *slot = &mems[m]->slot[i];

            if (!slot->base || addr < slot->map || addr >= slot->map + slot->map_bytes) {
                continue;
            }
            mems[m]->broken = 1;
            if (mmap((void *)((uintptr_t)addr & ~(page - 1)), page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
                return;
            }
        }
    }
    /* Not a guest's doing: let it end us as it would have. */
    signal(signal_number, SIG_DFL);
}

enum status vu_mem_guard(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGBUS, &action, NULL) == 0 ? ST_OK : ST_IO;
}
