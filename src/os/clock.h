/* Monotonic time. The only clock of the program: no rule reads the wall clock. Any thread. */
#pragma once
#include <stdint.h>

uint64_t clock_ns(void);
void clock_sleep_ns(uint64_t duration_ns);

static inline uint64_t clock_us(void) { return clock_ns() / 1000; }
