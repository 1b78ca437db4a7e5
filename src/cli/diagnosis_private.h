/* How the rules of a diagnosis write down what they find. */
#pragma once
#include "cli/diagnosis.h"

struct diagnosis {
    const struct diagnosis_host *host;
    struct diagnosis_finding *out;
    size_t count;
};

/* The next finding, good until told otherwise; its text is printed. */
struct diagnosis_finding *diagnosis_find(struct diagnosis *d, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* It is not good; `cure` may be "" where a command follows. */
void diagnosis_blame(struct diagnosis_finding *f, enum diagnosis_level level, const char *cure);
/* The command that mends it; one that does not fit is none. */
void diagnosis_command(struct diagnosis_finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a command that changes the system begins with: "sudo ", or "" for who needs none. */
const char *diagnosis_sudo(const struct diagnosis *d);

/* The rules about the network: interfaces, firewall, multicast. */
void diagnosis_network(struct diagnosis *d);
