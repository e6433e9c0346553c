/*
 * The whole device: any sequence of sound frames, text and turns, then a greeting, which it has to answer.
 *
 * The input is a list of actions: a byte that says which, and what it takes. Frames get their header, CRC and
 * COBS here, so that the fuzzer need not find them; `fuzz_decoder` is about those that are not sound. The flash
 * is the end of the input, so that models are fuzzed, too.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "frame.h"
#include "port.h"
#include "simulated.h"

enum { SESSION = 0x11223344, ARENA_BYTES = 1 << 16, INPUT_BYTES = 1 << 14, FLASH_BYTES = 1 << 14, MOST_ALIVE = 5000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint8_t line[1 << 16];
static uint8_t flash[FLASH_BYTES];

/* What the device has said is of no interest. */
static void forget_said(void)
{
    while (sim_take(line, sizeof line) > 0) {
    }
}

/* Lets the core frame a body: what it writes goes to the host's side of the simulated line, and from there back. */
static void send_frame(const uint8_t *body, uint32_t length)
{
    forget_said();
    frame_send((struct span){body, length}, (struct span){0});
    sim_receive(line, sim_take(line, sizeof line));
}

static void send_message(uint8_t type, uint16_t number, uint32_t session, const uint8_t *payload, uint32_t length)
{
    uint8_t body[HEADER_BYTES + 300] = {MARK, type};

    set16(body + 2, number);
    set32(body + 4, session);
    memcpy(body + HEADER_BYTES, payload, length);
    send_frame(body, HEADER_BYTES + length);
}

static void greet(void)
{
    static const uint8_t hello[] = {2, 2, 0, 0, 0, 16, 0, 0};

    send_message(HELLO, 0, SESSION, hello, sizeof hello);
}

/* The actions that are left. */
static struct {
    const uint8_t *bytes;
    size_t length;
    uint16_t request;
    uint16_t stream;
} script;

/* Does the next action; false if there is none. */
static bool act(void)
{
    if (script.length < 2) {
        return false;
    }
    uint8_t action = script.bytes[0];
    uint32_t part = script.bytes[1];
    const uint8_t *payload = script.bytes + 2;
    script.length -= 2;
    if (part > script.length) {
        part = (uint32_t)script.length;
    }
    script.bytes = payload + part;
    script.length -= part;
    if (action == 0xFF) {
        sim_receive(payload, part);
    } else if (action == 0xFE) {
        sim_set_ticks(sim_ticks() + (uint64_t)part * 100000);
    } else if (action >= FIRST_STREAM_TYPE) {
        send_message(action, ++script.stream, SESSION, payload, part);
    } else {
        send_message(action, ++script.request, SESSION, payload, part);
    }
    return true;
}

/* In an invoke the core finds the next action on the line. */
static void act_in_invoke(void)
{
    act();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    size_t in_flash = length > 512 ? length - 512 : 0;

    if (in_flash > FLASH_BYTES) {
        return 0;
    }
    memcpy(flash, bytes + length - in_flash, in_flash);
    script.bytes = bytes;
    script.length = length - in_flash;
    script.request = script.stream = 0;
    static jmp_buf too_long; /* a text command can ask for any number of inferences, and nobody interrupts it here */
    sim_interrupt(&too_long, MOST_ALIVE);
    sim_on_look(act_in_invoke);
    if (setjmp(too_long) != 0) {
        return 0;
    }
    sim_boot(7, flash, (uint32_t)in_flash, ARENA_BYTES, INPUT_BYTES);
    greet();
    sim_turn();
    while (act()) {
        sim_turn();
        if (sim_is_reset()) {
            return 0;
        }
    }
    sim_receive((const uint8_t *)"", 1); /* ends whatever chunk there is */
    sim_turn();
    greet();
    sim_turn();
    static const uint8_t welcome[] = {MARK, HELLO | FROM_DEVICE};
    size_t said = sim_take(line, sizeof line);
    if (said < sizeof welcome || memmem(line, said, welcome, sizeof welcome) == NULL) {
        abort();
    }
    return 0;
}
