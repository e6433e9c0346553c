#pragma once
#include <stdbool.h>
#include <stdint.h>
typedef enum { USE_DW_SPI_MST_Q } USE_DW_SPI_MST_E;
typedef enum { FLASH_QUAD = 2 } FLASH_ACCESS_MODE;
int32_t hx_lib_spi_eeprom_open(USE_DW_SPI_MST_E id);
int32_t hx_lib_spi_eeprom_enable_XIP(USE_DW_SPI_MST_E id, bool xip_enable, FLASH_ACCESS_MODE mode, bool speed_high);
