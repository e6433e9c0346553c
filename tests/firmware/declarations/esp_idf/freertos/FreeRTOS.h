#pragma once
#include <stdint.h>
typedef uint32_t TickType_t;
typedef unsigned UBaseType_t;
#define portMAX_DELAY UINT32_MAX
#define configTICK_RATE_HZ 100
#define pdMS_TO_TICKS(milliseconds) ((TickType_t)((milliseconds) * configTICK_RATE_HZ / 1000))
