/* How deep a stack has been used: painted at the start, and later looked at for what is left of the paint. */
#ifndef BENCH_STACK_H
#define BENCH_STACK_H

#include <stdint.h>

/* Paints the words of a stack that grows down, from `lowest` up to `end`, which must not be in use. */
void stack_paint(uint32_t *lowest, const uint32_t *end);

/* Bytes between the lowest word that was ever used and `top`, the first byte above the stack. */
uint32_t stack_used(const uint32_t *lowest, const uint32_t *top);

#endif
