/*
 * The device's end of the tensor stream: blocks go to their places as they come, and each frame is answered
 * with what is there.
 */
#ifndef BENCH_TRANSFER_H
#define BENCH_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "port.h"

struct transfer {
    uint16_t highest; /* number of a stream frame of this session */
    bool opened;      /* a transfer has been opened in this session */
    uint8_t status;   /* enum transfer_status */
    uint16_t id;
    uint16_t input;
    uint32_t start;
    uint32_t length;
    uint32_t block;
    uint32_t crc;
    uint32_t base; /* number of the first missing block */
    uint64_t mask; /* bit i: block base + 1 + i is there */
};

/* Takes the payload of an OPEN. `busy`: a run is under way. */
void transfer_open(struct transfer *transfer, const struct port *port, const uint8_t *payload, bool busy);

/* Takes the payload of a DATA. */
void transfer_data(struct transfer *transfer, const struct port *port, const uint8_t *payload,
                   uint32_t length);

/* Gives up an unfinished transfer, whose input is about to go. */
void transfer_lose_input(struct transfer *transfer);

/* Takes note of a stream frame's number. */
void transfer_saw(struct transfer *transfer, uint16_t number);

/* Puts the payload of the ACK that is due. */
void transfer_put_ack(const struct transfer *transfer, struct message *ack);

#endif
