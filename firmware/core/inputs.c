#include "inputs.h"

#include <string.h>

#include "engine.h"

enum { ALIGNMENT = 16 };

static uint32_t padded(uint32_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t all_inputs(void)
{
    uint64_t total = 0;

    for (uint8_t i = 0; i < engine_tensors(TENSOR_INPUT); i++) {
        total += padded(engine_tensor(TENSOR_INPUT, i).bytes);
    }
    return total;
}

bool inputs_clear(const struct port *port, uint32_t *needed)
{
    uint64_t total = all_inputs();

    if (total > port->inputs_size) {
        *needed = total < NOT_KNOWN ? (uint32_t)total : NOT_KNOWN;
        return false;
    }
    memset(port->inputs, 0, (size_t)total);
    return true;
}

uint8_t *input_at(const struct port *port, uint16_t index, uint32_t *bytes)
{
    uint8_t *at = port->inputs;

    if (index >= engine_tensors(TENSOR_INPUT)) {
        return NULL;
    }
    for (uint16_t i = 0; i < index; i++) {
        at += padded(engine_tensor(TENSOR_INPUT, (uint8_t)i).bytes);
    }
    *bytes = engine_tensor(TENSOR_INPUT, (uint8_t)index).bytes;
    return at;
}

uint8_t *inputs_behind(const struct port *port, uint32_t bytes)
{
    uint64_t total = all_inputs();

    return total + bytes <= port->inputs_size ? port->inputs + total : NULL;
}

void inputs_restore(const struct port *port)
{
    const uint8_t *from = port->inputs;

    for (uint8_t i = 0; i < engine_tensors(TENSOR_INPUT); i++) {
        struct tensor tensor = engine_tensor(TENSOR_INPUT, i);
        memcpy(tensor.data, from, tensor.bytes);
        from += padded(tensor.bytes);
    }
}
