/* What is wrong with a host that is to be a node, and how to mend it: rules over facts that somebody else gathered.
 *
 * Pure. Thresholds stand with the rules. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "kern/kern.h"
#include "os/condition.h"
#include "os/facts.h"

enum { DIAGNOSIS_FINDINGS_MAX = 16, DIAGNOSIS_TEXT_BYTES = 256 };

struct diagnosis_host {
    struct facts_memory memory;
    struct condition condition; /* its folder is the node's home */
    unsigned cores;
    enum kern_isa isa;
    bool node_runs;     /* on this home: then its ports are its own */
    bool api_port_free; /* the usual port */
    bool network;       /* an interface beyond loopback is up */
    bool secret_shared; /* others may read the file of the secret */
};

enum diagnosis_level { DIAGNOSIS_GOOD, DIAGNOSIS_WEAK, DIAGNOSIS_BROKEN };

/* What --fix can do about a finding. */
enum diagnosis_mend { MEND_BY_HAND, MEND_SECRET, MEND_HUGE_PAGES, MEND_GOVERNOR };

struct diagnosis_finding {
    const char *subject;
    enum diagnosis_level level;
    enum diagnosis_mend mend;
    char text[DIAGNOSIS_TEXT_BYTES]; /* what is the case */
    char cure[DIAGNOSIS_TEXT_BYTES]; /* what to do; "" when it is good */
};

const char *diagnosis_level_name(enum diagnosis_level level); /* "ok", "weak", "broken" */

/* One finding per subject, good ones too, in a fixed order. Returns how many. */
size_t diagnosis_make(const struct diagnosis_host *host, struct diagnosis_finding out[DIAGNOSIS_FINDINGS_MAX]);
