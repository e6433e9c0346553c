#include "model.h"

#include <string.h>

#include "flatbuffer.h"
#include "protocol.h"

/* ---- the tables of a .tflite file, as far as they lead to further bytes (TensorFlow Lite's schema.fbs) */

enum { SCHEMA_VERSION = 3, MODEL_VERSION = 0, MODEL_SUBGRAPHS = 2, MODEL_DESCRIPTION = 3 };

enum leads_to {
    BYTES = 1, /* a vector of items of 1, 4 or 8 bytes: the number is their size */
    WORDS = 4,
    LONGS = 8,
    TABLE,
    TABLES,  /* a vector of them */
    OPTIONS, /* the table of a union whose type is in the field before */
    OUTSIDE, /* not an offset: place and size in the file of data beyond the 2 GB that offsets reach */
};

struct field {
    uint8_t number;
    uint8_t leads_to;
    uint8_t kind; /* of the table */
};

enum kind { MODEL, CODE, SUBGRAPH, TENSOR, QUANTIZATION, OPERATOR, BUFFER, METADATA, SIGNATURE, MAPPING };

enum { MOST_FIELDS = 7 };

static const struct field kinds[][MOST_FIELDS] = {
    [MODEL] = {{1, TABLES, CODE},
               {2, TABLES, SUBGRAPH},
               {3, BYTES, 0},
               {4, TABLES, BUFFER},
               {5, WORDS, 0},
               {6, TABLES, METADATA},
               {7, TABLES, SIGNATURE}},
    [CODE] = {{1, BYTES, 0}},
    [SUBGRAPH] = {{0, TABLES, TENSOR}, {1, WORDS, 0}, {2, WORDS, 0}, {3, TABLES, OPERATOR}, {4, BYTES, 0}},
    [TENSOR] = {{0, WORDS, 0}, {3, BYTES, 0}, {4, TABLE, QUANTIZATION}, {7, WORDS, 0}},
    [QUANTIZATION] = {{0, WORDS, 0}, {1, WORDS, 0}, {2, WORDS, 0}, {3, LONGS, 0}},
    [OPERATOR] = {{1, WORDS, 0},
                  {2, WORDS, 0},
                  {4, OPTIONS, 0},
                  {5, BYTES, 0},
                  {7, BYTES, 0},
                  {8, WORDS, 0},
                  {12, OPTIONS, 0}},
    [BUFFER] = {{0, BYTES, 0}, {1, OUTSIDE, 0}},
    [METADATA] = {{0, BYTES, 0}},
    [SIGNATURE] = {{0, TABLES, MAPPING}, {1, TABLES, MAPPING}, {2, BYTES, 0}},
    [MAPPING] = {{0, BYTES, 0}},
};

/* Vectors in the options of operators; all else in them lies in the table itself. */
static const struct {
    uint8_t options; /* number in the union BuiltinOptions */
    struct field field;
} option_vectors[] = {
    {3, {1, WORDS, 0}},   /* ConcatEmbeddingsOptions.num_columns_per_channel */
    {3, {2, WORDS, 0}},   /* ConcatEmbeddingsOptions.embedding_dim_per_channel */
    {17, {0, WORDS, 0}},  /* ReshapeOptions.new_shape */
    {30, {0, WORDS, 0}},  /* SqueezeOptions.squeeze_dims */
    {111, {0, BYTES, 0}}, /* VarHandleOptions.container */
    {111, {1, BYTES, 0}}, /* VarHandleOptions.shared_name */
    {115, {0, WORDS, 0}}, /* BucketizeOptions.boundaries */
};

/* ---- how far one reaches */

static void walk_vector(struct flatbuffer *buffer, const struct table *table, struct field field)
{
    uint32_t at = flatbuffer_field(buffer, table, field.number, 4);

    if (at != 0) {
        flatbuffer_vector(buffer, at, field.leads_to);
    }
}

static void walk_options(struct flatbuffer *buffer, const struct table *operator, uint32_t number, uint32_t at)
{
    uint32_t type_at = flatbuffer_field(buffer, operator, number - 1, 1);
    uint8_t type = type_at != 0 && number == 4 ? flatbuffer_u8(buffer, type_at) : 0;
    struct table options = flatbuffer_table(buffer, at);

    for (uint32_t i = 0; i < sizeof option_vectors / sizeof option_vectors[0]; i++) {
        if (option_vectors[i].options == type) {
            walk_vector(buffer, &options, option_vectors[i].field);
        }
    }
}

static void walk_outside(struct flatbuffer *buffer, const struct table *table)
{
    uint32_t offset_at = flatbuffer_field(buffer, table, 1, 8);
    uint32_t size_at = flatbuffer_field(buffer, table, 2, 8);
    uint64_t offset = offset_at != 0 ? flatbuffer_u64(buffer, offset_at) : 0;
    uint64_t size = size_at != 0 ? flatbuffer_u64(buffer, size_at) : 0;

    if (offset <= 1) { /* the format's way to say that the data is in the vector */
        return;
    }
    if (size > buffer->size || offset > buffer->size - size) {
        buffer->damaged = true;
    } else if (offset + size > buffer->reached) {
        buffer->reached = (uint32_t)(offset + size);
    }
}

/* Depth is that of the schema, which has no cycles. */
static void walk(struct flatbuffer *buffer, uint32_t table_at, uint8_t kind) /* NOLINT(misc-no-recursion) */
{
    struct table table = flatbuffer_table(buffer, table_at);

    for (uint32_t i = 0; i < MOST_FIELDS && kinds[kind][i].leads_to != 0 && !buffer->damaged; i++) {
        struct field field = kinds[kind][i];
        if (field.leads_to <= LONGS) {
            walk_vector(buffer, &table, field);
            continue;
        }
        if (field.leads_to == OUTSIDE) {
            walk_outside(buffer, &table);
            continue;
        }
        uint32_t at = flatbuffer_field(buffer, &table, field.number, 4);
        if (at == 0) {
            continue;
        }
        if (field.leads_to == OPTIONS) {
            walk_options(buffer, &table, field.number, at);
        } else if (field.leads_to == TABLE) {
            walk(buffer, at, field.kind);
        } else {
            struct vector items = flatbuffer_vector(buffer, at, 4);
            for (uint32_t j = 0; j < items.count && !buffer->damaged; j++) {
                walk(buffer, items.at + 4 * j, field.kind);
            }
        }
    }
}

/* Reads the file at `bytes` with room for `room`; false where it is none or of another schema version. */
static bool read_model(const uint8_t *bytes, uint32_t room, struct model *model)
{
    struct flatbuffer buffer = flatbuffer_open(bytes, room);
    struct table root = flatbuffer_table(&buffer, 0);
    uint32_t version = flatbuffer_field(&buffer, &root, MODEL_VERSION, 4);
    uint32_t subgraphs = flatbuffer_field(&buffer, &root, MODEL_SUBGRAPHS, 4);
    uint32_t description = flatbuffer_field(&buffer, &root, MODEL_DESCRIPTION, 4);
    struct vector text = {0};

    if (version == 0 || flatbuffer_u32(&buffer, version) != SCHEMA_VERSION || subgraphs == 0 ||
        flatbuffer_vector(&buffer, subgraphs, 4).count == 0) {
        return false;
    }
    if (description != 0) {
        text = flatbuffer_vector(&buffer, description, 1);
    }
    walk(&buffer, 0, MODEL);
    model->bytes = bytes;
    model->size = buffer.reached;
    model->description = bytes + text.at;
    model->description_bytes = text.count;
    return !buffer.damaged;
}

/* ---- where they are */

static bool is_marked(const struct flash_window *flash, uint32_t at)
{
    return flash->size - at >= 8 && memcmp(flash->bytes + at + 4, "TFL3", 4) == 0;
}

bool model_find(const struct flash_window *flash, uint32_t address, struct model *model, struct refusal *refusal)
{
    uint32_t at = address - flash->address;

    if (address < flash->address || at >= flash->size || at % flash->block != 0 || !is_marked(flash, at)) {
        return refuse(refusal, NO_MODEL, address, "no model at that address", "");
    }
    if (!read_model(flash->bytes + at, flash->size - at, model)) {
        return refuse(refusal, MODEL_INVALID, 0, "damaged, or not of TFLite's schema version 3", "");
    }
    model->address = address;
    return true;
}

uint16_t model_list(const struct flash_window *flash, uint16_t index, struct model *model)
{
    struct model found;
    uint16_t count = 0;
    uint32_t at = 0;

    while (at < flash->size && count < UINT16_MAX) {
        uint32_t used = 1;
        if (is_marked(flash, at) && read_model(flash->bytes + at, flash->size - at, &found)) {
            used = found.size;
            if (count++ == index) {
                *model = found;
                model->address = flash->address + at;
            }
        }
        uint32_t step = (used + flash->block - 1) / flash->block * flash->block;
        if (step >= flash->size - at) {
            break;
        }
        at += step;
    }
    return count;
}
