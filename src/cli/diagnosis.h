/* What is wrong with a host that is to be a node, and how to mend it: rules over facts that somebody else gathered.
 *
 * Pure. Thresholds stand with the rules. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "kern/kern.h"
#include "os/condition.h"
#include "os/facts.h"
#include "os/firewall.h"
#include "os/nics.h"

enum { DIAGNOSIS_FINDINGS_MAX = 24, DIAGNOSIS_TEXT_BYTES = 256, DIAGNOSIS_COMMAND_BYTES = 512 };

struct diagnosis_host {
    const char *root; /* stands for "/" in commands; "" on a real host */
    const char *home;
    bool superuser;   /* else commands need sudo */
    struct facts_memory memory;
    struct facts_quota quota;
    struct condition condition; /* its folder is the node's home */
    struct nic nics[NICS_MAX];
    size_t nic_count;
    struct firewall firewall;
    unsigned cores;
    enum kern_isa isa;
    bool node_runs;     /* on this home: then its ports are its own */
    bool api_port_free; /* the usual port */
    bool network;       /* an interface beyond loopback is up */
    bool secret_shared; /* others may read the file of the secret */
    unsigned cluster_port;
    unsigned others;    /* nodes that are up, as the running node says */
    double beacon_s;    /* since it heard a beacon of another; -1: never */
};

enum diagnosis_level { DIAGNOSIS_GOOD, DIAGNOSIS_WEAK, DIAGNOSIS_BROKEN };

struct diagnosis_finding {
    const char *subject;
    enum diagnosis_level level;
    char text[DIAGNOSIS_TEXT_BYTES];       /* what is the case */
    char cure[DIAGNOSIS_TEXT_BYTES];       /* what to do; "" when it is good or a command says it all */
    char command[DIAGNOSIS_COMMAND_BYTES]; /* for a shell, does it; "" when no command can */
};

const char *diagnosis_level_name(enum diagnosis_level level); /* "ok", "weak", "broken" */

/* One finding per subject, good ones too, in a fixed order. Returns how many. */
size_t diagnosis_make(const struct diagnosis_host *host, struct diagnosis_finding out[DIAGNOSIS_FINDINGS_MAX]);
