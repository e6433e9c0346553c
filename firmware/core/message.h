/* Bodies that the device sends: a header and what is put behind it. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdint.h>

enum { MOST_TEXT_BYTES = 255 };

struct message {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t length;
};

/* Begins a body in `capacity` bytes; what does not fit into them later is left out. */
struct message message_begin(uint8_t *bytes, uint32_t capacity, uint8_t type, uint16_t number, uint32_t session);

void put8(struct message *message, uint8_t value);
void put16(struct message *message, uint16_t value);
void put32(struct message *message, uint32_t value);
void put64(struct message *message, uint64_t value);
void put_bytes(struct message *message, const uint8_t *bytes, uint32_t length);
void put_zeros(struct message *message, uint32_t count);

/* A string of at most `limit` bytes. Bytes that are not ASCII become '?', as a device cannot judge UTF-8. */
void put_text(struct message *message, const char *text, uint32_t limit);

/* Sends the frame with this body. */
void message_send(const struct message *message);

#endif
