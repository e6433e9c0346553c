/*
 * Frames on the line (00, COBS of body and CRC-32, 00), and text commands between them.
 *
 * A chunk is what stands between two 00 bytes. Its second byte tells frames from text: it is the first byte of
 * the body, which is MARK in every frame.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "protocol.h"

enum {
    MARK = 0xBE,
    CRC_BYTES = 4,
    COMMAND_CHARS = 80, /* of a text command, as much as MLPerf Tiny's own devices keep */
    DATA_FIXED_BYTES = 8,
    MOST_BODY_BYTES = HEADER_BYTES + DATA_FIXED_BYTES + BENCH_MAX_BLOCK,
};

struct decoder {
    enum { CHUNK_START, CHUNK_SECOND, CHUNK_FRAME, CHUNK_TEXT, CHUNK_SKIPPED } state;
    uint8_t first;  /* byte of the chunk */
    uint8_t left;   /* bytes of the COBS block that are still to come */
    bool zero_next; /* a 00 stands between this block and the next */
    uint32_t length;
    uint8_t bytes[MOST_BODY_BYTES + CRC_BYTES]; /* the body, or the command and a NUL */
};

enum decoded { DECODED_NOTHING, DECODED_BODY, DECODED_COMMAND };

/* Takes a byte from the line and says what it completed: `length` of `bytes` hold it until the next byte. */
enum decoded decoder_take(struct decoder *decoder, uint8_t byte);

/* Forgets a frame or command that has arrived in part. */
void decoder_drop(struct decoder *decoder);

/* Bytes somewhere in memory. */
struct span {
    const uint8_t *bytes;
    uint32_t length;
};

/* Sends the frame whose body is `head` followed by `tail`. */
void frame_send(struct span head, struct span tail);

/* The longest body that fits `line_bytes` of line. */
uint32_t frame_body_limit(uint32_t line_bytes);

#endif
