/*
 * MLPerf Tiny's serial API: text commands on the same port as the frames.
 *
 * The wording of the answers is that of MLPerf Tiny's own device code (benchmark/api of mlcommons/tiny), which
 * its runner matches by regular expression.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "port.h"

struct bench;

struct text {
    bool asked;        /* for the current model there has been a `db load`: `infer` waits for all of it */
    uint32_t expected; /* bytes of it; 0: its length was refused */
    uint32_t filled;
    bool infers; /* `infer` is under way */
};

/* What a device prints when it starts. */
void text_banner(void);

/* Answers a command, which it cuts into words. */
void text_command(struct bench *bench, char *command);

#endif
