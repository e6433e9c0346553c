/*
 * The firmware as a library, for tests: the line is two arrays of bytes and time is a number that the test sets.
 *
 * There is one device at a time. What it says between two calls of sim_take waits.
 */
#ifndef BENCH_SIMULATED_H
#define BENCH_SIMULATED_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts the device over, with `flash_size` bytes of flash at `flash`, which it does not copy. */
void sim_boot(uint32_t boot, const uint8_t *flash, uint32_t flash_size, uint32_t arena_size,
              uint32_t inputs_size);

/* Lets bytes arrive. */
void sim_receive(const uint8_t *bytes, size_t length);

/* Lets the core take a turn; returns whether it had anything to do. */
bool sim_turn(void);

/* Takes up to `limit` bytes of what the device has said. */
size_t sim_take(uint8_t *bytes, size_t limit);

/*
 * Has `does` called when the core finds nothing on the line or has said something, during an invoke or a text `infer`.
 * It may let bytes arrive, and may jump out, to boot the device.
 */
void sim_on_look(void (*does)(void));

/* Sets the counter on, which goes up a little with each look at it. */
void sim_set_ticks(uint64_t now);
uint64_t sim_ticks(void);

/* Whether the core has something to do without bytes from the line: an invoke above all. */
bool sim_is_busy(void);

/* Has the core jump to `place` instead of saying for the `most`-th time since the boot that all is well. */
void sim_interrupt(jmp_buf *place, uint32_t most);

/* Whether the core has asked for a reset, and how often it has said that all is well. */
bool sim_is_reset(void);
uint32_t sim_alive(void);

#endif
