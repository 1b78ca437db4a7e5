/* In what condition the host is: settings, limits, room on disk and ports on which a node's speed or life hangs.
 *
 * Read afresh each time. Functions that take `root`, the folder that stands for "/" ("" on a real host), can be shown
 * hosts of a test. What cannot be read is left empty or UINT64_MAX. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { CONDITION_WORD_BYTES = 24, CONDITION_UNIT_BYTES = 128 };

struct condition {
    char governor[CONDITION_WORD_BYTES];   /* of the first core's clock: "powersave"; "" where there is none */
    char huge_pages[CONDITION_WORD_BYTES]; /* "always", "madvise" or "never" */
    char clock_source[CONDITION_WORD_BYTES]; /* what the kernel reads the time from: "tsc" */
    bool clock_tsc;                        /* it could read the processor's own counter */
    char unit[CONDITION_UNIT_BYTES];       /* the systemd unit whose limits hold: "caravan.service"; "" */
    int64_t wall_s;                        /* what the host takes for now, since 1970 */
    uint64_t swap_used_bytes;              /* what was moved out of memory */
    unsigned swappiness;                   /* how readily; UINT_MAX: unknown */
    uint64_t files_max;                    /* descriptors that the process may open */
    uint64_t disk_free_bytes;              /* where the folder lies */
    bool folder_usable;                    /* is there, and may be written to */
};

/* `folder` is a path on the real host. */
void condition_read(const char *root, const char *folder, struct condition *out);

/* Can somebody still listen on this TCP port of the loopback address? */
bool condition_port_free(uint16_t port);
/* May somebody but the owner read the file? False also when there is none. */
bool condition_file_shared(const char *path);
