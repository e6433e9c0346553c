#include "benchmark.h"

#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "engine.h"
#include "inputs.h"

enum { INT8 = 9, FLOAT_BYTES = 4, SIGN = 0x80 }; /* less 128, modulo 256: the sign bit flips */

/* What the bytes of `db` are. */
enum content {
    TENSOR, /* the input tensor as it is */
    PIXELS, /* uint8, of which the device makes int8 by taking 128 away */
    FLOATS, /* float32, which the device quantises */
};

struct benchmark {
    char name[6];
    uint8_t content; /* enum content */
    uint8_t rank;
    uint32_t dimensions[4]; /* of the input */
    uint32_t values;        /* of the output */
};

static const struct benchmark other = {.name = "other", .content = TENSOR};

static const struct benchmark benchmarks[] = {
    {"vww01", PIXELS, 4, {1, 96, 96, 3}, 2},
    {"ic01", PIXELS, 4, {1, 32, 32, 3}, 10},
    {"kws01", TENSOR, 4, {1, 49, 10, 1}, 12},
    {"ad01", FLOATS, 2, {1, 640}, 640},
};

static bool is_int8(const struct tensor *tensor, uint8_t rank, const uint32_t *dimensions)
{
    return tensor->type == INT8 && tensor->scale != 0 && tensor->rank == rank &&
           memcmp(tensor->dimensions, dimensions, rank * sizeof *dimensions) == 0;
}

const struct benchmark *benchmark_of_model(void)
{
    if (engine_tensors(TENSOR_INPUT) != 1 || engine_tensors(TENSOR_OUTPUT) != 1) {
        return &other;
    }
    struct tensor input = engine_tensor(TENSOR_INPUT, 0);
    struct tensor output = engine_tensor(TENSOR_OUTPUT, 0);
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
        const struct benchmark *one = &benchmarks[i];
        uint32_t made[] = {1, one->values};
        if (is_int8(&input, one->rank, one->dimensions) && is_int8(&output, 2, made)) {
            return one;
        }
    }
    return &other;
}

const char *benchmark_name(const struct benchmark *benchmark)
{
    return benchmark->name;
}

/* Where the float32 values are kept of which input 0 is made; a null pointer: there is no room. */
static uint8_t *floats(const struct port *port)
{
    return inputs_behind(port, engine_tensor(TENSOR_INPUT, 0).bytes * FLOAT_BYTES);
}

static float float_at(const uint8_t *bytes, uint32_t index)
{
    uint32_t bits = get32(bytes + (size_t)index * FLOAT_BYTES);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static float real(const struct tensor *tensor, uint8_t byte)
{
    return (float)((int64_t)(int8_t)byte - tensor->zero_point) * tensor->scale;
}

/* Rounds to the nearest unit, halves away from zero; what is no number is the lowest. */
static uint8_t quantised(const struct tensor *tensor, float value)
{
    const float far = 1000; /* well beyond int8 from any zero point in it */
    float units = value / tensor->scale;

    units = units > -far ? units : -far;
    units = units < far ? units : far;
    int64_t whole = (int64_t)units;
    float rest = units - (float)whole;
    whole += rest >= 0.5F ? 1 : rest <= -0.5F ? -1 : 0;
    whole += tensor->zero_point;
    whole = whole < INT8_MIN ? INT8_MIN : whole > INT8_MAX ? INT8_MAX : whole;
    return (uint8_t)whole;
}

uint32_t benchmark_bytes(const struct benchmark *benchmark, const struct port *port)
{
    uint32_t bytes = 0;

    if (input_at(port, 0, &bytes) == NULL || benchmark->content != FLOATS) {
        return bytes;
    }
    return floats(port) != NULL ? bytes * FLOAT_BYTES : 0;
}

void benchmark_load(const struct benchmark *benchmark, const struct port *port, uint32_t index, uint8_t byte)
{
    uint32_t bytes = 0;
    uint8_t *input = input_at(port, 0, &bytes);

    if (benchmark->content != FLOATS) {
        input[index] = benchmark->content == PIXELS ? byte ^ SIGN : byte;
        return;
    }
    floats(port)[index] = byte;
    if (index % FLOAT_BYTES == FLOAT_BYTES - 1) {
        struct tensor tensor = engine_tensor(TENSOR_INPUT, 0);
        input[index / FLOAT_BYTES] = quantised(&tensor, float_at(floats(port), index / FLOAT_BYTES));
    }
}

uint8_t benchmark_loaded(const struct benchmark *benchmark, const struct port *port, uint32_t index)
{
    uint32_t bytes = 0;
    const uint8_t *input = input_at(port, 0, &bytes);

    if (benchmark->content == FLOATS) {
        return floats(port)[index];
    }
    return benchmark->content == PIXELS ? input[index] ^ SIGN : input[index];
}

bool benchmark_has_error(const struct benchmark *benchmark)
{
    return benchmark->content == FLOATS;
}

float benchmark_error(const struct benchmark *benchmark, const struct port *port, uint32_t filled)
{
    struct tensor input = engine_tensor(TENSOR_INPUT, 0);
    struct tensor output = engine_tensor(TENSOR_OUTPUT, 0);
    uint32_t bytes = 0;
    const uint8_t *kept = input_at(port, 0, &bytes);
    const uint8_t *given = floats(port);
    float sum = 0;

    for (uint32_t i = 0; i < benchmark->values; i++) {
        float value = real(&input, kept[i]);
        if (i < filled / FLOAT_BYTES && quantised(&input, float_at(given, i)) == kept[i]) {
            value = float_at(given, i);
        }
        float difference = real(&output, output.data[i]) - value;
        sum += difference * difference;
    }
    return sum / (float)benchmark->values;
}
