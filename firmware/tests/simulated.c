#include "simulated.h"

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine.h"
#include "stack.h"

enum {
    ARENA_BYTES = 1 << 20,
    INPUT_BYTES = 1 << 20,
    RECEIVE_BYTES = 1 << 16,
    FLASH_BLOCK_BYTES = 4096,
    TICK_HZ = 1000000,
    STACK_WORDS = 64,
    STACK_WORDS_USED = 44,
    TICKS_A_LOOK = 10, /* of computing go by from one look at the clock to the next */
};

#define FLASH_ADDRESS 0x400000U

static struct bench bench;
static _Alignas(16) uint8_t arena[ARENA_BYTES];
static _Alignas(16) uint8_t inputs[INPUT_BYTES];
static struct port port = {
    .board = "simulated",
    .emulated = true,
    .clock_hz = 100000000,
    .tick_hz = TICK_HZ,
    .resolution_ticks = 1,
    .receive_buffer = RECEIVE_BYTES,
    .arena = arena,
    .inputs = inputs,
    .flash = {.address = FLASH_ADDRESS, .block = FLASH_BLOCK_BYTES},
};

struct queue {
    uint8_t *bytes;
    size_t size;
    size_t put;
    size_t taken;
};

static struct queue to_device;
static struct queue to_host;
static uint64_t ticks;
static uint32_t stack[STACK_WORDS]; /* nothing runs on it */
static uint32_t alive;
static jmp_buf *interrupted_to;
static uint32_t interrupted_at;
static bool reset_asked;
static jmp_buf turn;
static void (*on_look)(void);
static bool looking;

static void put(struct queue *queue, const uint8_t *bytes, size_t length)
{
    if (queue->taken == queue->put) {
        queue->taken = queue->put = 0;
    }
    if (length == 0) {
        return;
    }
    if (queue->put + length > queue->size) {
        queue->size = 2 * (queue->put + length);
        queue->bytes = realloc(queue->bytes, queue->size);
        if (queue->bytes == NULL) {
            abort();
        }
    }
    memcpy(queue->bytes + queue->put, bytes, length);
    queue->put += length;
}

static size_t take(struct queue *queue, uint8_t *bytes, size_t limit)
{
    size_t there = queue->put - queue->taken;
    size_t count = there < limit ? there : limit;

    if (count > 0) {
        memcpy(bytes, queue->bytes + queue->taken, count);
        queue->taken += count;
    }
    return count;
}

/* ---- the port */

const struct port *port_start(void)
{
    return &port;
}

/* Lets the test do its part, if the core is in an invoke. */
static void look(void)
{
    if (on_look != NULL && !looking && (bench.invoke.under_way || bench.text.infers)) {
        looking = true;
        on_look();
        looking = false;
    }
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    if (to_device.taken == to_device.put) {
        look();
    }
    return take(&to_device, bytes, limit);
}

void port_write(const uint8_t *bytes, size_t length)
{
    put(&to_host, bytes, length);
    if (length > 0 && bytes[length - 1] == 0) {
        look(); /* a frame is out, and the next look may be far */
    }
}

uint64_t port_ticks(void)
{
    ticks += TICKS_A_LOOK;
    return ticks;
}

void port_alive(void)
{
    alive++;
    if (interrupted_to != NULL && alive == interrupted_at) {
        longjmp(*interrupted_to, 1); /* NOLINT(cert-err52-cpp): out of a loop of as many invokes as was asked for */
    }
}

void port_reset(void)
{
    reset_asked = true;
    longjmp(turn, 1); /* NOLINT(cert-err52-cpp): it does not return, be it in an invoke without end */
}

uint32_t port_heap_free(void)
{
    return NOT_KNOWN;
}

uint32_t port_stack_used(void)
{
    return stack_used(stack, stack + STACK_WORDS);
}

/* ---- the test's side */

void sim_boot(uint32_t boot, const uint8_t *flash, uint32_t flash_size, uint32_t arena_size,
              uint32_t inputs_size)
{
    to_device.taken = to_device.put;
    to_host.taken = to_host.put;
    ticks = 0;
    alive = 0;
    reset_asked = false;
    looking = false; /* it may have jumped here */
    port.boot = boot;
    port.flash.bytes = flash;
    port.flash.size = flash_size;
    port.arena_size = arena_size < ARENA_BYTES ? arena_size : ARENA_BYTES;
    port.inputs_size = inputs_size < INPUT_BYTES ? inputs_size : INPUT_BYTES;
    stack_paint(stack, stack + STACK_WORDS);
    stack[STACK_WORDS - STACK_WORDS_USED] = 0;
    engine_unload();
    bench_start(&bench);
}

void sim_receive(const uint8_t *bytes, size_t length)
{
    put(&to_device, bytes, length);
}

bool sim_turn(void)
{
    if (setjmp(turn) != 0) { /* NOLINT(cert-err52-cpp) */
        return true;
    }
    return bench_turn(&bench);
}

size_t sim_take(uint8_t *bytes, size_t limit)
{
    return take(&to_host, bytes, limit);
}

void sim_on_look(void (*does)(void))
{
    on_look = does;
}

void sim_set_ticks(uint64_t now)
{
    ticks = now > ticks ? now : ticks; /* the test rounds */
}

uint64_t sim_ticks(void)
{
    return ticks;
}

bool sim_is_busy(void)
{
    return run_is_due(&bench.run) || bench.invoke.under_way || bench.text.infers ||
           bench.arrived.at != bench.arrived.count;
}

void sim_interrupt(jmp_buf *place, uint32_t most)
{
    interrupted_to = place;
    interrupted_at = most;
}

bool sim_is_reset(void)
{
    return reset_asked;
}

uint32_t sim_alive(void)
{
    return alive;
}
