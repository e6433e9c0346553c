/*
 * The firmware as a process on a pseudo-terminal, the first line of whose output is the terminal's name.
 *
 *   bench_firmware [--flash FILE] [--address N] [--watchdog SECONDS] [--lifeline]
 *
 * FILE is what flash holds from --address (0x400000) on: a .tflite file will do. With --lifeline the process
 * ends when its standard input closes. A reset starts the program anew on the same terminal.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "port.h"
#include "ring.h"

enum {
    ARENA_BYTES = 8 << 20,
    INPUT_BYTES = 1 << 20,
    RECEIVE_BYTES = 1 << 15,
    SEND_BYTES = 4096,
    STALL_MS = 5000, /* a host that has the port open but does not read gets so long */
    IDLE_MS = 500,
    NANOSECONDS = 1000000000,
};

static _Alignas(16) uint8_t arena[ARENA_BYTES];
static _Alignas(16) uint8_t inputs[INPUT_BYTES];
static uint8_t received_bytes[RECEIVE_BYTES];
static struct ring received = {.bytes = received_bytes, .size = RECEIVE_BYTES};
static uint8_t outgoing[SEND_BYTES];
static size_t outgoing_length;

static struct {
    const char *flash;
    uint32_t address;
    unsigned watchdog_s;
    int lifeline; /* a file descriptor, or -1 */
    int terminal; /* its master side */
    char **arguments;
} options = {.address = 0x400000, .lifeline = -1, .terminal = -1};

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- flash */

static struct flash_window map_flash(void)
{
    struct flash_window window = {.address = options.address, .block = 4096};
    struct stat facts;

    if (options.flash == NULL) {
        return window;
    }
    int file = open(options.flash, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0) {
        fail(options.flash);
    }
    if (facts.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (bytes == MAP_FAILED) {
            fail(options.flash);
        }
        window.bytes = bytes;
        window.size = facts.st_size < UINT32_MAX ? (uint32_t)facts.st_size : UINT32_MAX;
    }
    close(file);
    return window;
}

/* ---- the terminal */

static void open_terminal(void)
{
    struct termios raw;
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        fail("no pseudo-terminal");
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, &raw) != 0) {
        fail("no pseudo-terminal");
    }
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave); /* without a slave the master hangs up, which shows whether a host is there */
    fcntl(master, F_SETFL, O_NONBLOCK);
    options.terminal = master;
    puts(ptsname(master));
    fflush(stdout);
}

/* Waits until the terminal has one of `events`; returns what it has, POLLHUP while no host has it open. */
static short wait_for(short events, int milliseconds)
{
    struct pollfd polled[2] = {{.fd = options.terminal, .events = events},
                               {.fd = options.lifeline, .events = POLLIN}};
    char ignored[256];

    if (poll(polled, 2, milliseconds) > 0 && polled[1].revents != 0 &&
        read(options.lifeline, ignored, sizeof ignored) <= 0) {
        exit(EXIT_SUCCESS);
    }
    return polled[0].revents;
}

/* Moves what has arrived to where it can wait, as an interrupt would. */
static void receive(void)
{
    uint8_t bytes[1024];
    ssize_t count;

    while ((count = read(options.terminal, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            ring_put(&received, bytes[i]);
        }
    }
}

static void flush(void)
{
    size_t sent = 0;
    int stalled_ms = 0;

    while (sent < outgoing_length && stalled_ms < STALL_MS) {
        ssize_t count = write(options.terminal, outgoing + sent, outgoing_length - sent);
        if (count > 0) {
            sent += (size_t)count;
            stalled_ms = 0;
            continue;
        }
        if ((wait_for(POLLOUT, 0) & POLLHUP) != 0) {
            break;
        }
        receive();
        wait_for(POLLOUT, 10);
        stalled_ms += 10;
    }
    outgoing_length = 0; /* what nobody took is lost, as on a line */
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    flush();
    wait_for(POLLIN, 0); /* for the lifeline: a long run does not wait otherwise */
    receive();
    return ring_take(&received, bytes, limit);
}

void port_write(const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t part = sizeof outgoing - outgoing_length;
        part = length < part ? length : part;
        memcpy(outgoing + outgoing_length, bytes, part);
        outgoing_length += part;
        bytes += part;
        length -= part;
        /* A frame, which alone ends in 00, goes out at once: in an invoke the next look at the line may be far. */
        if (outgoing_length == sizeof outgoing || bytes[-1] == 0) {
            flush();
        }
    }
}

void port_wait(void)
{
    flush();
    if ((wait_for(POLLIN, IDLE_MS) & (POLLIN | POLLHUP)) == POLLHUP) {
        usleep(5000); /* poll answers at once until a host opens the port */
    }
}

/* ---- time, and the end of it */

uint64_t port_ticks(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static void restart(int signal)
{
    (void)signal;
    execv("/proc/self/exe", options.arguments);
    _exit(EXIT_FAILURE);
}

void port_alive(void)
{
    if (options.watchdog_s > 0) {
        alarm(options.watchdog_s);
    }
}

void port_reset(void)
{
    flush();
    restart(0);
}

uint32_t port_heap_free(void)
{
    return NOT_KNOWN;
}

uint32_t port_stack_used(void)
{
    return NOT_KNOWN;
}

/* ---- the program */

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {
        {"flash", required_argument, NULL, 'f'},   {"address", required_argument, NULL, 'a'},
        {"watchdog", required_argument, NULL, 'w'}, {"lifeline", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        switch (option) {
        case 'f':
            options.flash = optarg;
            break;
        case 'a':
            options.address = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 'w':
            options.watchdog_s = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'l':
            options.lifeline = STDIN_FILENO;
            break;
        default:
            exit(2);
        }
    }
    options.arguments = arguments;
}

const struct port *port_start(void)
{
    static struct port port = {
        .board = "posix",
        .emulated = true,
        .tick_hz = NANOSECONDS,
        .resolution_ticks = 1,
        .receive_buffer = RECEIVE_BYTES,
        .arena = arena,
        .arena_size = ARENA_BYTES,
        .inputs = inputs,
        .inputs_size = INPUT_BYTES,
    };
    const char *kept = getenv("BENCH_TERMINAL"); /* set by the program that a reset ended */
    struct sigaction on_alarm = {.sa_handler = restart, .sa_flags = SA_NODEFER};

    if (kept != NULL) {
        options.terminal = (int)strtol(kept, NULL, 10);
    } else {
        char descriptor[16];
        open_terminal();
        snprintf(descriptor, sizeof descriptor, "%d", options.terminal);
        setenv("BENCH_TERMINAL", descriptor, 1);
    }
    sigaction(SIGALRM, &on_alarm, NULL);
    signal(SIGPIPE, SIG_IGN);
    port.flash = map_flash();
    port.boot = (uint32_t)(port_ticks() ^ (uint64_t)getpid() << 20);
    return &port;
}

int main(int count, char **arguments)
{
    static struct bench bench;

    read_options(count, arguments);
    bench_start(&bench);
    for (;;) {
        if (!bench_turn(&bench)) {
            port_wait();
        }
    }
}
