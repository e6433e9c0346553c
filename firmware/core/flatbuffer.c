#include "flatbuffer.h"

#include <stddef.h>

#include "bytes.h"

/* Returns `at` where the bytes from there on exist, and 0, which always can be read, where they do not. */
static uint32_t checked(struct flatbuffer *buffer, uint32_t at, uint32_t bytes)
{
    if (bytes > buffer->size || at > buffer->size - bytes) {
        buffer->damaged = true;
        return 0;
    }
    return at;
}

struct flatbuffer flatbuffer_open(const uint8_t *bytes, uint32_t size)
{
    return (struct flatbuffer){
        .bytes = bytes,
        .size = size,
        .damaged = size < 2 * sizeof(uint32_t), /* a root and an identifier */
    };
}

uint8_t flatbuffer_u8(struct flatbuffer *buffer, uint32_t at)
{
    return buffer->bytes[checked(buffer, at, 1)];
}

uint32_t flatbuffer_u32(struct flatbuffer *buffer, uint32_t at)
{
    return get32(buffer->bytes + checked(buffer, at, 4));
}

/* The place that the offset at byte `at` leads to. */
static uint32_t follow(struct flatbuffer *buffer, uint32_t at)
{
    uint32_t offset = flatbuffer_u32(buffer, at);

    if (offset > buffer->size) {
        buffer->damaged = true;
        return 0;
    }
    return checked(buffer, at + offset, 4);
}

struct table flatbuffer_table(struct flatbuffer *buffer, uint32_t at)
{
    struct table table = {.at = follow(buffer, at)};

    /* A table begins with how far before it (or, where negative, behind it) its vtable is. */
    uint32_t vtable = checked(buffer, table.at - flatbuffer_u32(buffer, table.at), 4);
    uint32_t vtable_bytes = get16(buffer->bytes + vtable);
    table.size = get16(buffer->bytes + vtable + 2);
    checked(buffer, vtable, vtable_bytes);
    checked(buffer, table.at, table.size);
    if (buffer->damaged || vtable_bytes < 4) {
        buffer->damaged = true;
        return (struct table){0};
    }
    table.fields = vtable + 4;
    table.field_count = (vtable_bytes - 4) / 2;
    return table;
}

struct vector flatbuffer_vector(struct flatbuffer *buffer, uint32_t at, uint32_t item_bytes)
{
    uint32_t start = follow(buffer, at);
    struct vector vector = {start + 4, flatbuffer_u32(buffer, start)};

    if (buffer->damaged || vector.count > (buffer->size - vector.at) / item_bytes) {
        buffer->damaged = true;
        return (struct vector){0};
    }
    return vector;
}

uint32_t flatbuffer_field(struct flatbuffer *buffer, const struct table *table, uint32_t number,
                          uint32_t bytes)
{
    if (number >= table->field_count) {
        return 0;
    }
    uint32_t offset = get16(buffer->bytes + table->fields + (size_t)2 * number);
    if (offset == 0) {
        return 0;
    }
    if (offset < 4 || offset + bytes > table->size) {
        buffer->damaged = true;
        return 0;
    }
    return table->at + offset;
}
