#pragma once
#include <stddef.h>
#include <stdint.h>
struct ethosu_driver {
    void *opaque[32];
};
int ethosu_init(struct ethosu_driver *driver, void *const base_address, const void *fast_memory,
                const size_t fast_memory_size, uint32_t secure_enable, uint32_t privilege_enable);
void ethosu_irq_handler(struct ethosu_driver *driver);
