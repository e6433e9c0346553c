#include "run.h"

#include "bytes.h"
#include "engine.h"
#include "inputs.h"
#include "message.h"
#include "protocol.h"

enum {
    SAMPLES_PER_FRAME = 16,
    FRAMES_A_SECOND = 50, /* at most, while fewer samples than a frame holds are due */
    SAMPLES_FIXED_BYTES = 8,
};

void run_start(struct run *run, const uint8_t *payload)
{
    *run = (struct run){
        .id = get16(payload),
        .profile = (get16(payload + 2) & FLAG_PROFILE) != 0,
        .warmup = get32(payload + 4),
        .n = get32(payload + 8),
        .outputs = get32(payload + 12),
        .last_sent = port_ticks(),
    };
    run->state = run->warmup > 0 ? RUN_WARMING : RUN_MEASURING;
}

bool run_is_going(const struct run *run)
{
    return run->state == RUN_WARMING || run->state == RUN_MEASURING;
}

static bool is_full(const struct run *run)
{
    return run->done - run->acknowledged == BENCH_SAMPLES;
}

bool run_is_due(const struct run *run)
{
    return run_is_going(run) && !is_full(run);
}

/* Sends what has not been sent; where there is nothing, one empty frame that tells the state. */
static void send_samples(struct run *run, uint32_t session)
{
    uint8_t bytes[HEADER_BYTES + SAMPLES_FIXED_BYTES + SAMPLES_PER_FRAME * sizeof(uint64_t)];

    do {
        uint32_t count = run->done - run->sent;
        if (count > SAMPLES_PER_FRAME) {
            count = SAMPLES_PER_FRAME;
        }
        bool newest = run->sent + count == run->done;
        struct message message = message_begin(bytes, sizeof bytes, SAMPLES, 0, session);
        put16(&message, run->id);
        put8(&message, newest ? run->state : RUN_MEASURING);
        put8(&message, run->failure.code);
        put32(&message, run->sent);
        for (uint32_t i = 0; i < count; i++) {
            put64(&message, run->ticks[(run->sent + i) % BENCH_SAMPLES]);
        }
        message_send(&message);
        run->sent += count;
    } while (run->sent != run->done);
    run->last_sent = port_ticks();
}

static void measure(struct run *run)
{
    bool profile = run->profile && run->done + 1 == run->n;
    uint64_t before = port_ticks();
    bool good = engine_invoke(profile, &run->failure);
    uint64_t after = port_ticks();

    if (!good) {
        run->state = RUN_FAILED;
        return;
    }
    run->ticks[run->done % BENCH_SAMPLES] = after - before;
    run->done++;
    if (run->done == run->n) {
        run->state = RUN_DONE;
    }
}

static void warm_up(struct run *run)
{
    if (!engine_invoke(false, &run->failure)) {
        run->state = RUN_FAILED;
        return;
    }
    run->warmup--;
    if (run->warmup == 0) {
        run->state = RUN_MEASURING;
    }
}

static bool samples_are_due(const struct run *run, const struct port *port)
{
    uint32_t due = run->done - run->sent;

    if (!run_is_going(run) || due >= SAMPLES_PER_FRAME) {
        return true;
    }
    return due > 0 &&
           (is_full(run) || port_ticks() - run->last_sent >= port->tick_hz / FRAMES_A_SECOND);
}

bool run_step(struct run *run, const struct port *port, uint32_t session)
{
    if (run->end_is_untold) {
        run->end_is_untold = false;
        send_samples(run, session);
        return true;
    }
    if (!run_is_due(run)) {
        return false;
    }
    inputs_restore(port);
    if (run->state == RUN_WARMING) {
        warm_up(run);
    } else {
        measure(run);
    }
    if (samples_are_due(run, port)) {
        send_samples(run, session);
    }
    return true;
}

void run_abort(struct run *run)
{
    if (run_is_going(run)) {
        run->state = RUN_ABORTED;
        run->end_is_untold = true;
    }
}

void run_acknowledge(struct run *run, const uint8_t *payload, uint32_t session)
{
    uint16_t id = get16(payload);
    bool resend = (get16(payload + 2) & FLAG_RESEND) != 0;
    uint32_t next = get32(payload + 4);

    if (run->id == 0 || id != run->id) {
        return;
    }
    if (next > run->acknowledged && next <= run->done) {
        run->acknowledged = next;
        if (run->sent < next) {
            run->sent = next;
        }
    }
    if (resend) {
        run->sent = run->acknowledged;
        send_samples(run, session);
    }
}
