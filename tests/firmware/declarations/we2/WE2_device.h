#pragma once
#include <stdint.h>
#define BASE_ADDR_FLASH1_R_ALIAS 0x3A000000
#define BASE_ADDR_APB_U55_CTRL_ALIAS 0x53020000
typedef enum { U55_IRQn = 192 } IRQn_Type;
typedef struct {
    volatile uint32_t CTRL;
    volatile uint32_t LOAD;
    volatile uint32_t VAL;
} SysTick_Type;
#define SysTick ((SysTick_Type *)0xE000E010)
extern uint32_t SystemCoreClock;
void SystemGetTick(uint32_t *systick, uint32_t *loop_cnt);
void NVIC_EnableIRQ(IRQn_Type interrupt);
void NVIC_SystemReset(void) __attribute__((noreturn));
void __disable_irq(void);
void __enable_irq(void);
void __WFI(void);
