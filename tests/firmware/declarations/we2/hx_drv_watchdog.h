#pragma once
#include <stdint.h>
typedef enum { WATCHDOG_NO_ERROR } WATCHDOG_ERROR_E;
typedef enum { WATCHDOG_NO_ACTION, WATCHDOG_INT, WATCHDOG_RESET } WATCHDOG_ACTION_E;
typedef enum { WATCHDOG_ID_0 } WATCHDOG_ID_E;
typedef enum { WATCHDOG_CTRL_CPU } WATCHDOG_CTRL_E;
typedef enum { WATCHDOG_STATE_DC } WATCHDOG_STATE_E;
typedef struct {
    uint32_t period;
    WATCHDOG_CTRL_E ctrl;
    WATCHDOG_STATE_E state;
    WATCHDOG_ACTION_E type;
} WATCHDOG_CFG_T;
typedef void (*WDG_ISREvent_t)(uint32_t event);
WATCHDOG_ERROR_E hx_drv_watchdog_start(WATCHDOG_ID_E id, WATCHDOG_CFG_T *cfg, WDG_ISREvent_t callback);
WATCHDOG_ERROR_E hx_drv_watchdog_update(WATCHDOG_ID_E id, uint32_t ms);
