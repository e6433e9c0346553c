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

enum {
    REPLY_BYTES = 496, /* of a body: a reply has at most 512 bytes on the line, OUTPUT excepted */
    ARRIVED_BYTES = 64,
};

/* The invoke that is under way, or the last one. */
struct invoke {
    bool under_way;
    bool unwanted; /* nobody waits for it any more */
    uint16_t operator; /* operators that are done */
    uint16_t operators; /* of how many; 0: not known */
    uint64_t began; /* ticks, like all below */
    uint64_t looked; /* when the line was last attended to */
    uint64_t attended; /* what went to the line since it began */
};

struct bench {
    const struct port *port;
    struct decoder decoder;
    struct {
        uint8_t bytes[ARRIVED_BYTES];
        uint8_t at; /* those before have been taken */
        uint8_t count;
    } arrived; /* what has been read from the port; kept here, as taking a byte may lead to an invoke that takes more */
    uint64_t last_heard; /* ticks */
    uint64_t away; /* ticks up to now in which nobody looked at the line */
    uint32_t session; /* 0: none */
    uint32_t max_frame; /* line bytes of the longest frame that the host takes */
    uint16_t last_request;
    bool selected; /* there is a current model, and its inputs are kept */
    bool reset_asked;
    /* The last request's reply, to be sent again: bytes here, and for OUTPUT bytes of the tensor. */
    uint8_t reply[REPLY_BYTES];
    uint32_t reply_length;
    struct span reply_tail;
    struct transfer transfer;
    struct invoke invoke;
    struct run run;
    struct text text;
};

/* Makes the board ready and says hello in text. */
void bench_start(struct bench *bench);

/* Takes what has arrived, and does one invoke if one is due; returns whether there was anything to do. */
bool bench_turn(struct bench *bench);

/* Whether a run or an invoke is under way: only one invoke can be at a time, and none survives a change of model. */
bool bench_is_busy(const struct bench *bench);

/*
 * Invokes the current model once on its inputs as they are kept, and attends to the line between operators. Gives the
 * ticks that the invoke took, without those that went to the line. False if it failed, for which `refusal` has the
 * reason, or if `invoke.unwanted` says that nobody waits for it any more.
 */
bool bench_invoke(struct bench *bench, bool profile, uint64_t *ticks, struct refusal *refusal);

/* Drops what has arrived up to the first 00, with which a frame begins; false if there is none. */
bool bench_hears_frame(struct bench *bench);

#endif
