#include "transfer.h"

#include <string.h>

#include "bytes.h"
#include "config.h"
#include "crc32.h"
#include "frame.h"
#include "inputs.h"
#include "protocol.h"

void transfer_saw(struct transfer *transfer, uint16_t number)
{
    if (newer(number, transfer->highest)) {
        transfer->highest = number;
    }
}

static uint8_t judge(const struct transfer *transfer, const struct port *port, bool busy)
{
    uint32_t size = 0;

    if (busy) {
        return TRANSFER_BUSY;
    }
    if (input_at(port, transfer->input, &size) == NULL) {
        return TRANSFER_BAD_INPUT;
    }
    if (transfer->block == 0 || transfer->block > BENCH_MAX_BLOCK || transfer->length == 0 ||
        transfer->length > size || transfer->start > size - transfer->length) {
        return TRANSFER_BAD_RANGE;
    }
    return TRANSFER_RECEIVING;
}

void transfer_open(struct transfer *transfer, const struct port *port, const uint8_t *payload, bool busy)
{
    uint16_t id = get16(payload);
    bool replace = (get16(payload + 2) & FLAG_REPLACE) != 0;

    if (transfer->opened && !newer(id, transfer->id)) {
        return;
    }
    if (transfer->status != TRANSFER_NONE && transfer->status != TRANSFER_COMPLETE && !replace) {
        return;
    }
    *transfer = (struct transfer){
        .highest = transfer->highest,
        .opened = true,
        .id = id,
        .input = get16(payload + 4),
        .start = get32(payload + 8),
        .length = get32(payload + 12),
        .block = get32(payload + 16),
        .crc = get32(payload + 20),
    };
    transfer->status = judge(transfer, port, busy);
}

void transfer_lose_input(struct transfer *transfer)
{
    if (transfer->status == TRANSFER_RECEIVING) {
        transfer->status = TRANSFER_BAD_INPUT;
    }
}

/* Counts a block as there; false where it has been there before or is too far ahead to tell. */
static bool mark(struct transfer *transfer, uint32_t block)
{
    bool next_too = true;

    if (block < transfer->base) {
        return false;
    }
    if (block > transfer->base) {
        uint32_t ahead = block - transfer->base - 1;
        if (ahead >= MASK_BITS || (transfer->mask >> ahead & 1) != 0) {
            return false;
        }
        transfer->mask |= (uint64_t)1 << ahead;
        return true;
    }
    while (next_too) {
        next_too = (transfer->mask & 1) != 0;
        transfer->mask >>= 1;
        transfer->base++;
    }
    return true;
}

void transfer_data(struct transfer *transfer, const struct port *port, const uint8_t *payload,
                   uint32_t length)
{
    uint16_t id = get16(payload);
    uint32_t offset = get32(payload + 4);
    uint32_t bytes = length - DATA_FIXED_BYTES;
    uint32_t size = 0;

    if (transfer->status != TRANSFER_RECEIVING || id != transfer->id || offset % transfer->block != 0 ||
        offset >= transfer->length) {
        return;
    }
    uint32_t left = transfer->length - offset;
    if (bytes != (left < transfer->block ? left : transfer->block) ||
        !mark(transfer, offset / transfer->block)) {
        return;
    }
    uint8_t *range = input_at(port, transfer->input, &size) + transfer->start;
    memcpy(range + offset, payload + DATA_FIXED_BYTES, bytes);
    if ((uint64_t)transfer->base * transfer->block >= transfer->length) {
        bool right = crc32(0, range, transfer->length) == transfer->crc;
        transfer->status = right ? TRANSFER_COMPLETE : TRANSFER_DIGEST;
    }
}

void transfer_put_ack(const struct transfer *transfer, struct message *ack)
{
    uint64_t base = (uint64_t)transfer->base * transfer->block;

    put16(ack, transfer->id);
    put8(ack, transfer->status);
    put8(ack, 0);
    put32(ack, base < transfer->length ? (uint32_t)base : transfer->length);
    put64(ack, transfer->mask);
}
