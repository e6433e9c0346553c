#include "say.h"

#include <stdbool.h>
#include <string.h>

#include "port.h"

void say(const char *text)
{
    port_alive(); /* a whole tensor in text may take longer than a watchdog waits */
    port_write((const uint8_t *)text, strlen(text));
}

void say_number(uint64_t number)
{
    char digits[21];
    char *at = digits + sizeof digits - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    say(at);
}

void say_all(const char *before, uint64_t number, const char *after)
{
    say(before);
    say_number(number);
    say(after);
}

void say_hex(uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char text[3] = {digits[byte >> 4], digits[byte & 15], '\0'};

    say(text);
}

/* Says mantissa * 2^exponent, rounded to the nearest thousandth, halves to even; saturates at 2^64 - 1. */
static void say_thousandths(bool negative, uint64_t mantissa, int exponent)
{
    uint64_t whole = UINT64_MAX;
    uint64_t thousandths = 0;

    for (; exponent < -63; exponent++) { /* far below a thousandth; the lowest bit tells of those that go */
        mantissa = mantissa >> 1 | (mantissa & 1);
    }
    if (exponent < 0) {
        unsigned shift = (unsigned)-exponent;
        uint64_t mask = ((uint64_t)1 << shift) - 1;
        uint64_t half = (uint64_t)1 << (shift - 1);
        /* The fraction times 1000 can have 73 bits: high * 2^32 + low. */
        uint64_t low = (mantissa & mask & UINT32_MAX) * 1000;
        uint64_t high = ((mantissa & mask) >> 32) * 1000 + (low >> 32);
        low &= UINT32_MAX;
        uint64_t rest = (high << 32 | low) & mask;
        thousandths = shift >= 32 ? high >> (shift - 32) : (high << 32 | low) >> shift;
        if (rest > half || (rest == half && (thousandths & 1) != 0)) {
            thousandths++;
        }
        whole = (mantissa >> shift) + thousandths / 1000;
        thousandths %= 1000;
    } else if (exponent < 64 && mantissa <= UINT64_MAX >> exponent) {
        whole = mantissa << exponent;
    }
    char text[5] = {'.', (char)('0' + thousandths / 100), (char)('0' + thousandths / 10 % 10),
                    (char)('0' + thousandths % 10), '\0'};
    say(negative ? "-" : "");
    say_number(whole);
    say(text);
}

void say_scaled(int64_t units, float scale)
{
    uint32_t bits;

    memcpy(&bits, &scale, sizeof bits);
    bool negative = (bits >> 31 != 0) != (units < 0);
    uint32_t exponent = bits >> 23 & 0xFF;
    uint64_t fraction = bits & 0x7FFFFF;
    uint64_t magnitude = units < 0 ? (uint64_t)-units : (uint64_t)units;
    if (exponent == 0xFF) {
        say(fraction != 0 ? "nan" : negative ? "-inf" : "inf");
        return;
    }
    if (exponent == 0) {
        exponent = 1;
    } else {
        fraction |= 0x800000;
    }
    say_thousandths(negative, magnitude * fraction, (int)exponent - 150);
}
