/* Seeed Studio XIAO ESP32-S3, on ESP-IDF 5.4 or later. What can be chosen is in Kconfig.projbuild. */
#include "driver/uart.h"
#include "driver/usb_serial_jtag.h"
#include "esp_heap_caps.h"
#include "esp_partition.h"
#include "esp_random.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#include "bench.h"
#include "port.h"

enum {
    CPU_MHZ = CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ,
    RECEIVE_BYTES = 8192,
    SEND_BYTES = 1024,
    SEND_PATIENCE_MS = 100, /* for a host that has the port open but does not read */
    ALIGNMENT = 16,
    FLASH_BLOCK_BYTES = 4096,
};

static struct port port = {
    .board = "xiao_esp32s3",
    .clock_hz = CPU_MHZ * 1000000U,
    .tick_hz = 1000000,
    .resolution_ticks = 1,
    .receive_buffer = RECEIVE_BYTES,
    .flash = {.block = FLASH_BLOCK_BYTES},
};

/* ---- the line */

#ifdef CONFIG_BENCH_LINE_UART

static void open_line(void)
{
    const uart_config_t config = {
        .baud_rate = 921600,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };

    uart_driver_install(UART_NUM_0, RECEIVE_BYTES, 0, 0, NULL, 0);
    uart_param_config(UART_NUM_0, &config);
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    int count = uart_read_bytes(UART_NUM_0, bytes, (uint32_t)limit, 0);

    return count > 0 ? (size_t)count : 0;
}

void port_write(const uint8_t *bytes, size_t length)
{
    uart_write_bytes(UART_NUM_0, bytes, length);
    uart_wait_tx_done(UART_NUM_0, portMAX_DELAY);
}

#else

static void open_line(void)
{
    usb_serial_jtag_driver_config_t config = {.tx_buffer_size = SEND_BYTES, .rx_buffer_size = RECEIVE_BYTES};

    usb_serial_jtag_driver_install(&config);
}

size_t port_read(uint8_t *bytes, size_t limit)
{
    int count = usb_serial_jtag_read_bytes(bytes, (uint32_t)limit, 0);

    return count > 0 ? (size_t)count : 0;
}

void port_write(const uint8_t *bytes, size_t length)
{
    size_t sent = 0;

    while (sent < length) {
        size_t part = length - sent < SEND_BYTES ? length - sent : SEND_BYTES;
        int count = usb_serial_jtag_write_bytes(bytes + sent, part, pdMS_TO_TICKS(SEND_PATIENCE_MS));
        if (count <= 0) {
            return; /* nobody reads: lost, as on a line */
        }
        sent += (size_t)count;
    }
    usb_serial_jtag_wait_tx_done(pdMS_TO_TICKS(SEND_PATIENCE_MS));
}

#endif

void port_wait(void)
{
    vTaskDelay(1);
}

/* ---- time, and the end of it */

/*
 * The 64-bit system timer, which esp_timer reads at 16 MHz and gives in microseconds. The cycle counter is finer, but
 * the idle task may stop it: waiti gates the core's clock.
 */
uint64_t port_ticks(void)
{
    return (uint64_t)esp_timer_get_time();
}

void port_alive(void)
{
    esp_task_wdt_reset();
}

void port_reset(void)
{
    vTaskDelay(pdMS_TO_TICKS(SEND_PATIENCE_MS)); /* USB takes its time after the driver has let go */
    esp_restart();
}

uint32_t port_heap_free(void)
{
    return (uint32_t)esp_get_free_heap_size();
}

uint32_t port_stack_used(void)
{
    return CONFIG_ESP_MAIN_TASK_STACK_SIZE - (uint32_t)uxTaskGetStackHighWaterMark(NULL);
}

/* ---- start */

static void map_models(void)
{
    const esp_partition_t *models =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "models");
    esp_partition_mmap_handle_t handle;
    const void *bytes;

    if (models != NULL && esp_partition_mmap(models, 0, models->size, ESP_PARTITION_MMAP_DATA, &bytes,
                                             &handle) == ESP_OK) {
        port.flash.bytes = bytes;
        port.flash.address = models->address;
        port.flash.size = models->size;
    }
}

const struct port *port_start(void)
{
#ifdef CONFIG_BENCH_ARENA_PSRAM
    uint32_t place = MALLOC_CAP_SPIRAM;
#else
    uint32_t place = MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT;
#endif
    open_line();
    map_models();
    port.boot = esp_random();
    port.arena = heap_caps_aligned_alloc(ALIGNMENT, CONFIG_BENCH_ARENA_KIB * 1024U, place);
    port.arena_size = port.arena != NULL ? CONFIG_BENCH_ARENA_KIB * 1024U : 0;
    port.inputs = heap_caps_aligned_alloc(ALIGNMENT, CONFIG_BENCH_INPUT_KIB * 1024U, place);
    port.inputs_size = port.inputs != NULL ? CONFIG_BENCH_INPUT_KIB * 1024U : 0;
    esp_task_wdt_add(NULL);
    return &port;
}

void app_main(void);

void app_main(void)
{
    static struct bench bench;

    bench_start(&bench);
    for (;;) {
        if (!bench_turn(&bench)) {
            port_wait();
        }
    }
}
