/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * types.h - the words every room speaks. Start reading here.
 *
 * Three kinds of number must not be mixed up, so each has a type of its own:
 *   gpa_t    an address as a guest gave it; only gmem_span() turns it into bytes
 *   le16_t.. a little-endian word in a wire structure; only le*_get() turns it into a number
 *   span     a piece of memory we may touch, with the address a DMA device must be told
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef size_t usize;

/** A guest-physical (or grant-coded) address: foreign, unchecked. */
typedef struct {
    u64 v;
} gpa_t;

/** Part of a buffer, as handed out by gmem_span(); valid until gmem_release(). */
struct span {
    u8 *base;  /* our pointer */
    u64 bus;   /* the address a DMA device must be told for the same byte */
    u32 bytes; /* length, never 0 */
    u32 tag;   /* the gmem that made it: what to release */
};

/* Little-endian wire words [VIRTIO 1.4]. The build supports little-endian machines only. */
typedef struct {
    u16 raw;
} le16_t;
typedef struct {
    u32 raw;
} le32_t;
typedef struct {
    u64 raw;
} le64_t;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "le*_get() relies on it");

static inline u16 le16_get(le16_t w)
{
    return w.raw;
}

static inline u32 le32_get(le32_t w)
{
    return w.raw;
}

static inline u64 le64_get(le64_t w)
{
    return w.raw;
}

static inline le16_t le16_make(u16 v)
{
    return (le16_t){v};
}

static inline le32_t le32_make(u32 v)
{
    return (le32_t){v};
}

static inline le64_t le64_make(u64 v)
{
    return (le64_t){v};
}

/** Off the way of a request: never inlined into it, and compiled for size. */
#define COLD __attribute__((noinline, cold))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT32(n)     (UINT32_C(1) << (n))
#define BIT64(n)     (UINT64_C(1) << (n))
#define KIB(n)       ((u64)(n) << 10)
#define MIB(n)       ((u64)(n) << 20)

/* The releases of clang-format do not agree where this minus has blanks. */
/* clang-format off */
#define container_of(ptr, type, member) ((type *)(void *)((u8 *)(ptr) - offsetof(type, member)))
/* clang-format on */
