/* Models in flash: files that the harness put there as they are, each at the start of an erase block. */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "port.h"
#include "refusal.h"

struct model {
    const uint8_t *bytes;
    uint32_t address; /* as the flashing tool counts */
    uint32_t size;    /* how far its flatbuffer reaches: flash does not tell the file's size */
    const uint8_t *description; /* not terminated */
    uint32_t description_bytes;
};

/* The model at `address`; refuses with NO_MODEL or MODEL_INVALID. */
bool model_find(const struct flash_window *flash, uint32_t address, struct model *model,
                struct refusal *refusal);

/* Counts the models in flash; fills in the one at `index` of them, where there is one. */
uint16_t model_list(const struct flash_window *flash, uint16_t index, struct model *model);

#endif
