/* A run: warm-up, the measuring loop, and the samples until the host has them. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "refusal.h"

struct bench;

struct run {
    uint16_t id; /* 0: there has been no run */
    uint8_t state; /* enum run_state */
    bool profile;
    bool end_is_untold; /* the frame that tells of the abort has not been sent */
    uint32_t warmup; /* invokes still to do before the first sample */
    uint32_t n;
    uint32_t outputs; /* bit i: output i will be read */
    uint32_t acknowledged; /* samples below are with the host */
    uint32_t sent;
    uint32_t done;
    uint64_t last_sent; /* ticks */
    uint64_t ticks[BENCH_SAMPLES]; /* sample i is at i modulo the size */
    struct refusal failure; /* of the invoke that ended it; code 0 if none did */
};

/* Begins the run that the payload of a RUN describes. */
void run_start(struct run *run, const uint8_t *payload);

bool run_is_going(const struct run *run);

/* Whether the next invoke can be done now: none is while no more samples can be kept. */
bool run_is_due(const struct run *run);

/* Does one invoke if one is due, and sends the samples that are; returns whether it did any of it. */
bool run_step(struct bench *bench);

/* Sends the samples of a run that is going, if any are due. */
void run_report(struct bench *bench);

/* Ends the run that is going, which no invoke may be under way of; the next step tells the host. */
void run_abort(struct run *run);

/* Takes the payload of a SAMPLES_ACK. */
void run_acknowledge(struct run *run, const uint8_t *payload, uint32_t session);

#endif
