/* CRC-32/ISO-HDLC, the CRC of zlib, Ethernet and PNG. */
#ifndef BENCH_CRC32_H
#define BENCH_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over `length` bytes. */
uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length);

#endif
