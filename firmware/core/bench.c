#include "bench.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "engine.h"
#include "inputs.h"
#include "message.h"
#include "model.h"
#include "protocol.h"
#include "sha256.h"

enum {
    NAME_BYTES = 64, /* of each of the six strings of IDENTITY */
    OPERATORS_BYTES = 400, /* of operator names in one reply */
    OUTPUT_FIXED_BYTES = 16,
    DIMENSION_BYTES = 4,
    SILENCE_S = 2, /* without a byte: an unfinished frame is dropped */
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
    enum { AFTER_INDEX_BYTES = 4 + 4 + SHA256_BYTES + 1 };
    struct model model;
    uint8_t digest[SHA256_BYTES];
    char name[NAME_BYTES + 1] = {0};
    uint16_t index = get16(payload);
    uint16_t total = model_list(&bench->port->flash, index, &model);

    (void)refusal;
    put16(reply, total);
    put16(reply, index);
    if (index >= total) {
        put_zeros(reply, AFTER_INDEX_BYTES);
        return true;
    }
    sha256(model.bytes, model.size, digest);
    memcpy(name, model.description,
           model.description_bytes < NAME_BYTES ? model.description_bytes : NAME_BYTES);
    put32(reply, model.address);
    put32(reply, model.size);
    put_bytes(reply, digest, sizeof digest);
    put_text(reply, name, NAME_BYTES);
    return true;
}

static bool select_model(struct bench *bench, uint32_t address, struct refusal *refusal)
{
    const struct port *port = bench->port;
    struct model model;
    uint32_t needed = 0;

    bench->selected = false;
    bench->run = (struct run){0};
    transfer_lose_input(&bench->transfer);
    engine_unload();
    if (!model_find(&port->flash, address, &model, refusal) ||
        !engine_load(model.bytes, model.size, port->arena, port->arena_size, refusal)) {
        return false;
    }
    if (!inputs_clear(port, &needed)) {
        engine_unload();
        return refuse(refusal, INTERNAL, needed, "the firmware has no room to keep inputs of that size", "");
    }
    bench->selected = true;
    return true;
}

bool bench_select_first(struct bench *bench, struct refusal *refusal)
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

    (void)payload;
    (void)refusal;
    put16(reply, run->id);
    put8(reply, run->state);
    put8(reply, run->failure.code);
    put32(reply, run->done);
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
    if (index >= 32 || (bench->run.outputs >> index & 1) == 0) {
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
    uint16_t total = bench->selected ? engine_layers() : 0;
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
    (void)payload;
    (void)refusal;
    run_abort(&bench->run);
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
    bool waits_for_run; /* refused while one is under way */
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
};

enum {
    HELLO_BYTES = 8,
    OPEN_BYTES = 24,
    SAMPLES_ACK_BYTES = 8,
    KNOWN_REQUESTS = sizeof requests / sizeof requests[0],
};

static bool carry_out(struct bench *bench, uint8_t type, const uint8_t *payload, uint32_t length,
                      struct message *reply, struct refusal *refusal)
{
    const struct request *request = type < KNOWN_REQUESTS ? &requests[type] : NULL;

    if (type == HELLO) { /* a sound one is no numbered request */
        return refuse(refusal, BAD_MESSAGE, type, "the payload does not fit HELLO", "");
    }
    if (request == NULL || request->carry_out == NULL) {
        return refuse(refusal, UNKNOWN_TYPE, type, "no such message in version 1", "");
    }
    if (length != request->payload_bytes) {
        return refuse(refusal, BAD_MESSAGE, type, "the payload does not fit its type", "");
    }
    if (request->waits_for_run && run_is_going(&bench->run)) {
        return refuse(refusal, BUSY, 0, "a run is under way", "");
    }
    if (request->needs_model && !bench->selected) {
        return refuse(refusal, NO_MODEL, 0, "no model is selected", "");
    }
    return request->carry_out(bench, payload, reply, refusal);
}

/* ---- frames in */

static struct message error_body(uint8_t *bytes, uint32_t capacity, uint16_t number, uint32_t session,
                                 const struct refusal *refusal)
{
    struct message message = message_begin(bytes, capacity, ERROR, number, session);

    put16(&message, refusal->code);
    put16(&message, 0);
    put32(&message, refusal->detail);
    put_text(&message, refusal->reason, MOST_TEXT_BYTES);
    return message;
}

static void send_message(const struct message *message)
{
    frame_send((struct span){message->bytes, message->length}, (struct span){0});
}

static void send_error(uint16_t number, uint32_t session, const struct refusal *refusal)
{
    uint8_t bytes[HEADER_BYTES + 8 + 1 + REASON_BYTES];
    struct message message = error_body(bytes, sizeof bytes, number, session, refusal);

    send_message(&message);
}

static void on_request(struct bench *bench, uint8_t type, uint16_t number, const uint8_t *payload, uint32_t length)
{
    struct refusal refusal;
    uint16_t next = (uint16_t)(bench->last_request + 1);

    if (number != bench->last_request && number != next) {
        if (newer(number, bench->last_request)) {
            refuse(&refusal, SEQUENCE, bench->last_request, "a request was left out", "");
            send_error(number, bench->session, &refusal);
        }
        return;
    }
    if (number == next) {
        struct message reply =
            message_begin(bench->reply, sizeof bench->reply, type | FROM_DEVICE, number, bench->session);
        bench->reply_tail = (struct span){0};
        if (!carry_out(bench, type, payload, length, &reply, &refusal)) {
            bench->reply_tail = (struct span){0};
            reply = error_body(bench->reply, sizeof bench->reply, number, bench->session, &refusal);
        }
        bench->reply_length = reply.length;
        bench->last_request = number;
    }
    if (bench->reply_length > 0) {
        frame_send((struct span){bench->reply, bench->reply_length}, bench->reply_tail);
    }
}

static uint32_t capabilities(const struct port *port)
{
    return CAN_MEMORY | CAN_MLPERF_TEXT | (engine.profiles ? CAN_PROFILE : 0) |
           (engine.operators[0] != '\0' ? CAN_OPERATORS : 0) | (port->emulated ? IS_EMULATED : 0) |
           (engine.is_selftest ? IS_SELFTEST : 0);
}

static void on_hello(struct bench *bench, uint16_t number, uint32_t session, const uint8_t *payload)
{
    uint8_t bytes[HEADER_BYTES + 28];
    struct message welcome = message_begin(bytes, sizeof bytes, HELLO | FROM_DEVICE, number, session);
    uint8_t oldest = payload[0];
    uint8_t newest = payload[1];
    uint8_t common = newest < PROTOCOL_NEWEST ? newest : PROTOCOL_NEWEST;

    if (common < (oldest > PROTOCOL_OLDEST ? oldest : PROTOCOL_OLDEST)) {
        common = 0;
    }
    if (common != 0 && session != 0) {
        bench->max_frame = get32(payload + 4);
        if (session != bench->session) {
            bench->session = session;
            bench->last_request = 0;
            bench->reply_length = 0;
            bench->transfer = (struct transfer){0};
            bench->run = (struct run){0};
        }
    }
    put8(&welcome, common);
    put8(&welcome, PROTOCOL_OLDEST);
    put8(&welcome, PROTOCOL_NEWEST);
    put8(&welcome, 0);
    put32(&welcome, bench->port->boot);
    put32(&welcome, bench->port->receive_buffer - CONTROL_BYTES);
    put32(&welcome, BENCH_MAX_BLOCK);
    put32(&welcome, BENCH_SAMPLES);
    put32(&welcome, capabilities(bench->port));
    send_message(&welcome);
}

static void on_stream(struct bench *bench, uint8_t type, uint16_t number, const uint8_t *payload, uint32_t length)
{
    uint8_t bytes[HEADER_BYTES + 16];
    struct transfer *transfer = &bench->transfer;

    if (type == SAMPLES_ACK && length == SAMPLES_ACK_BYTES) {
        run_acknowledge(&bench->run, payload, bench->session);
        return;
    }
    if (type == OPEN && length == OPEN_BYTES) {
        transfer_open(transfer, bench->port, payload, run_is_going(&bench->run));
    } else if (type == DATA && length >= DATA_FIXED_BYTES) {
        transfer_data(transfer, bench->port, payload, length);
    } else if (type != PROBE || length != 0) {
        return;
    }
    transfer_saw(transfer, number);
    struct message ack = message_begin(bytes, sizeof bytes, ACK, transfer->highest, bench->session);
    transfer_put_ack(transfer, &ack);
    send_message(&ack);
}

static void on_body(struct bench *bench, const uint8_t *body, uint32_t body_length)
{
    if (body_length < HEADER_BYTES) {
        return;
    }
    uint8_t type = body[1];
    uint16_t number = get16(body + 2);
    uint32_t session = get32(body + 4);
    const uint8_t *payload = body + HEADER_BYTES;
    uint32_t length = body_length - HEADER_BYTES;

    if (type == HELLO && length == HELLO_BYTES) {
        on_hello(bench, number, session, payload);
    } else if (session == 0 || session != bench->session) {
        struct refusal refusal;
        refuse(&refusal, NO_SESSION, bench->port->boot, "greet the device first", "");
        send_error(number, session, &refusal);
    } else if (type < FIRST_STREAM_TYPE) {
        on_request(bench, type, number, payload, length);
    } else {
        on_stream(bench, type, number, payload, length);
    }
}

/* ---- driving it */

static void take_byte(struct bench *bench, uint8_t byte)
{
    struct decoder *decoder = &bench->decoder;

    switch (decoder_take(decoder, byte)) {
    case DECODED_BODY:
        on_body(bench, decoder->bytes, decoder->length);
        break;
    case DECODED_COMMAND:
        text_command(bench, (char *)decoder->bytes);
        break;
    case DECODED_NOTHING:
        break;
    }
}

/* Takes what has arrived, but at most what can wait, so that no flood of bytes keeps a run from going on. */
static bool take_bytes(struct bench *bench)
{
    uint8_t bytes[64];
    uint32_t taken = 0;
    size_t count;

    while (taken < bench->port->receive_buffer && !bench->reset_asked &&
           (count = port_read(bytes, sizeof bytes)) > 0) {
        uint64_t now = port_ticks();
        if (now - bench->last_heard > (uint64_t)SILENCE_S * bench->port->tick_hz) {
            decoder_drop(&bench->decoder);
        }
        bench->last_heard = now;
        for (size_t i = 0; i < count && !bench->reset_asked; i++) {
            take_byte(bench, bytes[i]);
        }
        taken += (uint32_t)count;
    }
    return taken > 0;
}

void bench_start(struct bench *bench)
{
    *bench = (struct bench){.port = port_start()};
    bench->last_heard = port_ticks();
    text_banner();
}

bool bench_turn(struct bench *bench)
{
    port_alive();
    bool heard = take_bytes(bench);
    if (bench->reset_asked) {
        port_reset();
    }
    uint64_t before = port_ticks();
    bool invoked = run_step(&bench->run, bench->port, bench->session);
    if (invoked) {
        /* What arrived meanwhile waits in the port's buffer: this was no silence of the line. */
        bench->last_heard += port_ticks() - before;
    }
    return heard || invoked;
}
