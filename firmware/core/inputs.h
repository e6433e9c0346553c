/*
 * The inputs of the current model as the host loaded them.
 *
 * The interpreter's own input tensors share memory with what comes later in the graph, so that one invoke
 * leaves nothing of them. They are kept here and copied over before each invoke.
 */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "port.h"

/* Sets all inputs of the current model to zero; false (and `needed`) where there is no room for them. */
bool inputs_clear(const struct port *port, uint32_t *needed);

/* Where input `index` of the current model is kept, and how many bytes it has; a null pointer: no such input. */
uint8_t *input_at(const struct port *port, uint16_t index, uint32_t *bytes);

/* Room for so many bytes behind the inputs of the current model, 16-byte aligned; a null pointer: there is none. */
uint8_t *inputs_behind(const struct port *port, uint32_t bytes);

/* Copies all inputs to where the next invoke reads them. */
void inputs_restore(const struct port *port);

#endif
