#include "cli/diagnosis.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GIB (1024.0 * 1024 * 1024)

/* A small model with its cache; a node with less is of little use. */
#define MEMORY_WEAK_BYTES   (1ull << 30)
#define MEMORY_BROKEN_BYTES (128ull << 20)
#define DISK_WEAK_BYTES     (2ull << 30)

enum { FILES_WEAK = 1024 };

struct diagnosis {
    struct diagnosis_finding *out;
    size_t count;
};

static struct diagnosis_finding *add(struct diagnosis *d, const char *subject, enum diagnosis_level level,
                                     const char *cure) {
    assert(d->count < DIAGNOSIS_FINDINGS_MAX);
    struct diagnosis_finding *f = &d->out[d->count++];
    *f = (struct diagnosis_finding){.subject = subject, .level = level};
    if (level != DIAGNOSIS_GOOD) snprintf(f->cure, sizeof f->cure, "%s", cure);
    return f;
}

__attribute__((format(printf, 2, 3))) static void say(struct diagnosis_finding *f, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
}

static void judge_cpu(struct diagnosis *d, const struct diagnosis_host *host) {
    bool slow = host->isa == KERN_REF;
    struct diagnosis_finding *f =
        add(d, "cpu", slow ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD,
            "a CPU with AVX2 is many times faster; in a virtual machine, pass the host's CPU through");
    say(f, "%u cores, %s kernels", host->cores, kern_isa_name(host->isa));
}

static void judge_memory(struct diagnosis *d, const struct diagnosis_host *host) {
    uint64_t budget = facts_memory_budget(&host->memory, 0);
    enum diagnosis_level level = budget < MEMORY_BROKEN_BYTES ? DIAGNOSIS_BROKEN
                                 : budget < MEMORY_WEAK_BYTES ? DIAGNOSIS_WEAK
                                                              : DIAGNOSIS_GOOD;
    bool limited = host->memory.cgroup_left_bytes < host->memory.available_bytes;
    struct diagnosis_finding *f = add(d, "memory", level,
                                      limited ? "raise the memory limit of the container or service"
                                              : "end other programs: 1 GiB always stays free for the rest of the host");
    if (budget == FACTS_UNLIMITED)
        say(f, "how much there is cannot be told");
    else
        say(f, "%.1f GiB for models%s", (double)budget / GIB, limited ? ", by the limit of the control group" : "");
}

static void judge_huge_pages(struct diagnosis *d, const struct diagnosis_host *host) {
    const char *now = host->condition.huge_pages;
    bool off = strcmp(now, "never") == 0;
    struct diagnosis_finding *f = add(d, "huge pages", off ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD,
                                      "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    f->mend = off ? MEND_HUGE_PAGES : MEND_BY_HAND;
    say(f, "%s", *now == '\0' ? "not known to this kernel" : off ? "switched off: reading weights is slower" : now);
}

static void judge_governor(struct diagnosis *d, const struct diagnosis_host *host) {
    const char *now = host->condition.governor;
    bool slow = strcmp(now, "powersave") == 0;
    struct diagnosis_finding *f =
        add(d, "clock", slow ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD, "as root: cpupower frequency-set -g performance");
    f->mend = slow ? MEND_GOVERNOR : MEND_BY_HAND;
    say(f, "%s%s", *now == '\0' ? "left to the hardware" : now,
        slow ? ": the cores wake up slowly between tokens" : "");
}

static void judge_files(struct diagnosis *d, const struct diagnosis_host *host) {
    bool few = host->condition.files_max < FILES_WEAK;
    struct diagnosis_finding *f = add(d, "open files", few ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD,
                                      "raise the limit (ulimit -Hn, LimitNOFILE= of a service) to 4096 or more");
    if (host->condition.files_max == UINT64_MAX)
        say(f, "without a limit");
    else
        say(f, "at most %llu: each client and each link takes one", (unsigned long long)host->condition.files_max);
}

static void judge_home(struct diagnosis *d, const struct diagnosis_host *host) {
    const struct condition *c = &host->condition;
    if (!c->folder_usable) {
        say(add(d, "home", DIAGNOSIS_BROKEN, "set CARAVAN_HOME to a folder that you may write to"),
            "it is not there or may not be written to");
        return;
    }
    bool full = c->disk_free_bytes < DISK_WEAK_BYTES;
    struct diagnosis_finding *f = add(d, "home", full ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD,
                                      "make room, or set CARAVAN_HOME to a folder on another disk");
    say(f, "%.1f GiB free on its disk", (double)c->disk_free_bytes / GIB);
}

static void judge_secret(struct diagnosis *d, const struct diagnosis_host *host) {
    struct diagnosis_finding *f =
        add(d, "secret", host->secret_shared ? DIAGNOSIS_BROKEN : DIAGNOSIS_GOOD,
            "chmod 600 the file `secret` in the home; `caravan code --new` if somebody may have read it");
    f->mend = host->secret_shared ? MEND_SECRET : MEND_BY_HAND;
    say(f, "%s", host->secret_shared ? "other users may read it, so no node starts" : "nobody else may read it");
}

static void judge_port(struct diagnosis *d, const struct diagnosis_host *host) {
    bool taken = !host->api_port_free && !host->node_runs;
    struct diagnosis_finding *f =
        add(d, "port", taken ? DIAGNOSIS_WEAK : DIAGNOSIS_GOOD, "caravan serve --port N, or end who listens there");
    say(f, "%s",
        taken             ? "the API's usual port is taken by another program"
        : host->node_runs ? "a node runs on this home"
                          : "the API's usual port is free");
}

static void judge_network(struct diagnosis *d, const struct diagnosis_host *host) {
    struct diagnosis_finding *f = add(d, "network", host->network ? DIAGNOSIS_GOOD : DIAGNOSIS_WEAK,
                                      "bring an interface up to be seen by other machines");
    say(f, "%s", host->network ? "other machines can be reached" : "there is only loopback: this node stays alone");
}

const char *diagnosis_level_name(enum diagnosis_level level) {
    static const char *const names[] = {"ok", "weak", "broken"};
    return names[level];
}

size_t diagnosis_make(const struct diagnosis_host *host, struct diagnosis_finding out[DIAGNOSIS_FINDINGS_MAX]) {
    struct diagnosis d = {.out = out};
    judge_cpu(&d, host);
    judge_memory(&d, host);
    judge_huge_pages(&d, host);
    judge_governor(&d, host);
    judge_files(&d, host);
    judge_home(&d, host);
    judge_secret(&d, host);
    judge_port(&d, host);
    judge_network(&d, host);
    return d.count;
}
