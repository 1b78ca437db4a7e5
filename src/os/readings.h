/* What this host's instruments show now: temperature, power, and what its network interfaces have carried.
 *
 * Read afresh each time, under the folder that stands for "/" ("" on a real host), so that tests bring hosts of their
 * own. What the host does not tell stays unknown. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct readings {
    bool temperature_known, power_known, network_known;
    double temperature_c;                /* the hottest of the processor's sensors */
    double power_w;                      /* of all that the host's power meters see */
    uint64_t sent_bytes, received_bytes; /* since the host's start, all interfaces but loopback */
};

void readings_take(const char *root, struct readings *out);
