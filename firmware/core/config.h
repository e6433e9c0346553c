/* What a build may choose. */
#ifndef BENCH_CONFIG_H
#define BENCH_CONFIG_H

/* Longest block of tensor data in one frame. Longer blocks cost RAM, shorter ones line speed. */
#ifndef BENCH_MAX_BLOCK
#define BENCH_MAX_BLOCK 2048
#endif

/* Samples kept until the host has acknowledged them, 8 bytes each. */
#ifndef BENCH_SAMPLES
#define BENCH_SAMPLES 128
#endif

#ifndef BENCH_VERSION
#define BENCH_VERSION ""
#endif

/* The commit that the firmware was built from. */
#ifndef BENCH_BUILD_HASH
#define BENCH_BUILD_HASH ""
#endif

#endif
