/*
 * MLPerf Tiny's benchmarks: which one the current model is for, and what the bytes of `db` are to its reference device
 * (mlcommons/tiny at 1afd2c9, benchmark/reference_submissions, th_load_tensor and th_results of each).
 */
#ifndef BENCH_BENCHMARK_H
#define BENCH_BENCHMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "port.h"

struct benchmark;

/* The one that the current model is for; its name is "other" if that is none of MLPerf Tiny's. */
const struct benchmark *benchmark_of_model(void);

const char *benchmark_name(const struct benchmark *benchmark);

/* Bytes that `db load` takes; 0: there is nothing that it could fill, or no room for it. */
uint32_t benchmark_bytes(const struct benchmark *benchmark, const struct port *port);

/* Takes byte `index` of what is loaded into the input, as the reference device does, or gives it back. */
void benchmark_load(const struct benchmark *benchmark, const struct port *port, uint32_t index, uint8_t byte);
uint8_t benchmark_loaded(const struct benchmark *benchmark, const struct port *port, uint32_t index);

/* Whether the device's one result is `benchmark_error`, not the output. */
bool benchmark_has_error(const struct benchmark *benchmark);

/*
 * The mean squared difference between output and input. The input is the first `filled` bytes that were loaded, and
 * the input tensor where that holds something else (nothing was loaded, or a host streamed another one since).
 */
float benchmark_error(const struct benchmark *benchmark, const struct port *port, uint32_t filled);

#endif
