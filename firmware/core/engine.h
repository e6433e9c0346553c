/* What the core needs of whatever runs models. Exactly one engine is linked to it. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"
#include "refusal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tensor_kind { TENSOR_INPUT = 0, TENSOR_OUTPUT = 1 };

struct tensor {
    uint8_t *data; /* where invoke reads or writes it */
    uint32_t bytes;
    uint8_t type; /* as the TFLite schema numbers them */
    uint8_t rank;
    uint32_t dimensions[MOST_RANK];
    float scale; /* 0: not quantised */
    int32_t zero_point;
    const char *name; /* "" where not known */
};

struct arena_use {
    uint32_t used; /* NOT_KNOWN where that is so, here and below */
    uint32_t head; /* activations and scratch memory */
    uint32_t tail; /* what lives as long as the model */
};

struct engine {
    const char *name;
    const char *kernels;   /* "" where not known */
    const char *operators; /* those that it registers, LF between two; "" where that is not told */
    bool profiles;         /* engine_layer knows something */
    bool is_selftest;      /* what it computes is no model's output: the host is told so */
};

extern const struct engine engine;

/*
 * Makes the model that begins at `model` and ends somewhere within `room` bytes the current one, in `arena_size` bytes
 * of `arena`. model_find has passed it: it has the right schema version and a subgraph, but whatever they refer to may
 * be damaged. If it refuses there is no current model.
 */
bool engine_load(const uint8_t *model, uint32_t room, uint8_t *arena, uint32_t arena_size,
                 struct refusal *refusal);

/* Forgets the current model, if there is one. */
void engine_unload(void);

/* Tensors of the current model; a count may be asked for at any time, and is 0 without a model. */
uint8_t engine_tensors(enum tensor_kind kind);
struct tensor engine_tensor(enum tensor_kind kind, uint8_t index);

/*
 * What an engine calls between two operators of an invoke, wherever it can: the core attends to the line. `done` of
 * `operators` are done; 0 of 0 if that is not known. False: nobody waits for the invoke any more. An engine that can
 * breaks it off and returns false from it; one that cannot goes on to its end.
 *
 * In here the core asks for tensors and for the arena's use, but neither loads, unloads nor invokes.
 */
typedef bool engine_between(void *context, uint16_t done, uint16_t operators);

/* Runs the current model once; `context` is for `between`. Only `profile` makes engine_layer speak of this invoke. */
bool engine_invoke(bool profile, engine_between *between, void *context, struct refusal *refusal);

struct arena_use engine_arena(void);

/* Operators of the last invoke with `profile` in their order; 0 of them since the model was loaded without. */
uint16_t engine_layers(void);
uint64_t engine_layer(uint16_t index, const char **label);

#ifdef __cplusplus
}
#endif

#endif
