/* What this host is and has to give: memory, cores, names.
 *
 * Read from /proc and /sys each time, because limits change while a node runs. Every function takes the folder that
 * stands for "/" ("" on a real host), so that tests bring hosts of their own. A fact that cannot be read is left out of
 * the account, never guessed. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FACTS_BOOT_ID_BYTES = 16, FACTS_NAME_BYTES = 128 };

#define FACTS_UNLIMITED UINT64_MAX

/* What stays free for the rest of the host. */
#define FACTS_RESERVE_BYTES (1ull << 30)

struct facts_memory {
    uint64_t total_bytes;       /* MemTotal; FACTS_UNLIMITED when unknown */
    uint64_t available_bytes;   /* MemAvailable; FACTS_UNLIMITED when unknown */
    uint64_t cgroup_bytes;      /* tightest limit of the process's control groups, v1 or v2; FACTS_UNLIMITED: none */
    uint64_t cgroup_left_bytes; /* that limit less what the group holds beyond page cache */
};

void facts_memory(const char *root, struct facts_memory *out);

/* Bytes that a node may take now: the least of limit_bytes (0: no such limit), what the control group has left, and
 * MemAvailable less FACTS_RESERVE_BYTES. */
uint64_t facts_memory_budget(const struct facts_memory *memory, uint64_t limit_bytes);

/* CPU time that a control group gives to all its threads together in each period. */
struct facts_quota {
    uint64_t quota_us, period_us; /* 0, 0: as much as there is */
};

/* The tightest quota of the process's control groups, v1 or v2. */
void facts_quota(const char *root, struct facts_quota *out);

/* Cores that a thread pool can keep busy: those the calling thread may run on, hardware threads of one core counted
 * once, and not more than the control group's CPU quota rounded down; at least 1. */
unsigned facts_cores(const char *root);

/* The kernel's random id of this boot: the same for all processes and containers of one host. 0, or ERR_IO. */
int facts_boot_id(const char *root, uint8_t out[FACTS_BOOT_ID_BYTES]);

/* Does the CPU's feature list name `feature` ("aes")? False when the kernel does not tell. */
bool facts_cpu_has(const char *root, const char *feature);
/* The host's own name, "host" when it has none. */
void facts_host_name(char out[FACTS_NAME_BYTES]);
