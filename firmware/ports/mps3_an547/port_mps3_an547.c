/*
 * Arm's MPS3 board with the image AN547 (Corstone-300: Cortex-M55), as `qemu-system-arm -M mps3-an547` has it.
 *
 * Models are in DDR memory, where QEMU's loader device puts them. All code runs in the secure state.
 * Addresses and interrupt numbers are those of Arm's application note AN547.
 */
#include "port.h"

#include "handlers.h"
#include "protocol.h"
#include "ring.h"
#include "stack.h"

enum {
    ARENA_BYTES = 2 << 20,
    INPUT_BYTES = 512 << 10,
    RECEIVE_BYTES = 1 << 13,
    FLASH_BYTES = 16 << 20,
    FLASH_BLOCK_BYTES = 4096,
    SYSTEM_HZ = 32000000,
    UART_RECEIVE_IRQ = 33,
    WATCHDOG_HZ = 32768,
    WATCHDOG_S = 30, /* the longest that an operator may take */
};

#define FLASH_ADDRESS 0x60000000U

/* ---- registers */

struct uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupts;
    volatile uint32_t divider;
};

enum {
    UART_SEND_FULL = 1,
    UART_RECEIVE_FULL = 2,
    UART_SEND_ENABLE = 1,
    UART_RECEIVE_ENABLE = 2,
    UART_RECEIVE_INTERRUPT = 8,
    UART_RECEIVE_PENDING = 2,
    UART_DIVIDER = SYSTEM_HZ / 921600,
};

struct counter {
    volatile uint32_t low;
    volatile uint32_t high;
};

struct watchdog {
    volatile uint32_t load;
    volatile uint32_t value;
    volatile uint32_t control;
    volatile uint32_t clear;
    uint32_t reserved[0xBFC / 4];
    volatile uint32_t lock;
};

struct timer {
    volatile uint32_t control;
    volatile uint32_t reload;
    volatile uint32_t value;
};

enum {
    TIMER_ENABLE = 7, /* its interrupt and the core's clock, too */
    TIMER_RELOAD = SYSTEM_HZ / 2 - 1,
    TIMER_PENDING_CLEAR = 1 << 25, /* in INTERRUPT_CONTROL */
};

enum { WATCHDOG_INTERRUPT = 1, WATCHDOG_RESET = 2, WATCHDOG_UNLOCK = 0x1ACCE551 };

#define UART0 ((struct uart *)0x59303000U)
#define COUNTER ((const struct counter *)0x58101000U)
#define COUNTER_CONTROL (*(volatile uint32_t *)0x58100000U)
#define WATCHDOG ((struct watchdog *)0x5802E000U)
#define CLOCK_OF_DAY (*(volatile const uint32_t *)0x5930B000U)
#define INTERRUPTS_ENABLE ((volatile uint32_t *)0xE000E100U)
#define TIMER ((struct timer *)0xE000E010U)
#define INTERRUPT_CONTROL (*(volatile uint32_t *)0xE000ED04U)
#define RESET_CONTROL (*(volatile uint32_t *)0xE000ED0CU)
#define RESET_REQUEST 0x05FA0004U

/* ---- memory */

extern uint32_t stack_lowest[], stack_top[]; /* linker script */

static _Alignas(16) uint8_t arena[ARENA_BYTES] __attribute__((section(".sram")));
static _Alignas(16) uint8_t inputs[INPUT_BYTES] __attribute__((section(".sram")));
static uint32_t boots __attribute__((section(".kept"))); /* over a reset */
static uint8_t received_bytes[RECEIVE_BYTES];
static struct ring received = {.bytes = received_bytes, .size = RECEIVE_BYTES};

/* ---- the line */

void uart_received(void)
{
    UART0->interrupts = UART_RECEIVE_PENDING; /* before the bytes go, so that the next one raises it again */
    while ((UART0->state & UART_RECEIVE_FULL) != 0) {
        ring_put(&received, (uint8_t)UART0->data);
    }
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    return ring_take(&received, bytes, limit);
}

void port_write(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        while ((UART0->state & UART_SEND_FULL) != 0) {
        }
        UART0->data = bytes[i];
    }
}

void port_wait(void)
{
    /*
     * With interrupts held back nothing can arrive between the look and the sleep, which they end all the same.
     * So does the core's timer, for the watchdog's sake; it runs in here alone, and its interrupt is never taken.
     */
    __asm volatile("cpsid i" ::: "memory");
    if (atomic_load(&received.put) == atomic_load(&received.taken)) {
        TIMER->reload = TIMER_RELOAD;
        TIMER->value = 0;
        TIMER->control = TIMER_ENABLE;
        __asm volatile("dsb\n\twfi");
        TIMER->control = 0;
        INTERRUPT_CONTROL = TIMER_PENDING_CLEAR;
    }
    __asm volatile("cpsie i" ::: "memory");
}

/* ---- time, and the end of it */

uint64_t port_ticks(void)
{
    uint32_t high;
    uint32_t low;

    do {
        high = COUNTER->high;
        low = COUNTER->low;
    } while (COUNTER->high != high);
    return (uint64_t)high << 32 | low;
}

void port_alive(void)
{
    WATCHDOG->load = WATCHDOG_S * WATCHDOG_HZ;
}

void port_reset(void)
{
    while ((UART0->state & UART_SEND_FULL) != 0) {
    }
    __asm volatile("dsb" ::: "memory");
    RESET_CONTROL = RESET_REQUEST;
    for (;;) {
    }
}

uint32_t port_heap_free(void)
{
    return NOT_KNOWN; /* there is no heap */
}

uint32_t port_stack_used(void)
{
    return stack_used(stack_lowest, stack_top);
}

const struct port *port_start(void)
{
    static struct port port = {
        .board = "mps3_an547",
        .emulated = true,
        .clock_hz = SYSTEM_HZ,
        .tick_hz = SYSTEM_HZ,
        .resolution_ticks = 1,
        .receive_buffer = RECEIVE_BYTES,
        .flash = {(const uint8_t *)FLASH_ADDRESS, FLASH_ADDRESS, FLASH_BYTES, FLASH_BLOCK_BYTES},
        .arena = arena,
        .arena_size = ARENA_BYTES,
        .inputs = inputs,
        .inputs_size = INPUT_BYTES,
    };

    stack_paint(stack_lowest, (const uint32_t *)__builtin_frame_address(0) - 64);
    COUNTER_CONTROL = 1;
    boots++;
    port.boot = boots + CLOCK_OF_DAY * 2654435761U; /* differs between two resets, and two starts of QEMU */
    UART0->divider = UART_DIVIDER;
    UART0->control = UART_SEND_ENABLE | UART_RECEIVE_ENABLE | UART_RECEIVE_INTERRUPT;
    INTERRUPTS_ENABLE[UART_RECEIVE_IRQ / 32] = 1U << UART_RECEIVE_IRQ % 32;
    WATCHDOG->lock = WATCHDOG_UNLOCK;
    WATCHDOG->load = WATCHDOG_S * WATCHDOG_HZ;
    WATCHDOG->control = WATCHDOG_INTERRUPT | WATCHDOG_RESET;
    return &port;
}
