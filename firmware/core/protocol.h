/* The numbers of the bench protocol, version 2 (firmware/PROTOCOL.md). */
#ifndef BENCH_PROTOCOL_H
#define BENCH_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PROTOCOL_OLDEST = 2,
    PROTOCOL_NEWEST = 2,
    HEADER_BYTES = 8,
    CONTROL_BYTES = 512, /* of the receive buffer, kept for everything but tensor data */
    MOST_RANK = 8,
    MASK_BITS = 64,
};

#define NOT_KNOWN UINT32_MAX

/* A reply's type is its request's with this bit set. */
enum { FROM_DEVICE = 0x40 };

enum message_type {
    HELLO = 0x01,
    IDENTIFY = 0x02,
    GET_MODEL = 0x03,
    SELECT = 0x04,
    GET_TENSOR = 0x05,
    RUN = 0x06,
    GET_RUN = 0x07,
    GET_OUTPUT = 0x08,
    GET_MEMORY = 0x09,
    GET_LAYER = 0x0A,
    GET_OPERATORS = 0x0B,
    GET_CLOCK = 0x0C,
    ABORT = 0x0D,
    RESET = 0x0E,
    DIGEST = 0x0F,
    FIRST_STREAM_TYPE = 0x20, /* types below are requests */
    OPEN = 0x20,
    DATA = 0x21,
    PROBE = 0x22,
    SAMPLES_ACK = 0x23,
    ACK = 0x60,
    SAMPLES = 0x61,
    ERROR = 0x7F,
};

enum error_code {
    BAD_MESSAGE = 1,
    UNKNOWN_TYPE = 2,
    NO_SESSION = 3,
    SEQUENCE = 4,
    BAD_ARGUMENT = 5,
    NO_MODEL = 6,
    MODEL_INVALID = 7,
    UNSUPPORTED_OPERATOR = 8,
    ARENA_TOO_SMALL = 9,
    INVOKE_FAILED = 10,
    BUSY = 11,
    NO_RUN = 12,
    NOT_SUPPORTED = 13,
    INTERNAL = 14,
};

enum transfer_status {
    TRANSFER_NONE = 0,
    TRANSFER_RECEIVING = 1,
    TRANSFER_COMPLETE = 2,
    TRANSFER_DIGEST = 3,
    TRANSFER_BAD_INPUT = 4,
    TRANSFER_BAD_RANGE = 5,
    TRANSFER_BUSY = 6,
};

enum run_state {
    RUN_IDLE = 0,
    RUN_WARMING = 1,
    RUN_MEASURING = 2,
    RUN_DONE = 3,
    RUN_ABORTED = 4,
    RUN_FAILED = 5,
};

enum capability {
    CAN_MEMORY = 1,
    CAN_PROFILE = 2,
    CAN_OPERATORS = 4,
    CAN_MLPERF_TEXT = 8,
    IS_EMULATED = 16, /* its times are not those of a board */
    IS_SELFTEST = 32, /* its outputs and times are no model's */
};

enum {
    FLAG_PROFILE = 1, /* of RUN: time each operator */
    FLAG_REPLACE = 1, /* of OPEN: give up the unfinished transfer */
    FLAG_RESEND = 1,  /* of SAMPLES_ACK: send everything from `next` on again */
};

/* Says whether the 16-bit counter value `a` comes after `b`. */
static inline bool newer(uint16_t a, uint16_t b)
{
    uint16_t ahead = (uint16_t)(a - b);

    return ahead != 0 && ahead < 0x8000;
}

#endif
