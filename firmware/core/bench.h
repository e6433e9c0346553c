/* The device: sessions and requests of the bench protocol over one line. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "port.h"
#include "refusal.h"
#include "run.h"
#include "text.h"
#include "transfer.h"

enum { REPLY_BYTES = 496 }; /* of a body: a reply has at most 512 bytes on the line, OUTPUT excepted */

struct bench {
    const struct port *port;
    struct decoder decoder;
    uint64_t last_heard; /* ticks, less those in which nobody listened */
    uint32_t session;    /* 0: none */
    uint32_t max_frame;  /* line bytes of the longest frame that the host takes */
    uint16_t last_request;
    bool selected; /* there is a current model, and its inputs are kept */
    bool reset_asked;
    /* The last request's reply, to be sent again: bytes here, and for OUTPUT bytes of the tensor. */
    uint8_t reply[REPLY_BYTES];
    uint32_t reply_length;
    struct span reply_tail;
    struct transfer transfer;
    struct run run;
    struct text text;
};

/* Makes the board ready and says hello in text. */
void bench_start(struct bench *bench);

/* Takes what has arrived, and does one invoke where one is due; returns whether there was anything to do. */
bool bench_turn(struct bench *bench);

#endif
