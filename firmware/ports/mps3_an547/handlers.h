/* Interrupt handlers that the vector table names. */
#ifndef BENCH_HANDLERS_H
#define BENCH_HANDLERS_H

void uart_received(void);

#endif
