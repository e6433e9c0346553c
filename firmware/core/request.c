#include "request.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "engine.h"
#include "inputs.h"
#include "model.h"
#include "protocol.h"
#include "sha256.h"

enum {
    NAME_BYTES = 64,       /* of each of the six strings of IDENTITY */
    OPERATORS_BYTES = 400, /* of operator names in one reply */
    OUTPUT_FIXED_BYTES = 16,
    KNOWN_OUTPUTS = 32, /* bits of the mask of outputs in RUN */
};

/* ---- requests: each puts its reply's payload, or refuses */

static bool identify(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    const struct port *port = bench->port;

    (void)payload;
    (void)refusal;
    put32(reply, port->clock_hz);
    put32(reply, port->tick_hz);
    put32(reply, port->resolution_ticks);
    put_text(reply, port->board, NAME_BYTES);
    put_text(reply, "harness firmware", NAME_BYTES);
    put_text(reply, BENCH_VERSION, NAME_BYTES);
    put_text(reply, BENCH_BUILD_HASH, NAME_BYTES);
    put_text(reply, engine.kernels, NAME_BYTES);
    put_text(reply, engine.name, NAME_BYTES);
    return true;
}

static bool get_model(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    enum { AFTER_INDEX_BYTES = 4 + 1 };
    struct model model;
    char name[NAME_BYTES + 1];
    uint16_t index = get16(payload);
    uint16_t total = model_list(&bench->port->flash, index, &model);

    (void)refusal;
    put16(reply, total);
    put16(reply, index);
    if (index >= total) {
        put_zeros(reply, AFTER_INDEX_BYTES);
        return true;
    }
    model_name(&model, name, sizeof name);
    put32(reply, model.address);
    put_text(reply, name, NAME_BYTES);
    return true;
}

static bool digest(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    const struct flash_window *flash = &bench->port->flash;
    uint8_t sum[SHA256_BYTES];
    uint32_t address = get32(payload);
    uint32_t length = get32(payload + 4);
    uint32_t at = address - flash->address;

    if (length == 0 || address < flash->address || at > flash->size || length > flash->size - at) {
        return refuse(refusal, BAD_ARGUMENT, address, "not all within the flash for models", "");
    }
    sha256(flash->bytes + at, length, sum);
    put32(reply, address);
    put32(reply, length);
    put_bytes(reply, sum, sizeof sum);
    return true;
}

static bool select_model(struct bench *bench, uint32_t address, struct refusal *refusal)
{
    const struct port *port = bench->port;
    struct model model;
    uint32_t needed = 0;

    bench->selected = false;
    bench->run = (struct run){0};
    bench->text = (struct text){0};
    transfer_lose_input(&bench->transfer);
    engine_unload();
    if (!model_find(&port->flash, address, &model, refusal) ||
        !engine_load(model.bytes, model.room, port->arena, port->arena_size, refusal)) {
        return false;
    }
    if (!inputs_clear(port, &needed)) {
        engine_unload();
        return refuse(refusal, INTERNAL, needed, "no room to keep inputs of that size", "");
    }
    bench->selected = true;
    return true;
}

bool request_first_model(struct bench *bench, struct refusal *refusal)
{
    struct model model;

    if (model_list(&bench->port->flash, 0, &model) == 0) {
        return refuse(refusal, NO_MODEL, 0, "no model in flash", "");
    }
    return select_model(bench, model.address, refusal);
}

static bool select_asked(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    if (!select_model(bench, get32(payload), refusal)) {
        return false;
    }
    put8(reply, engine_tensors(TENSOR_INPUT));
    put8(reply, engine_tensors(TENSOR_OUTPUT));
    return true;
}

static bool get_tensor(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    uint8_t kind = payload[0];
    uint8_t index = payload[1];
    uint32_t scale;

    (void)bench;
    if (kind > TENSOR_OUTPUT || index >= engine_tensors(kind)) {
        return refuse(refusal, BAD_ARGUMENT, index, "the model has no such tensor", "");
    }
    struct tensor tensor = engine_tensor(kind, index);
    memcpy(&scale, &tensor.scale, sizeof scale);
    put8(reply, kind);
    put8(reply, index);
    put8(reply, tensor.type);
    put8(reply, tensor.rank);
    put32(reply, tensor.bytes);
    put32(reply, scale);
    put32(reply, (uint32_t)tensor.zero_point);
    for (unsigned i = 0; i < MOST_RANK; i++) {
        put32(reply, i < tensor.rank ? tensor.dimensions[i] : 0);
    }
    put_text(reply, tensor.name, MOST_TEXT_BYTES);
    return true;
}

static bool start_run(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    uint16_t id = get16(payload);
    uint32_t n = get32(payload + 8);

    if (id == 0 || n == 0) {
        return refuse(refusal, BAD_ARGUMENT, 0, "run and n must be above 0", "");
    }
    run_start(&bench->run, payload);
    put16(reply, id);
    return true;
}

static bool get_run(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    const struct run *run = &bench->run;
    const struct invoke *invoke = &bench->invoke;
    uint64_t busy = invoke->under_way ? port_ticks() - invoke->began : 0;

    (void)payload;
    (void)refusal;
    put16(reply, run->id);
    put8(reply, run->state);
    put8(reply, run->failure.code);
    put32(reply, run->done);
    put32(reply, run->warmup);
    put64(reply, busy);
    put16(reply, invoke->under_way ? invoke->operator : 0);
    put16(reply, invoke->under_way ? invoke->operators : 0);
    put_text(reply, run->failure.code != 0 ? run->failure.reason : "", MOST_TEXT_BYTES);
    return true;
}

static bool get_output(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    uint16_t index = get16(payload);
    uint32_t offset = get32(payload + 4);
    uint32_t length = get32(payload + 8);
    uint32_t room = frame_body_limit(bench->max_frame);

    if (bench->run.done == 0) {
        return refuse(refusal, NO_RUN, 0, "no run has brought outputs", "");
    }
    if (index >= engine_tensors(TENSOR_OUTPUT)) {
        return refuse(refusal, BAD_ARGUMENT, index, "the model has no such output", "");
    }
    if (index >= KNOWN_OUTPUTS || (bench->run.outputs >> index & 1) == 0) {
        return refuse(refusal, BAD_ARGUMENT, index, "the output was not asked for with the run", "");
    }
    struct tensor tensor = engine_tensor(TENSOR_OUTPUT, (uint8_t)index);
    uint32_t left = offset < tensor.bytes ? tensor.bytes - offset : 0;
    room = room > HEADER_BYTES + OUTPUT_FIXED_BYTES ? room - HEADER_BYTES - OUTPUT_FIXED_BYTES : 0;
    length = length < left ? length : left;
    length = length < room ? length : room;
    put16(reply, index);
    put16(reply, 0);
    put32(reply, offset);
    put32(reply, tensor.bytes);
    put32(reply, crc32(0, tensor.data, tensor.bytes));
    bench->reply_tail = (struct span){tensor.data + (length > 0 ? offset : 0), length};
    return true;
}

static bool get_memory(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    struct arena_use use = bench->selected ? engine_arena() : (struct arena_use){NOT_KNOWN, NOT_KNOWN, NOT_KNOWN};

    (void)payload;
    (void)refusal;
    put32(reply, use.used);
    put32(reply, use.head);
    put32(reply, use.tail);
    put32(reply, bench->port->arena_size);
    put32(reply, port_heap_free());
    put32(reply, port_stack_used());
    return true;
}

static bool get_layer(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    uint16_t index = get16(payload);
    bool known = bench->selected && !bench->invoke.under_way; /* in an invoke there may be half a profile */
    uint16_t total = known ? engine_layers() : 0;
    const char *label = "";

    if (!engine.profiles) {
        return refuse(refusal, NOT_SUPPORTED, 0, "the engine cannot time operators", "");
    }
    uint64_t ticks = index < total ? engine_layer(index, &label) : 0;
    put16(reply, total);
    put16(reply, index);
    put64(reply, ticks);
    put_text(reply, label, MOST_TEXT_BYTES);
    return true;
}

static bool get_operators(struct bench *bench, const uint8_t *payload, struct message *reply,
                          struct refusal *refusal)
{
    uint32_t offset = get32(payload);
    uint32_t total = (uint32_t)strlen(engine.operators);

    (void)bench;
    if (total == 0) {
        return refuse(refusal, NOT_SUPPORTED, 0, "the engine does not tell its operators", "");
    }
    uint32_t left = offset < total ? total - offset : 0;
    put32(reply, total);
    put32(reply, offset);
    put_bytes(reply, (const uint8_t *)engine.operators + (left > 0 ? offset : 0),
              left < OPERATORS_BYTES ? left : OPERATORS_BYTES);
    return true;
}

static bool get_clock(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    (void)bench;
    (void)payload;
    (void)refusal;
    put64(reply, port_ticks());
    return true;
}

static bool abort_run(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    struct invoke *invoke = &bench->invoke;

    (void)payload;
    (void)refusal;
    if (invoke->under_way) {
        invoke->unwanted = invoke->unwanted || run_is_going(&bench->run); /* the run ends with it */
    } else {
        run_abort(&bench->run);
    }
    put16(reply, bench->run.id);
    put16(reply, 0);
    put32(reply, bench->run.done);
    return true;
}

static bool reset_asked(struct bench *bench, const uint8_t *payload, struct message *reply, struct refusal *refusal)
{
    (void)payload;
    (void)reply;
    (void)refusal;
    bench->reset_asked = true;
    return true;
}

struct request {
    uint8_t payload_bytes;
    bool waits; /* refused while a run or an invoke is under way */
    bool needs_model;
    bool (*carry_out)(struct bench *bench, const uint8_t *payload, struct message *reply,
                      struct refusal *refusal);
};

static const struct request requests[] = {
    [IDENTIFY] = {0, false, false, identify},
    [GET_MODEL] = {2, false, false, get_model},
    [SELECT] = {4, true, false, select_asked},
    [GET_TENSOR] = {2, false, true, get_tensor},
    [RUN] = {16, true, true, start_run},
    [GET_RUN] = {0, false, false, get_run},
    [GET_OUTPUT] = {12, true, false, get_output},
    [GET_MEMORY] = {0, false, false, get_memory},
    [GET_LAYER] = {2, false, false, get_layer},
    [GET_OPERATORS] = {4, false, false, get_operators},
    [GET_CLOCK] = {0, false, false, get_clock},
    [ABORT] = {0, false, false, abort_run},
    [RESET] = {0, false, false, reset_asked},
    [DIGEST] = {8, true, false, digest},
};

enum { KNOWN_REQUESTS = sizeof requests / sizeof requests[0] };

bool request_carry_out(struct bench *bench, uint8_t type, const uint8_t *payload, uint32_t length,
                      struct message *reply, struct refusal *refusal)
{
    const struct request *request = type < KNOWN_REQUESTS ? &requests[type] : NULL;

    if (type == HELLO) { /* a sound one is no numbered request */
        return refuse(refusal, BAD_MESSAGE, type, "the payload does not fit its type", "");
    }
    if (request == NULL || request->carry_out == NULL) {
        return refuse(refusal, UNKNOWN_TYPE, type, "no such message in version 2", "");
    }
    if (length != request->payload_bytes) {
        return refuse(refusal, BAD_MESSAGE, type, "the payload does not fit its type", "");
    }
    if (request->waits && bench_is_busy(bench)) {
        return refuse(refusal, BUSY, 0, "a run is under way", "");
    }
    if (request->needs_model && !bench->selected) {
        return refuse(refusal, NO_MODEL, 0, "no model is selected", "");
    }
    return request->carry_out(bench, payload, reply, refusal);
}
