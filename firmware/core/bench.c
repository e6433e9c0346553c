#include "bench.h"

#include "bytes.h"
#include "engine.h"
#include "inputs.h"
#include "message.h"
#include "protocol.h"
#include "request.h"

enum {
    HELLO_BYTES = 8,
    OPEN_BYTES = 24,
    SAMPLES_ACK_BYTES = 8,
    SILENCE_S = 2, /* without a byte: an unfinished frame is dropped */
    LOOKS_A_SECOND = 50, /* at the line in an invoke, at most */
};

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

static void send_error(uint16_t number, uint32_t session, const struct refusal *refusal)
{
    uint8_t bytes[HEADER_BYTES + 8 + 1 + REASON_BYTES];
    struct message message = error_body(bytes, sizeof bytes, number, session, refusal);

    message_send(&message);
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
        if (!request_carry_out(bench, type, payload, length, &reply, &refusal)) {
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
            bench->invoke.unwanted = bench->invoke.under_way;
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
    message_send(&welcome);
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
    message_send(&ack);
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

static bool next_byte(struct bench *bench, uint8_t *byte)
{
    if (bench->arrived.at == bench->arrived.count) {
        bench->arrived.at = 0;
        bench->arrived.count = (uint8_t)port_read(bench->arrived.bytes, sizeof bench->arrived.bytes);
        if (bench->arrived.count == 0) {
            return false;
        }
    }
    *byte = bench->arrived.bytes[bench->arrived.at++];
    return true;
}

static bool is_given_up(const struct invoke *invoke)
{
    return invoke->under_way && invoke->unwanted;
}

/*
 * Takes what has arrived, but at most what can wait, so that no flood of bytes keeps a run from going on. Stops when
 * the invoke that is under way is given up: the engine may break it off, and be free for what comes next.
 */
static bool take_bytes(struct bench *bench)
{
    uint32_t taken = 0;
    uint8_t byte;
    bool given_up = is_given_up(&bench->invoke);
    uint64_t silent = port_ticks() - bench->last_heard - bench->away;

    while (taken < bench->port->receive_buffer && !bench->reset_asked &&
           is_given_up(&bench->invoke) == given_up && next_byte(bench, &byte)) {
        if (taken == 0 && silent > (uint64_t)SILENCE_S * bench->port->tick_hz) {
            decoder_drop(&bench->decoder);
        }
        take_byte(bench, byte);
        taken++;
    }
    bench->away = 0;
    if (taken > 0) {
        bench->last_heard = port_ticks(); /* what the bytes asked for may have taken its time */
    }
    return taken > 0;
}

bool bench_hears_frame(struct bench *bench)
{
    uint8_t byte;

    while (next_byte(bench, &byte)) {
        if (byte == 0) {
            decoder_drop(&bench->decoder);
            return true;
        }
    }
    return false;
}

/* ---- invokes */

bool bench_is_busy(const struct bench *bench)
{
    return bench->invoke.under_way || run_is_going(&bench->run);
}

/* Between two operators: see engine.h. Looks at the line only now and then, so that short invokes go undisturbed. */
static bool attend(void *context, uint16_t done, uint16_t operators)
{
    struct bench *bench = context;
    struct invoke *invoke = &bench->invoke;
    uint64_t from = port_ticks();

    invoke->operator = done;
    invoke->operators = operators;
    if (from - invoke->looked < bench->port->tick_hz / LOOKS_A_SECOND) {
        return !invoke->unwanted;
    }
    port_alive();
    bench->away = from - invoke->looked;
    if (bench->text.infers && !invoke->unwanted) {
        invoke->unwanted = bench_hears_frame(bench);
    } else {
        take_bytes(bench);
    }
    if (bench->reset_asked) {
        port_reset();
    }
    run_report(bench);
    invoke->looked = port_ticks();
    invoke->attended += invoke->looked - from;
    return !invoke->unwanted;
}

bool bench_invoke(struct bench *bench, bool profile, uint64_t *ticks, struct refusal *refusal)
{
    struct invoke *invoke = &bench->invoke;

    inputs_restore(bench->port);
    *invoke = (struct invoke){.under_way = true};
    invoke->looked = invoke->began = port_ticks();
    bool good = engine_invoke(profile, attend, bench, refusal);
    uint64_t ended = port_ticks();
    *ticks = ended - invoke->began - invoke->attended;
    bench->away = ended - invoke->looked;
    invoke->under_way = false;
    return good && !invoke->unwanted;
}

/* ---- driving it */

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
    bool stepped = run_step(bench);
    return heard || stepped;
}
