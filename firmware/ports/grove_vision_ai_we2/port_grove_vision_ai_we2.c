/* Grove Vision AI V2 (Himax WE2), as an application of the vendor's SDK for its secure Cortex-M55. */
#include "WE2_core.h"
#include "WE2_device.h"
#include "board.h"
#include "ethosu_driver.h"
#include "hx_drv_uart.h"
#include "hx_drv_watchdog.h"
#include "spi_eeprom_comm.h"

#include "bench.h"
#include "port.h"
#include "ring.h"
#include "stack.h"

enum {
    ARENA_BYTES = 1024 << 10,
    INPUT_BYTES = 256 << 10,
    RECEIVE_BYTES = 1 << 13,
    FLASH_BYTES = 14 << 20,
    FLASH_BLOCK_BYTES = 4096,
    WATCHDOG_MS = 60000, /* the longest that an operator may take */
};

#define FIRST_MODEL 0x200000U /* what is below is the vendor's and the firmware's */

extern uint32_t __StackLimit[], __StackTop[]; /* the SDK's linker script */

/* The SDK's linker script puts this section into the 2 MiB of SRAM; what has no section shares 256 KiB. */
#define IN_SRAM __attribute__((section(".bss.NoInit")))

static _Alignas(32) uint8_t arena[ARENA_BYTES] IN_SRAM;
static _Alignas(32) uint8_t inputs[INPUT_BYTES] IN_SRAM;
static uint8_t received_bytes[RECEIVE_BYTES];
static struct ring received = {.bytes = received_bytes, .size = RECEIVE_BYTES};
static uint8_t arrived;
static DEV_BUFFER arriving;
static DEV_UART_PTR uart;
static struct ethosu_driver npu;

static struct port port = {
    .board = "grove_vision_ai_we2",
    .resolution_ticks = 1,
    .receive_buffer = RECEIVE_BYTES,
    .flash = {(const uint8_t *)BASE_ADDR_FLASH1_R_ALIAS + FIRST_MODEL, FIRST_MODEL, FLASH_BYTES,
              FLASH_BLOCK_BYTES},
    .arena = arena,
    .arena_size = ARENA_BYTES,
    .inputs = inputs,
    .inputs_size = INPUT_BYTES,
};

/* ---- the line */

static void receive_next(void)
{
    arriving = (DEV_BUFFER){.buf = &arrived, .len = 1, .ofs = 0};
    uart->uart_control(UART_CMD_SET_RXINT_BUF, &arriving);
    uart->uart_control(UART_CMD_SET_RXINT, (void *)1);
}

static void uart_received(void *device)
{
    (void)device;
    if (port.boot == 0) {
        port.boot = (uint32_t)port_ticks(); /* nothing outlives a reset, but no two hosts begin at the same tick */
    }
    ring_put(&received, arrived);
    receive_next();
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    return ring_take(&received, bytes, limit);
}

void port_write(const uint8_t *bytes, size_t length)
{
    uart->uart_write(bytes, (uint32_t)length);
}

void port_wait(void)
{
    __disable_irq();
    if (atomic_load(&received.put) == atomic_load(&received.taken)) {
        __WFI();
    }
    __enable_irq();
}

/* ---- time, and the end of it */

uint64_t port_ticks(void)
{
    uint32_t left;
    uint32_t rounds;
    uint32_t again;

    do { /* SysTick counts down; the SDK counts how often it has gone round */
        SystemGetTick(&left, &rounds);
        SystemGetTick(&left, &again);
    } while (again != rounds);
    return (uint64_t)rounds * (SysTick->LOAD + 1U) + (SysTick->LOAD - left);
}

void port_alive(void)
{
    hx_drv_watchdog_update(WATCHDOG_ID_0, WATCHDOG_MS);
}

void port_reset(void)
{
    NVIC_SystemReset();
}

uint32_t port_heap_free(void)
{
    return NOT_KNOWN;
}

uint32_t port_stack_used(void)
{
    return stack_used(__StackLimit, __StackTop);
}

/* ---- start */

static void npu_interrupt(void)
{
    ethosu_irq_handler(&npu);
}

static void start_npu(void)
{
    EPII_NVIC_SetVector(U55_IRQn, (uint32_t)(uintptr_t)npu_interrupt);
    NVIC_EnableIRQ(U55_IRQn);
    ethosu_init(&npu, (void *)BASE_ADDR_APB_U55_CTRL_ALIAS, NULL, 0, 1, 1);
}

const struct port *port_start(void)
{
    WATCHDOG_CFG_T watchdog = {.period = WATCHDOG_MS,
                               .ctrl = WATCHDOG_CTRL_CPU,
                               .state = WATCHDOG_STATE_DC,
                               .type = WATCHDOG_RESET};

    stack_paint(__StackLimit, (const uint32_t *)__builtin_frame_address(0) - 64);
    hx_lib_spi_eeprom_open(USE_DW_SPI_MST_Q);
    hx_lib_spi_eeprom_enable_XIP(USE_DW_SPI_MST_Q, true, FLASH_QUAD, true);
    uart = hx_drv_uart_get_dev(USE_DW_UART_0);
    uart->uart_open(UART_BAUDRATE_921600);
    uart->uart_control(UART_CMD_SET_RXCB, (void *)uart_received);
    receive_next();
    start_npu();
    hx_drv_watchdog_start(WATCHDOG_ID_0, &watchdog, NULL);
    port.clock_hz = SystemCoreClock;
    port.tick_hz = SystemCoreClock;
    return &port;
}

int main(void)
{
    static struct bench bench;

    board_init();
    bench_start(&bench);
    for (;;) {
        if (!bench_turn(&bench)) {
            port_wait();
        }
    }
}
