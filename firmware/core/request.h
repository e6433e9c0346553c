/* What the requests of the bench protocol do. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "bench.h"
#include "message.h"
#include "refusal.h"

/* Carries a request out and puts its reply's payload; where it refuses, the reply is not to be sent. */
bool request_carry_out(struct bench *bench, uint8_t type, const uint8_t *payload, uint32_t length,
                       struct message *reply, struct refusal *refusal);

/* Makes the first model in flash the current one; refuses with NO_MODEL where there is none. */
bool request_first_model(struct bench *bench, struct refusal *refusal);

#endif
