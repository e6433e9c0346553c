#include "frame.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "port.h"

enum { LONGEST_BLOCK = 254 }; /* bytes without a 00 that one COBS code byte can announce */

/* ---- from the line */

static bool is_text(uint8_t byte)
{
    return (byte >= ' ' && byte <= '~') || byte == '\r' || byte == '\n';
}

static void begin_block(struct decoder *decoder, uint8_t code)
{
    decoder->left = (uint8_t)(code - 1);
    decoder->zero_next = code <= LONGEST_BLOCK;
}

static void put(struct decoder *decoder, uint8_t byte)
{
    if (decoder->length == sizeof decoder->bytes) {
        decoder->state = CHUNK_SKIPPED;
        return;
    }
    decoder->bytes[decoder->length++] = byte;
}

static void take_frame_byte(struct decoder *decoder, uint8_t byte)
{
    if (decoder->left > 0) {
        decoder->left--;
        put(decoder, byte);
        return;
    }
    if (decoder->zero_next) {
        put(decoder, 0);
    }
    begin_block(decoder, byte);
}

static enum decoded take_text_byte(struct decoder *decoder, uint8_t byte)
{
    if (!is_text(byte)) {
        decoder->state = CHUNK_SKIPPED;
    } else if (byte == '%') {
        decoder->state = CHUNK_START;
        decoder->bytes[decoder->length] = '\0';
        return DECODED_COMMAND;
    } else if (decoder->length > 0 || (byte != '\r' && byte != '\n')) {
        /* What is too long for a command is cut off. */
        if (decoder->length < COMMAND_CHARS) {
            decoder->bytes[decoder->length++] = byte;
        }
    }
    return DECODED_NOTHING;
}

static enum decoded take_second_byte(struct decoder *decoder, uint8_t byte)
{
    uint8_t first = decoder->first;

    decoder->length = 0;
    if (byte == MARK) {
        decoder->state = CHUNK_FRAME;
        begin_block(decoder, first);
        take_frame_byte(decoder, byte);
        return DECODED_NOTHING;
    }
    if (!is_text(first) || !is_text(byte)) {
        decoder->state = CHUNK_SKIPPED;
        return DECODED_NOTHING;
    }
    decoder->state = CHUNK_TEXT;
    if (take_text_byte(decoder, first) == DECODED_COMMAND) {
        decoder->state = CHUNK_SECOND;
        decoder->first = byte;
        return DECODED_COMMAND;
    }
    return take_text_byte(decoder, byte);
}

static enum decoded end_chunk(struct decoder *decoder)
{
    bool whole = decoder->state == CHUNK_FRAME && decoder->left == 0 && decoder->length > CRC_BYTES;

    decoder->state = CHUNK_START;
    if (!whole) {
        return DECODED_NOTHING;
    }
    decoder->length -= CRC_BYTES;
    if (decoder->bytes[0] != MARK ||
        crc32(0, decoder->bytes, decoder->length) != get32(decoder->bytes + decoder->length)) {
        return DECODED_NOTHING;
    }
    return DECODED_BODY;
}

enum decoded decoder_take(struct decoder *decoder, uint8_t byte)
{
    if (byte == 0) {
        return end_chunk(decoder);
    }
    switch (decoder->state) {
    case CHUNK_START:
        decoder->state = CHUNK_SECOND;
        decoder->first = byte;
        break;
    case CHUNK_SECOND:
        return take_second_byte(decoder, byte);
    case CHUNK_FRAME:
        take_frame_byte(decoder, byte);
        break;
    case CHUNK_TEXT:
        return take_text_byte(decoder, byte);
    case CHUNK_SKIPPED:
        break;
    }
    return DECODED_NOTHING;
}

void decoder_drop(struct decoder *decoder)
{
    decoder->state = CHUNK_START;
}

/* ---- to the line */

/* Line bytes on their way out: all before `code_at` are final, the block from there on is not. */
struct encoder {
    uint8_t bytes[384];
    uint32_t length;
    uint32_t code_at;
};

static void close_block(struct encoder *encoder)
{
    encoder->bytes[encoder->code_at] = (uint8_t)(encoder->length - encoder->code_at);
    if (encoder->length + 1 + LONGEST_BLOCK > sizeof encoder->bytes) {
        port_write(encoder->bytes, encoder->length);
        encoder->length = 0;
    }
    encoder->code_at = encoder->length++;
}

static void encode(struct encoder *encoder, struct span span)
{
    for (uint32_t i = 0; i < span.length; i++) {
        if (encoder->length - encoder->code_at > LONGEST_BLOCK) {
            close_block(encoder);
        }
        if (span.bytes[i] == 0) {
            close_block(encoder);
        } else {
            encoder->bytes[encoder->length++] = span.bytes[i];
        }
    }
}

void frame_send(struct span head, struct span tail)
{
    struct encoder encoder = {.bytes = {0}, .length = 2, .code_at = 1};
    uint8_t crc[CRC_BYTES];

    set32(crc, crc32(crc32(0, head.bytes, head.length), tail.bytes, tail.length));
    encode(&encoder, head);
    encode(&encoder, tail);
    encode(&encoder, (struct span){crc, sizeof crc});
    close_block(&encoder);
    encoder.bytes[encoder.code_at] = 0;
    port_write(encoder.bytes, encoder.length);
}

uint32_t frame_body_limit(uint32_t line_bytes)
{
    uint32_t around = CRC_BYTES + 3; /* two delimiters, one COBS code byte, and one more in each 254 bytes */

    return line_bytes < around ? 0 : (line_bytes - around) - (line_bytes - around) / (LONGEST_BLOCK + 1);
}
