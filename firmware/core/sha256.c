#include "sha256.h"

#include <string.h>

#include "port.h"

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, ROUNDS = 64, ALIVE_BYTES = 1 << 16 };

static const uint32_t round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, unsigned right)
{
    return value >> right | value << (32 - right);
}

static void take_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t words[16]; /* the last 16 of the 64 words of the schedule */
    uint32_t v[8];

    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i < 16) {
            const uint8_t *at = block + (size_t)4 * i;
            words[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        } else {
            uint32_t w15 = words[(i + 1) % 16];
            uint32_t w2 = words[(i + 14) % 16];
            words[i % 16] += words[(i + 9) % 16] + (rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3) +
                             (rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10);
        }
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) + choice +
                      round_constants[i] + words[i % 16];
        uint32_t t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) + majority;
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++) {
        state[i] += v[i];
    }
}

static void set_big_endian(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

void sha256(const uint8_t *bytes, size_t length, uint8_t digest[SHA256_BYTES])
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[BLOCK_BYTES] = {0};
    size_t whole = length / BLOCK_BYTES * BLOCK_BYTES;
    size_t rest = length - whole;
    uint64_t bits = (uint64_t)length * 8;

    for (size_t at = 0; at < whole; at += BLOCK_BYTES) {
        if (at % ALIVE_BYTES == 0) {
            port_alive(); /* all of a large flash may take longer than a watchdog waits */
        }
        take_block(state, bytes + at);
    }
    memcpy(last, bytes + whole, rest);
    last[rest] = 0x80;
    if (rest >= BLOCK_BYTES - LENGTH_BYTES) {
        take_block(state, last);
        memset(last, 0, sizeof last);
    }
    set_big_endian(last + BLOCK_BYTES - 8, (uint32_t)(bits >> 32));
    set_big_endian(last + BLOCK_BYTES - 4, (uint32_t)bits);
    take_block(state, last);
    for (size_t i = 0; i < 8; i++) {
        set_big_endian(digest + 4 * i, state[i]);
    }
}
