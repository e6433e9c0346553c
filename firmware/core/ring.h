/* Bytes from an interrupt that receives to the core: one side puts, the other takes, neither waits. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *bytes;
    uint32_t size; /* a power of two */
    _Atomic uint32_t put;
    _Atomic uint32_t taken;
};

/* Keeps a byte; false where there is no room, and it is lost. */
static inline bool ring_put(struct ring *ring, uint8_t byte)
{
    uint32_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);

    if (put - atomic_load_explicit(&ring->taken, memory_order_acquire) == ring->size) {
        return false;
    }
    ring->bytes[put & (ring->size - 1)] = byte;
    atomic_store_explicit(&ring->put, put + 1, memory_order_release);
    return true;
}

/* Takes up to `limit` bytes. */
static inline size_t ring_take(struct ring *ring, uint8_t *bytes, size_t limit)
{
    uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    uint32_t there = atomic_load_explicit(&ring->put, memory_order_acquire) - taken;
    size_t count = there < limit ? there : limit;

    for (size_t i = 0; i < count; i++) {
        bytes[i] = ring->bytes[(taken + i) & (ring->size - 1)];
    }
    atomic_store_explicit(&ring->taken, taken + (uint32_t)count, memory_order_release);
    return count;
}

#endif
