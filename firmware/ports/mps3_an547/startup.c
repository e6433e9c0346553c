/* From reset to main on a bare Cortex-M55. */
#include <stdint.h>

#include "bench.h"
#include "handlers.h"

extern uint32_t data_start[], data_end[], bss_start[], bss_end[], stack_top[]; /* linker script */
extern const uint32_t data_image[];
extern void (*const constructors_start[])(void);
extern void (*const constructors_end[])(void);

void start(void);

#define COPROCESSORS (*(volatile uint32_t *)0xE000ED88U)
#define FPU_ENABLE (0xFU << 20)

static struct bench bench;

/* A fault is no state to go on from. */
static void fault(void)
{
    port_reset();
}

void start(void)
{
    const uint32_t *from = data_image;

    COPROCESSORS |= FPU_ENABLE;
    __asm volatile("dsb\n\tisb" ::: "memory");
    for (uint32_t *to = data_start; (uintptr_t)to < (uintptr_t)data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; (uintptr_t)to < (uintptr_t)bss_end; to++) {
        *to = 0;
    }
    for (void (*const *constructor)(void) = constructors_start; constructor != constructors_end; constructor++) {
        (*constructor)();
    }
    bench_start(&bench);
    for (;;) {
        if (!bench_turn(&bench)) {
            port_wait();
        }
    }
}

enum { EXCEPTIONS = 16, UART_RECEIVE = EXCEPTIONS + 33, VECTORS = EXCEPTIONS + 96 };

typedef void (*handler)(void);

static const struct {
    uint32_t *stack;
    handler handlers[VECTORS - 1]; /* from exception 1 on */
} vectors __attribute__((section(".vectors"), used)) = {
    stack_top,
    {
        [0] = start,
        [1] = fault, /* NMI, which the watchdog raises */
        [2] = fault,
        [3] = fault,
        [4] = fault,
        [5] = fault,
        [6] = fault,
        [UART_RECEIVE - 1] = uart_received,
    },
};
