/*
 * Reading a flatbuffer that may be anything: every offset is checked before it is followed.
 *
 * Whatever leads outside the bytes sets `damaged` and reads as 0, so that a caller may look once at the end.
 */
#ifndef BENCH_FLATBUFFER_H
#define BENCH_FLATBUFFER_H

#include <stdbool.h>
#include <stdint.h>

struct flatbuffer {
    const uint8_t *bytes;
    uint32_t size;
    bool damaged;
};

struct table {
    uint32_t at;
    uint32_t size;
    uint32_t fields; /* where the offsets of its fields are: a table of u16 */
    uint32_t field_count;
};

struct vector {
    uint32_t at; /* of the first item */
    uint32_t count;
};

struct flatbuffer flatbuffer_open(const uint8_t *bytes, uint32_t size);

/* The table that the offset at byte `at` leads to. */
struct table flatbuffer_table(struct flatbuffer *buffer, uint32_t at);

/* The vector (or string) that the offset at byte `at` leads to. */
struct vector flatbuffer_vector(struct flatbuffer *buffer, uint32_t at, uint32_t item_bytes);

/* Where field `number` of a table with room for `bytes` lies, 0 where it is absent. */
uint32_t flatbuffer_field(struct flatbuffer *buffer, const struct table *table, uint32_t number,
                          uint32_t bytes);

uint8_t flatbuffer_u8(struct flatbuffer *buffer, uint32_t at);
uint32_t flatbuffer_u32(struct flatbuffer *buffer, uint32_t at);

#endif
