/*
 * An engine that proves core and port without TFLite-Micro: it takes any .tflite file, and fills its outputs
 * with numbers that follow from its inputs, in a way that is easy to compute elsewhere.
 *
 * Output k is a stream of bytes: x[0] = CRC-32 over all inputs in order, plus k; x[i+1] = 1664525 * x[i] +
 * 1013904223 modulo 2^32 (the generator of Numerical Recipes); byte i is the highest of x[i+1].
 *
 * An input 0 that begins with "selftest", a letter, and numbers of 32 and 16 bits asks for more: an invoke of as many
 * operators as the second number says (0: one), each of which does what the letter says. 'f' it fails, 'h' it hangs,
 * 'n' it does nothing at all, 'w' it takes as many ticks as the first number says, 's' likewise, and the invoke is too
 * stubborn to be broken off. Outputs are filled after the last operator, but not with 'n'.
 */
#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "engine.h"
#include "flatbuffer.h"
#include "port.h"

enum { MOST_TENSORS = 8, ALIGNMENT = 16, NAME_BYTES = 64 };

/* Fields of the tables of a .tflite file (TensorFlow Lite's schema.fbs). */
enum {
    MODEL_CODES = 1,
    MODEL_SUBGRAPHS = 2,
    CODE_CUSTOM = 1,
    SUBGRAPH_TENSORS = 0,
    SUBGRAPH_INPUTS = 1,
    SUBGRAPH_OUTPUTS = 2,
    TENSOR_SHAPE = 0,
    TENSOR_TYPE = 1,
    TENSOR_NAME = 3,
    TENSOR_QUANTIZATION = 4,
    QUANTIZATION_SCALE = 2,
    QUANTIZATION_ZERO_POINT = 3,
};

const struct engine engine = {.name = "selftest", .kernels = "", .operators = "", .profiles = true, .is_selftest = true};

/* Inputs, then outputs. */
static struct {
    uint8_t inputs;
    uint8_t outputs;
    struct tensor tensors[MOST_TENSORS];
    char names[MOST_TENSORS][NAME_BYTES];
    uint64_t arena_used;
    bool profiled;
    uint64_t inside; /* ticks of the operators of the last profiled invoke */
} model;

static uint8_t bytes_of_type(uint8_t type)
{
    static const uint8_t bytes[] = {4, 2, 4, 1, 8, 0, 1, 2, 0, 1, 8, 0, 8, 0, 0, 4, 2};

    return type < sizeof bytes ? bytes[type] : 0;
}

static uint32_t padded(uint32_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct vector vector_of(struct flatbuffer *file, const struct table *table, uint32_t field,
                               uint32_t item_bytes)
{
    uint32_t at = flatbuffer_field(file, table, field, 4);

    return at != 0 ? flatbuffer_vector(file, at, item_bytes) : (struct vector){0};
}

static void copy_name(struct flatbuffer *file, const struct table *table, uint32_t field, char *name)
{
    struct vector text = vector_of(file, table, field, 1);
    uint32_t length = text.count < NAME_BYTES - 1 ? text.count : NAME_BYTES - 1;

    memcpy(name, file->bytes + text.at, length);
    name[length] = '\0';
}

static void read_quantization(struct flatbuffer *file, const struct table *table, struct tensor *tensor)
{
    uint32_t at = flatbuffer_field(file, table, TENSOR_QUANTIZATION, 4);

    if (at == 0) {
        return;
    }
    struct table quantization = flatbuffer_table(file, at);
    struct vector scale = vector_of(file, &quantization, QUANTIZATION_SCALE, 4);
    struct vector zero_point = vector_of(file, &quantization, QUANTIZATION_ZERO_POINT, 8);
    if (scale.count > 0) {
        memcpy(&tensor->scale, file->bytes + scale.at, sizeof tensor->scale);
    }
    if (zero_point.count > 0) {
        tensor->zero_point = (int32_t)flatbuffer_u32(file, zero_point.at);
    }
}

/* Reads a tensor's description; `bytes` is 0 where it has none that makes sense. */
static struct tensor read_tensor(struct flatbuffer *file, uint32_t at, char *name)
{
    struct table table = flatbuffer_table(file, at);
    struct vector shape = vector_of(file, &table, TENSOR_SHAPE, 4);
    uint32_t type = flatbuffer_field(file, &table, TENSOR_TYPE, 1);
    struct tensor tensor = {.type = type != 0 ? flatbuffer_u8(file, type) : 0, .name = name};
    uint64_t bytes = bytes_of_type(tensor.type);

    copy_name(file, &table, TENSOR_NAME, name);
    read_quantization(file, &table, &tensor);
    if (shape.count > MOST_RANK) {
        return tensor;
    }
    tensor.rank = (uint8_t)shape.count;
    for (uint32_t i = 0; i < shape.count; i++) {
        tensor.dimensions[i] = flatbuffer_u32(file, shape.at + 4 * i);
        bytes *= tensor.dimensions[i];
        if (bytes > INT32_MAX) {
            return tensor;
        }
    }
    tensor.bytes = (uint32_t)bytes;
    return tensor;
}

/* Reads the tensors that the vector `field` of the subgraph lists. */
static bool read_ends(struct flatbuffer *file, const struct table *subgraph, uint32_t field, uint8_t *count,
                      struct refusal *refusal)
{
    struct vector tensors = vector_of(file, subgraph, SUBGRAPH_TENSORS, 4);
    struct vector ends = vector_of(file, subgraph, field, 4);

    for (uint32_t i = 0; i < ends.count; i++) {
        uint32_t slot = (uint32_t)model.inputs + model.outputs;
        uint32_t index = flatbuffer_u32(file, ends.at + 4 * i);
        if (slot == MOST_TENSORS) {
            return refuse(refusal, INTERNAL, slot, "more inputs and outputs than the selftest engine takes", "");
        }
        if (index >= tensors.count) {
            return refuse(refusal, MODEL_INVALID, index, "an input or output that is no tensor", "");
        }
        struct tensor tensor = read_tensor(file, tensors.at + 4 * index, model.names[slot]);
        if (file->damaged || tensor.bytes == 0) {
            return refuse(refusal, MODEL_INVALID, index, "an input or output of no size: ", model.names[slot]);
        }
        model.tensors[slot] = tensor;
        model.arena_used += padded(tensor.bytes);
        (*count)++;
    }
    return true;
}

/* Custom operators need a kernel that only a real engine can have; this one is to refuse as that would. */
static bool has_no_custom_operator(struct flatbuffer *file, const struct table *root, struct refusal *refusal)
{
    char name[NAME_BYTES];
    struct vector codes = vector_of(file, root, MODEL_CODES, 4);

    for (uint32_t i = 0; i < codes.count; i++) {
        struct table code = flatbuffer_table(file, codes.at + 4 * i);
        copy_name(file, &code, CODE_CUSTOM, name);
        if (name[0] != '\0') {
            return refuse(refusal, UNSUPPORTED_OPERATOR, 0, "no kernel for ", name);
        }
    }
    return true;
}

static bool read_model(struct flatbuffer *file, struct refusal *refusal)
{
    struct table root = flatbuffer_table(file, 0);
    struct vector subgraphs = vector_of(file, &root, MODEL_SUBGRAPHS, 4);
    struct table subgraph = flatbuffer_table(file, subgraphs.at);

    return has_no_custom_operator(file, &root, refusal) &&
           read_ends(file, &subgraph, SUBGRAPH_INPUTS, &model.inputs, refusal) &&
           read_ends(file, &subgraph, SUBGRAPH_OUTPUTS, &model.outputs, refusal);
}

bool engine_load(const uint8_t *bytes, uint32_t room, uint8_t *arena, uint32_t arena_size,
                 struct refusal *refusal)
{
    struct flatbuffer file = flatbuffer_open(bytes, room);

    engine_unload();
    if (!read_model(&file, refusal)) {
        engine_unload();
        return false;
    }
    if (model.arena_used > arena_size) {
        uint32_t needed = model.arena_used < NOT_KNOWN ? (uint32_t)model.arena_used : NOT_KNOWN;
        engine_unload();
        return refuse(refusal, ARENA_TOO_SMALL, needed, "the arena does not hold the model", "");
    }
    for (uint32_t i = 0; i < (uint32_t)model.inputs + model.outputs; i++) {
        model.tensors[i].data = arena;
        arena += padded(model.tensors[i].bytes);
    }
    return true;
}

void engine_unload(void)
{
    memset(&model, 0, sizeof model);
}

uint8_t engine_tensors(enum tensor_kind kind)
{
    return kind == TENSOR_INPUT ? model.inputs : model.outputs;
}

struct tensor engine_tensor(enum tensor_kind kind, uint8_t index)
{
    return model.tensors[kind == TENSOR_INPUT ? index : model.inputs + index];
}

static void fill_outputs(void)
{
    uint32_t crc = 0;

    for (uint8_t i = 0; i < model.inputs; i++) {
        crc = crc32(crc, model.tensors[i].data, model.tensors[i].bytes);
    }
    for (uint8_t k = 0; k < model.outputs; k++) {
        const struct tensor *output = &model.tensors[model.inputs + k];
        uint32_t x = crc + k;
        for (uint32_t i = 0; i < output->bytes; i++) {
            x = 1664525U * x + 1013904223U;
            output->data[i] = (uint8_t)(x >> 24);
        }
    }
}

/* What input 0 asks of the invoke; a letter of 0: nothing. */
struct asked {
    char letter;
    uint32_t ticks;
    uint32_t operators;
};

static struct asked read_asked(void)
{
    static const char mark[] = "selftest";
    enum { LETTER = sizeof mark - 1, TICKS = LETTER + 1, OPERATORS = TICKS + 4, ASKED_BYTES = OPERATORS + 2 };
    const struct tensor *input = &model.tensors[0];

    if (model.inputs == 0 || input->bytes < ASKED_BYTES || memcmp(input->data, mark, LETTER) != 0) {
        return (struct asked){0, 0, 1};
    }
    struct asked asked = {(char)input->data[LETTER], get32(input->data + TICKS), get16(input->data + OPERATORS)};
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer asks for the longest invoke that there is, and waits */
    asked.letter = asked.letter == 'h' ? 'w' : asked.letter;
    asked.ticks %= 1 << 15;
    asked.operators %= 1 << 6;
#endif
    asked.operators = asked.operators > 0 ? asked.operators : 1;
    return asked;
}

static void operate(const struct asked *asked)
{
    if (asked->letter == 'h') {
        for (;;) {
        }
    }
    if (asked->letter == 'w' || asked->letter == 's') {
        uint64_t until = port_ticks() + asked->ticks;
        while (port_ticks() < until) {
        }
    }
}

bool engine_invoke(bool profile, engine_between *between, void *context, struct refusal *refusal)
{
    uint64_t before = profile ? port_ticks() : 0;
    uint64_t inside = 0;
    struct asked asked = read_asked();

    model.profiled = model.profiled && !profile;
    if (asked.letter == 'f') {
        return refuse(refusal, INVOKE_FAILED, 1, "the input asked the selftest engine to fail", "");
    }
    for (uint32_t i = 0; i < asked.operators; i++) {
        if (i > 0) {
            inside += profile ? port_ticks() - before : 0;
            if (!between(context, (uint16_t)i, (uint16_t)asked.operators) && asked.letter != 's') {
                return refuse(refusal, INVOKE_FAILED, 0, "broken off", "");
            }
            before = profile ? port_ticks() : 0;
        }
        operate(&asked);
    }
    if (asked.letter != 'n') {
        fill_outputs();
    }
    if (profile) {
        model.profiled = true;
        model.inside = inside + port_ticks() - before;
    }
    return true;
}

struct arena_use engine_arena(void)
{
    return (struct arena_use){.used = (uint32_t)model.arena_used, .head = (uint32_t)model.arena_used, .tail = 0};
}

uint16_t engine_layers(void)
{
    return model.profiled ? 1 : 0;
}

uint64_t engine_layer(uint16_t index, const char **label)
{
    (void)index;
    *label = "selftest";
    return model.inside;
}
