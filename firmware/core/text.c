#include "text.h"

#include <stddef.h>
#include <string.h>

#include "bench.h"
#include "benchmark.h"
#include "bytes.h"
#include "config.h"
#include "engine.h"
#include "request.h"
#include "run.h"
#include "say.h"

#define PROFILE "ULPMark for tinyML Firmware V0.0.1"

enum {
    MOST_WORDS = 4,
    BYTES_A_LINE = 8,
    DEFAULT_WARMUP = 10,
    MICROSECONDS = 1000000,
};

/* ---- answers */

static void say_error(const char *text, const char *name, const char *after)
{
    say("e-[");
    say(text);
    say(name);
    say(after);
    say("]\r\n");
}

static void complain(const char *text)
{
    say_error(text, "", "");
}

static void say_time(const struct port *port, uint64_t ticks)
{
    uint64_t seconds = ticks / port->tick_hz;
    uint64_t rest = ticks % port->tick_hz;

    say_all("m-lap-us-", seconds * MICROSECONDS + rest * MICROSECONDS / port->tick_hz, "\r\n");
}

static bool say_element(const struct tensor *tensor, const uint8_t *at)
{
    enum { FLOAT32 = 0, INT32 = 2, UINT8 = 3, INT16 = 7, INT8 = 9 };
    float scale = tensor->scale != 0 ? tensor->scale : 1;
    int64_t zero_point = tensor->scale != 0 ? tensor->zero_point : 0;
    float real;

    switch (tensor->type) {
    case FLOAT32:
        memcpy(&real, at, sizeof real);
        say_scaled(1, real);
        return true;
    case INT32:
        say_scaled((int32_t)get32(at) - zero_point, scale);
        return true;
    case UINT8:
        say_scaled(*at - zero_point, scale);
        return true;
    case INT16:
        say_scaled((int16_t)get16(at) - zero_point, scale);
        return true;
    case INT8:
        say_scaled((int8_t)*at - zero_point, scale);
        return true;
    default:
        return false;
    }
}

static void say_results(const struct bench *bench)
{
    const struct benchmark *benchmark = benchmark_of_model();
    struct tensor tensor;
    const char *between = "";

    if (engine_tensors(TENSOR_OUTPUT) == 0) {
        return;
    }
    if (benchmark_has_error(benchmark)) {
        say("m-results-[");
        say_scaled(1, benchmark_error(benchmark, bench->port, bench->text.filled));
        say("]\r\n");
        return;
    }
    tensor = engine_tensor(TENSOR_OUTPUT, 0);
    uint32_t count = 1;
    for (uint8_t i = 0; i < tensor.rank; i++) {
        count *= tensor.dimensions[i];
    }
    say("m-results-[");
    for (uint32_t i = 0; i < count; i++) {
        say(between);
        if (!say_element(&tensor, tensor.data + (size_t)(tensor.bytes / count) * i)) {
            break;
        }
        between = ",";
    }
    say("]\r\n");
}

/* ---- commands */

/* Reads a decimal number as C's atoi does, but holds at the largest where that overflows. */
static int64_t number_in(const char *text)
{
    bool negative = *text == '-';
    int64_t number = 0;

    text += *text == '-' || *text == '+' ? 1 : 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        number = number < UINT32_MAX ? number * 10 + (*text - '0') : number;
    }
    return negative ? -number : number;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20); /* to lower case */
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static void expect(struct bench *bench, const char *count)
{
    const struct benchmark *benchmark = benchmark_of_model();
    uint32_t due = benchmark_bytes(benchmark, bench->port);
    int64_t bytes = number_in(count);

    if (bytes <= 0) {
        complain("Command 'db load' must be >0 bytes");
        return;
    }
    bench->text.asked = true;
    bench->text.expected = 0;
    bench->text.filled = 0;
    if (bytes != due) {
        say_all("e-[Command 'db load' takes ", due, " bytes for ");
        say(benchmark_name(benchmark));
        say_all(", not ", (uint64_t)bytes, "]\r\n");
        return;
    }
    bench->text.expected = due;
    say_all("m-[Expecting ", due, " bytes]\r\n");
}

static void append(struct bench *bench, const char *digits)
{
    const struct benchmark *benchmark = benchmark_of_model();
    struct text *text = &bench->text;

    if (strlen(digits) % 2 != 0) {
        complain("Insufficent number of hex digits"); /* spelt as MLPerf Tiny spells it */
        return;
    }
    for (; *digits != '\0'; digits += 2) {
        int high = hex_digit(digits[0]);
        int low = hex_digit(digits[1]);
        if (high < 0 || low < 0) {
            char pair[3] = {digits[0], digits[1], '\0'};
            say_error("Invalid hex digit '", pair, "'");
            return;
        }
        if (text->filled < text->expected) {
            benchmark_load(benchmark, bench->port, text->filled++, (uint8_t)(high << 4 | low));
            if (text->filled == text->expected) {
                say("m-load-done\r\n");
                return;
            }
        }
    }
}

static void print(const struct bench *bench)
{
    const struct benchmark *benchmark = benchmark_of_model();

    for (uint32_t i = 0; i < bench->text.expected; i++) {
        say(i % BYTES_A_LINE == 0 ? "m-buffer-" : "-");
        say_hex(i < bench->text.filled ? benchmark_loaded(benchmark, bench->port, i) : 0);
        if (i % BYTES_A_LINE == BYTES_A_LINE - 1 || i + 1 == bench->text.expected) {
            say("\r\n");
        }
    }
}

static void db(struct bench *bench, char *const words[MOST_WORDS])
{
    if (words[1] == NULL) {
        complain("Command 'db' requires a subcommand");
    } else if (strcmp(words[1], "print") == 0) {
        print(bench);
    } else if (strcmp(words[1], "load") != 0) {
        append(bench, words[1]);
    } else if (words[2] == NULL) {
        complain("Command 'db load' requires the # of bytes");
    } else {
        expect(bench, words[2]);
    }
}

/* Invokes `count` times; gives the ticks that the invokes took. The begin of a frame is the way out of too many. */
static bool invoke(struct bench *bench, int64_t count, uint64_t *ticks)
{
    struct refusal refusal = {.reason = "interrupted"};
    uint64_t taken;

    bool good = true;

    *ticks = 0;
    bench->text.infers = true;
    for (int64_t i = 0; i < count && good; i++) {
        port_alive();
        good = !bench_hears_frame(bench) && bench_invoke(bench, false, &taken, &refusal);
        *ticks += good ? taken : 0;
    }
    bench->text.infers = false;
    if (!good) {
        complain(bench->invoke.unwanted ? "interrupted" : refusal.reason);
    }
    return good;
}

static void infer(struct bench *bench, char *const words[MOST_WORDS])
{
    int64_t n = words[1] != NULL ? number_in(words[1]) : 1;
    int64_t warmup = words[1] != NULL && words[2] != NULL ? number_in(words[2]) : DEFAULT_WARMUP;
    uint64_t ticks;

    if (n <= 0) {
        complain("Inference iterations must be >0");
        return;
    }
    if (warmup < 0) {
        complain("Inference warmup must be >=0");
        return;
    }
    uint32_t due = benchmark_bytes(benchmark_of_model(), bench->port);
    if (bench->text.asked && bench->text.filled != due) {
        say_all("e-[Input db has ", bench->text.filled, " bytes, expected ");
        say_all("", due, "]\r\n");
        return;
    }
    bench->run = (struct run){0}; /* its outputs are about to go */
    say_all("m-warmup-start-", (uint64_t)warmup, "\r\n");
    if (!invoke(bench, warmup, &ticks)) {
        return;
    }
    say("m-warmup-done\r\n");
    say_all("m-infer-start-", (uint64_t)n, "\r\n");
    uint64_t start = port_ticks();
    say_time(bench->port, start);
    if (!invoke(bench, n, &ticks)) {
        return;
    }
    say_time(bench->port, start + ticks);
    say("m-infer-done\r\n");
    say_results(bench);
}

static void results(struct bench *bench, char *const words[MOST_WORDS])
{
    (void)words;
    say_results(bench);
}

static void name(struct bench *bench, char *const words[MOST_WORDS])
{
    (void)words;
    say("m-name-dut-[");
    say(bench->port->board);
    say("]\r\n");
}

static void profile(struct bench *bench, char *const words[MOST_WORDS])
{
    struct refusal refusal;

    (void)words;
    bool selected = bench->selected || request_first_model(bench, &refusal); /* busy only with one that is selected */
    say("m-profile-[" PROFILE "]\r\nm-model-[");
    say(selected ? benchmark_name(benchmark_of_model()) : "none");
    say("]\r\nm-speaks-[bench]\r\n");
}

static void timestamp(struct bench *bench, char *const words[MOST_WORDS])
{
    (void)words;
    say_time(bench->port, port_ticks());
}

static void help(struct bench *bench, char *const words[MOST_WORDS])
{
    (void)bench;
    (void)words;
    say(PROFILE "\r\n"
                "\r\n"
                "name\r\n"
                "profile\r\n"
                "timestamp\r\n"
                "db load N, then db HH.. till all are there\r\n"
                "db print\r\n"
                "infer N [W]\r\n"
                "results\r\n");
}

static const struct {
    char name[10];
    bool needs_model; /* the first one in flash if none is selected, and no run or invoke under way */
    void (*answer)(struct bench *bench, char *const words[MOST_WORDS]);
} commands[] = {
    {"name", false, name},           {"profile", false, profile}, {"timestamp", false, timestamp},
    {"help", false, help},           {"db", true, db},            {"infer", true, infer},
    {"results", true, results},
};

static void answer(struct bench *bench, char *const words[MOST_WORDS])
{
    struct refusal refusal;

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[0], commands[i].name) != 0) {
            continue;
        }
        if (commands[i].needs_model && bench_is_busy(bench)) {
            complain("a run is under way");
        } else if (commands[i].needs_model && !bench->selected && !request_first_model(bench, &refusal)) {
            complain(refusal.reason);
        } else {
            commands[i].answer(bench, words);
        }
        return;
    }
    say_error("Unknown command: ", words[0], "");
}

void text_banner(void)
{
    say("m-init-done\r\nm-ready\r\n");
}

void text_command(struct bench *bench, char *command)
{
    char *words[MOST_WORDS] = {NULL};
    unsigned count = 0;

    while (*command != '\0' && count < MOST_WORDS) {
        if (*command == ' ') {
            *command++ = '\0';
            continue;
        }
        words[count++] = command;
        while (*command != '\0' && *command != ' ') {
            command++;
        }
    }
    if (count > 0) {
        *command = '\0'; /* a last word that was cut off by the limit */
        answer(bench, words);
    }
    say("m-ready\r\n");
}
