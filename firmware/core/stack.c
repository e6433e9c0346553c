#include "stack.h"

#define PAINT 0xA5C3E1F0U

void stack_paint(uint32_t *lowest, const uint32_t *end)
{
    for (uint32_t *word = lowest; word < end; word++) {
        *word = PAINT;
    }
}

uint32_t stack_used(const uint32_t *lowest, const uint32_t *top)
{
    const uint32_t *word = lowest;

    while (word < top && *word == PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)top - (const uint8_t *)word);
}
