#include "message.h"

#include <string.h>

#include "bytes.h"
#include "frame.h"

/* NOLINTNEXTLINE(readability-non-const-parameter): what is put goes there */
struct message message_begin(uint8_t *bytes, uint32_t capacity, uint8_t type, uint16_t number, uint32_t session)
{
    struct message message = {bytes, capacity, 0};

    put8(&message, MARK);
    put8(&message, type);
    put16(&message, number);
    put32(&message, session);
    return message;
}

void put_bytes(struct message *message, const uint8_t *bytes, uint32_t length)
{
    if (length <= message->capacity - message->length) {
        memcpy(message->bytes + message->length, bytes, length);
        message->length += length;
    }
}

void put8(struct message *message, uint8_t value)
{
    put_bytes(message, &value, sizeof value);
}

void put16(struct message *message, uint16_t value)
{
    uint8_t bytes[2];

    set16(bytes, value);
    put_bytes(message, bytes, sizeof bytes);
}

void put32(struct message *message, uint32_t value)
{
    uint8_t bytes[4];

    set32(bytes, value);
    put_bytes(message, bytes, sizeof bytes);
}

void put64(struct message *message, uint64_t value)
{
    uint8_t bytes[8];

    set64(bytes, value);
    put_bytes(message, bytes, sizeof bytes);
}

void put_zeros(struct message *message, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put8(message, 0);
    }
}

void put_text(struct message *message, const char *text, uint32_t limit)
{
    uint32_t length = 0;

    while (length < limit && length < MOST_TEXT_BYTES && text[length] != '\0') {
        length++;
    }
    put8(message, (uint8_t)length);
    for (uint32_t i = 0; i < length; i++) {
        put8(message, (uint8_t)text[i] < 0x80 ? (uint8_t)text[i] : (uint8_t)'?');
    }
}

void message_send(const struct message *message)
{
    frame_send((struct span){message->bytes, message->length}, (struct span){0});
}
