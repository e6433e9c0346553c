/* Why something that the host asked for is not done. */
#ifndef BENCH_REFUSAL_H
#define BENCH_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

enum { REASON_BYTES = 96 };

struct refusal {
    uint8_t code; /* enum error_code */
    uint32_t detail;
    char reason[REASON_BYTES]; /* one line for a person, `text` and what it speaks of */
};

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in a refusal and returns false, so that a function that refuses can end with it. */
bool refuse(struct refusal *refusal, uint8_t code, uint32_t detail, const char *text, const char *name);

#ifdef __cplusplus
}
#endif

#endif
