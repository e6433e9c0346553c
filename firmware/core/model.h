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
    uint32_t room;    /* bytes up to the end of flash, which does not tell where the file ends */
};

/* The model at `address`; refuses with NO_MODEL or MODEL_INVALID. */
bool model_find(const struct flash_window *flash, uint32_t address, struct model *model,
                struct refusal *refusal);

/* Counts the blocks of flash that begin as a model does; fills in the one at `index` of them, if there is one. */
uint16_t model_list(const struct flash_window *flash, uint16_t index, struct model *model);

/* Puts the model's description into `room` bytes at `name`, cut to fit; "" if it has none that can be read. */
void model_name(const struct model *model, char *name, uint32_t room);

#endif
