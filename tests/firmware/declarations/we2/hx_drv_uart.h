#pragma once
#include <stdint.h>
#define UART_BAUDRATE_921600 (921600)
#define UART_CMD_SET_RXCB 12
#define UART_CMD_SET_RXINT_BUF 15
#define UART_CMD_SET_RXINT 17
typedef enum { USE_DW_UART_0 } USE_DW_UART_E;
typedef struct dev_buffer {
    void *buf;
    uint32_t len;
    uint32_t ofs;
} DEV_BUFFER;
typedef struct {
    int32_t (*uart_open)(uint32_t baud);
    int32_t (*uart_control)(uint32_t ctrl_cmd, void *param);
    int32_t (*uart_write)(const void *data, uint32_t len);
} DEV_UART, *DEV_UART_PTR;
DEV_UART_PTR hx_drv_uart_get_dev(USE_DW_UART_E id);
