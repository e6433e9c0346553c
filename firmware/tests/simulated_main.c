/*
 * The simulated device as a process that a test drives in a time of its own.
 *
 *   bench_simulated FLASH_FILE ARENA_BYTES INPUTS_BYTES
 *
 * Commands come on standard input, numbers little-endian:
 *   'B', u32 boot                          starts the device over
 *   'S', u64 ticks, u32 length, bytes      sets the time, lets the bytes arrive and the core go on
 * Each is answered with u8 flags (1: there is something to do without bytes, 2: a reset is asked for), u64 ticks, u32
 * number of times that the core said that all is well, u32 length, and the bytes that the device said: at the end of
 * the core's turn, or when it looks at the line in an invoke, which then goes on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "simulated.h"

static void read_whole(uint8_t *bytes, size_t length)
{
    if (length > 0 && fread(bytes, 1, length, stdin) != length) {
        exit(EXIT_SUCCESS);
    }
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);

    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* Exactly as long as the file, so that a sanitizer sees the core read beyond it. */
static uint8_t *read_file(const char *path, uint32_t *size)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    *size = (uint32_t)ftell(file);
    uint8_t *bytes = allocate(*size);
    rewind(file);
    if (fread(bytes, 1, *size, file) != *size) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return bytes;
}

static enum { BOOT = 'B', STEP = 'S' } command;
static uint32_t boot;
static jmp_buf started_over;

static void read_command(void)
{
    uint8_t head[12];
    uint8_t letter = 0;

    read_whole(&letter, 1);
    command = letter;
    if (command == BOOT) {
        read_whole(head, 4);
        boot = get32(head);
        return;
    }
    read_whole(head, 12);
    uint32_t length = get32(head + 8);
    uint8_t *bytes = allocate(length);
    read_whole(bytes, length);
    sim_set_ticks(get64(head));
    sim_receive(bytes, length);
    free(bytes);
}

static void answer(void)
{
    static uint8_t said[1 << 20];
    uint8_t head[17];
    size_t length = sim_take(said, sizeof said);

    head[0] = (uint8_t)((sim_is_busy() ? 1 : 0) | (sim_is_reset() ? 2 : 0));
    set64(head + 1, sim_ticks());
    set32(head + 9, sim_alive());
    set32(head + 13, (uint32_t)length);
    fwrite(head, 1, sizeof head, stdout);
    fwrite(said, 1, length, stdout);
    fflush(stdout);
}

static void deliver(void)
{
    answer();
    read_command();
    if (command == BOOT) {
        longjmp(started_over, 1); /* NOLINT(cert-err52-cpp): a reset does not wait for an invoke to end */
    }
}

int main(int count, char **arguments)
{
    uint32_t flash_size;

    if (count != 4) {
        return 2;
    }
    uint8_t *flash = read_file(arguments[1], &flash_size);
    uint32_t arena_size = (uint32_t)strtoul(arguments[2], NULL, 10);
    uint32_t inputs_size = (uint32_t)strtoul(arguments[3], NULL, 10);
    sim_on_look(deliver);
    read_command();
    setjmp(started_over); /* NOLINT(cert-err52-cpp) */
    for (;;) {
        if (command == BOOT) {
            sim_boot(boot, flash, flash_size, arena_size, inputs_size);
        } else {
            sim_turn();
        }
        answer();
        read_command();
    }
}
