/*
 * What a port does for the core on one board. Everything else in here is the same on all of them.
 *
 * The core runs in one thread. Bytes that arrive while it is busy (in an operator, for seconds) have to be
 * kept by the port: in a ring that an interrupt fills, or in a driver's buffer.
 */
#ifndef BENCH_PORT_H
#define BENCH_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flash memory that may hold models, each at the start of an erase block, mapped to where it can be read. */
struct flash_window {
    const uint8_t *bytes;
    uint32_t address; /* of the first byte, as the flashing tool counts */
    uint32_t size;
    uint32_t block; /* bytes of an erase block */
};

struct port {
    const char *board;
    bool emulated;             /* times are not those of a board: the host is told so */
    uint32_t boot;             /* differs from the last boot's */
    uint32_t clock_hz;         /* of the core */
    uint32_t tick_hz;          /* of port_ticks */
    uint32_t resolution_ticks; /* smallest step of port_ticks */
    uint32_t receive_buffer;   /* bytes from the line that are kept while the core is busy; at least 1024 */
    struct flash_window flash;
    uint8_t *arena; /* 16-byte aligned */
    uint32_t arena_size;
    uint8_t *inputs; /* where input tensors are kept between invokes; 16-byte aligned */
    uint32_t inputs_size;
};

/* Makes the board ready and returns what it is; what this points to stays. */
const struct port *port_start(void);

/* Takes up to `limit` bytes that have arrived, without waiting. */
size_t port_read(uint8_t *bytes, size_t limit);

/* Sends bytes; returns once they need the processor no more, so that none of this falls into an invoke. */
void port_write(const uint8_t *bytes, size_t length);

/* Called when there is nothing to do: may sleep until bytes arrive, may return at once. */
void port_wait(void);

/* A counter that runs freely at tick_hz and does not wrap. */
uint64_t port_ticks(void);

/*
 * Called between invokes, between operators if the engine lets the core attend there, with each piece of text that is
 * said, and at least once a turn: all is well. A watchdog resets the board without it.
 */
void port_alive(void);

/* Resets the board as soon as what was written is out; does not return. */
void port_reset(void);

/* Bytes of heap left, and the most bytes of stack that were ever in use; NOT_KNOWN where that is so. */
uint32_t port_heap_free(void);
uint32_t port_stack_used(void);

#ifdef __cplusplus
}
#endif

#endif
