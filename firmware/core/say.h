/* Text to the line. newlib's printf would need a heap for what little is said here. */
#ifndef BENCH_SAY_H
#define BENCH_SAY_H

#include <stdint.h>

void say(const char *text);
void say_number(uint64_t number);
void say_hex(uint8_t byte);

/* Says `before`, the number and `after`. */
void say_all(const char *before, uint64_t number, const char *after);

/* Says `units` * `scale` with three decimals, exactly as printf("%.3f") does up to 2^63. */
void say_scaled(int64_t units, float scale);

#endif
