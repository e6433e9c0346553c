#include "run.h"

#include "bench.h"
#include "bytes.h"
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

/* Sends what has not been sent; if there is nothing, one empty frame that tells the state. */
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

static bool samples_are_due(const struct run *run, uint32_t tick_hz)
{
    uint32_t due = run->done - run->sent;

    return due >= SAMPLES_PER_FRAME ||
           (due > 0 && (is_full(run) || port_ticks() - run->last_sent >= tick_hz / FRAMES_A_SECOND));
}

void run_report(struct bench *bench)
{
    if (run_is_going(&bench->run) && samples_are_due(&bench->run, bench->port->tick_hz)) {
        send_samples(&bench->run, bench->session);
    }
}

static void keep_sample(struct run *run, uint64_t ticks)
{
    run->ticks[run->done % BENCH_SAMPLES] = ticks;
    run->done++;
    if (run->done == run->n) {
        run->state = RUN_DONE;
    }
}

static void count_warmup(struct run *run)
{
    run->warmup--;
    if (run->warmup == 0) {
        run->state = RUN_MEASURING;
    }
}

/* Does the next invoke of the run. The line is attended to meanwhile, which may end the run. */
static void invoke(struct bench *bench)
{
    struct run *run = &bench->run;
    bool warming = run->state == RUN_WARMING;
    struct refusal failure;
    uint64_t ticks;
    bool good = bench_invoke(bench, !warming && run->profile && run->done + 1 == run->n, &ticks, &failure);

    if (!run_is_going(run)) { /* given up with its session */
        return;
    }
    if (bench->invoke.unwanted) {
        run->state = RUN_ABORTED;
    } else if (!good) {
        run->failure = failure;
        run->state = RUN_FAILED;
    } else if (warming) {
        count_warmup(run);
    } else {
        keep_sample(run, ticks);
    }
    if (!run_is_going(run)) {
        send_samples(run, bench->session);
    }
}

bool run_step(struct bench *bench)
{
    struct run *run = &bench->run;

    if (run->end_is_untold) {
        run->end_is_untold = false;
        send_samples(run, bench->session);
        return true;
    }
    if (!run_is_due(run)) {
        return false;
    }
    invoke(bench);
    run_report(bench);
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
