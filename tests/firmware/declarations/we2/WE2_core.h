#pragma once
#include "WE2_device.h"
void EPII_NVIC_SetVector(IRQn_Type interrupt, uint32_t vector);
