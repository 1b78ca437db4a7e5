#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/diagnosis_private.h"

#define GIB (1024.0 * 1024 * 1024)

/* A small model with its cache; a node with less is of little use. */
#define MEMORY_WEAK_BYTES   (1ull << 30)
#define MEMORY_BROKEN_BYTES (128ull << 20)
#define DISK_WEAK_BYTES     (2ull << 30)
/* More than what any system moves out that nobody uses. */
#define SWAP_WEAK_BYTES (512ull << 20)
/* The start of 2026: whoever takes it for earlier is wrong. */
#define WALL_LEAST_S 1767225600

enum { FILES_WEAK = 1024, SWAPPINESS = 10 };

/* ---- writing it down ---- */

struct diagnosis_finding *diagnosis_find(struct diagnosis *d, const char *subject, const char *format, ...) {
    va_list arguments;
    assert(d->count < DIAGNOSIS_FINDINGS_MAX);
    struct diagnosis_finding *f = &d->out[d->count++];
    *f = (struct diagnosis_finding){.subject = subject};
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    return f;
}

void diagnosis_blame(struct diagnosis_finding *f, enum diagnosis_level level, const char *cure) {
    f->level = level;
    snprintf(f->cure, sizeof f->cure, "%s", cure);
}

void diagnosis_command(struct diagnosis_finding *f, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(f->command, sizeof f->command, format, arguments);
    va_end(arguments);
    if (n < 0 || n >= (int)sizeof f->command) f->command[0] = '\0';
}

const char *diagnosis_sudo(const struct diagnosis *d) { return d->host->superuser ? "" : "sudo "; }

/* Write a word into a file of the kernel's. */
static void command_to_set(struct diagnosis *d, struct diagnosis_finding *f, const char *word, const char *path) {
    diagnosis_command(f, "echo %s | %stee %s%s", word, diagnosis_sudo(d), d->host->root, path);
}

/* ---- processor and memory ---- */

static void judge_cpu(struct diagnosis *d) {
    struct diagnosis_finding *f =
        diagnosis_find(d, "cpu", "%u cores, %s kernels", d->host->cores, kern_isa_name(d->host->isa));
    if (d->host->isa == KERN_REF)
        diagnosis_blame(f, DIAGNOSIS_WEAK,
                        "a CPU with AVX2 is many times faster; in a virtual machine, pass the host's CPU through");
}

static void judge_quota(struct diagnosis *d) {
    const struct facts_quota *q = &d->host->quota;
    if (q->period_us == 0) {
        diagnosis_find(d, "cpu time", "as much as there is");
        return;
    }
    struct diagnosis_finding *f = diagnosis_find(d, "cpu time", "%.1f cores, by the quota of the control group",
                                                 (double)q->quota_us / (double)q->period_us);
    diagnosis_blame(f, DIAGNOSIS_WEAK, "raise the CPU quota of the container or service");
    if (d->host->condition.unit[0] != '\0')
        diagnosis_command(f, "%ssystemctl set-property %s CPUQuota=", diagnosis_sudo(d), d->host->condition.unit);
}

/* Does the control group give less than half of what the host has? */
static bool is_limited(const struct facts_memory *m) {
    return m->cgroup_bytes != FACTS_UNLIMITED && m->total_bytes != FACTS_UNLIMITED &&
           m->cgroup_bytes < m->total_bytes / 2;
}

static void blame_memory(struct diagnosis *d, struct diagnosis_finding *f, uint64_t budget) {
    const struct facts_memory *m = &d->host->memory;
    enum diagnosis_level level = budget < MEMORY_BROKEN_BYTES ? DIAGNOSIS_BROKEN : DIAGNOSIS_WEAK;
    if (m->cgroup_left_bytes >= m->available_bytes && !is_limited(m)) {
        diagnosis_blame(f, level, "end other programs: 1 GiB always stays free for the rest of the host");
        return;
    }
    diagnosis_blame(f, level, "raise the memory limit of the container or service");
    if (d->host->condition.unit[0] != '\0')
        diagnosis_command(f, "%ssystemctl set-property %s MemoryMax=infinity", diagnosis_sudo(d),
                          d->host->condition.unit);
}

static void judge_memory(struct diagnosis *d) {
    const struct facts_memory *m = &d->host->memory;
    uint64_t budget = facts_memory_budget(m, 0);
    if (budget == FACTS_UNLIMITED) {
        diagnosis_find(d, "memory", "how much there is cannot be told");
        return;
    }
    bool limited = m->cgroup_left_bytes < m->available_bytes;
    struct diagnosis_finding *f =
        diagnosis_find(d, "memory", "%.1f GiB for models%s", (double)budget / GIB,
                       limited ? ", by the memory limit of the control group" : "");
    if (budget < MEMORY_WEAK_BYTES || is_limited(m)) blame_memory(d, f, budget);
}

static void judge_swap(struct diagnosis *d) {
    const struct condition *c = &d->host->condition;
    double used = (double)c->swap_used_bytes / GIB;
    if (c->swap_used_bytes < SWAP_WEAK_BYTES) {
        diagnosis_find(d, "swap", "%s", c->swap_used_bytes ? "hardly used" : "not used");
        return;
    }
    struct diagnosis_finding *f =
        diagnosis_find(d, "swap", "%.1f GiB moved out of memory: answers wait where it is needed again", used);
    diagnosis_blame(f, DIAGNOSIS_WEAK, "end other programs, or offer less (caravan serve --memory)");
    if (c->swappiness != UINT_MAX && c->swappiness > SWAPPINESS)
        diagnosis_command(f, "echo %d | %stee %s/proc/sys/vm/swappiness", SWAPPINESS, diagnosis_sudo(d), d->host->root);
}

static void judge_huge_pages(struct diagnosis *d) {
    const char *now = d->host->condition.huge_pages;
    bool off = strcmp(now, "never") == 0;
    struct diagnosis_finding *f =
        diagnosis_find(d, "huge pages", "%s",
                       *now == '\0' ? "not known to this kernel"
                       : off        ? "switched off: reading weights is slower"
                                    : now);
    if (!off) return;
    diagnosis_blame(f, DIAGNOSIS_WEAK, "");
    command_to_set(d, f, "madvise", "/sys/kernel/mm/transparent_hugepage/enabled");
}

static void judge_governor(struct diagnosis *d) {
    const char *now = d->host->condition.governor;
    bool slow = strcmp(now, "powersave") == 0;
    struct diagnosis_finding *f = diagnosis_find(d, "governor", "%s%s", *now == '\0' ? "left to the hardware" : now,
                                                 slow ? ": the cores wake up slowly between tokens" : "");
    if (!slow) return;
    diagnosis_blame(f, DIAGNOSIS_WEAK, "");
    command_to_set(d, f, "performance", "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
}

static void judge_clock(struct diagnosis *d) {
    const struct condition *c = &d->host->condition;
    bool slow = !strcmp(c->clock_source, "hpet") || !strcmp(c->clock_source, "acpi_pm");
    if (c->wall_s < WALL_LEAST_S) {
        struct diagnosis_finding *f =
            diagnosis_find(d, "clock", "it is years behind: certificates of hubs do not hold, so pulls fail");
        diagnosis_blame(f, DIAGNOSIS_WEAK, "");
        diagnosis_command(f, "%stimedatectl set-ntp true", diagnosis_sudo(d));
        return;
    }
    struct diagnosis_finding *f =
        diagnosis_find(d, "clock", "%s%s", c->clock_source[0] ? c->clock_source : "no other one known",
                       slow ? ": each look at it costs a microsecond" : "");
    if (!slow) return;
    diagnosis_blame(f, DIAGNOSIS_WEAK, c->clock_tsc ? "" : "boot with clocksource=tsc if the processor's is reliable");
    if (c->clock_tsc) command_to_set(d, f, "tsc", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
}

/* ---- limits, files, ports ---- */

static void judge_files(struct diagnosis *d) {
    uint64_t most = d->host->condition.files_max;
    struct diagnosis_finding *f =
        most == UINT64_MAX ? diagnosis_find(d, "open files", "without a limit")
                           : diagnosis_find(d, "open files", "at most %llu: each client and each link takes one",
                                            (unsigned long long)most);
    if (most >= FILES_WEAK) return;
    diagnosis_blame(f, DIAGNOSIS_WEAK, "raise the limit (ulimit -Hn, LimitNOFILE= of a service) to 4096 or more");
}

static void judge_home(struct diagnosis *d) {
    const struct condition *c = &d->host->condition;
    if (!c->folder_usable) {
        diagnosis_blame(diagnosis_find(d, "home", "it is not there or may not be written to"), DIAGNOSIS_BROKEN,
                        "set CARAVAN_HOME to a folder that you may write to");
        return;
    }
    struct diagnosis_finding *f =
        diagnosis_find(d, "home", "%.1f GiB free on its disk", (double)c->disk_free_bytes / GIB);
    if (c->disk_free_bytes < DISK_WEAK_BYTES)
        diagnosis_blame(f, DIAGNOSIS_WEAK, "make room, or set CARAVAN_HOME to a folder on another disk");
}

static void judge_secret(struct diagnosis *d) {
    if (!d->host->secret_shared) {
        diagnosis_find(d, "secret", "nobody else may read it");
        return;
    }
    struct diagnosis_finding *f = diagnosis_find(d, "secret", "other users may read it, so no node starts");
    diagnosis_blame(f, DIAGNOSIS_BROKEN, "also `caravan code --new`, if somebody may have read it");
    /* A home with a quote in its name is mended by hand. */
    if (strchr(d->host->home, '\'') == NULL) diagnosis_command(f, "chmod 600 '%s/secret'", d->host->home);
}

static void judge_port(struct diagnosis *d) {
    bool taken = !d->host->api_port_free && !d->host->node_runs;
    const char *text = taken                ? "the API's usual port is taken by another program"
                       : d->host->node_runs ? "a node runs on this home"
                                            : "the API's usual port is free";
    struct diagnosis_finding *f = diagnosis_find(d, "port", "%s", text);
    if (taken) diagnosis_blame(f, DIAGNOSIS_WEAK, "caravan serve --port N, or end who listens there");
}

/* ---- all of it ---- */

const char *diagnosis_level_name(enum diagnosis_level level) {
    static const char *const names[] = {"ok", "weak", "broken"};
    return names[level];
}

size_t diagnosis_make(const struct diagnosis_host *host, struct diagnosis_finding out[DIAGNOSIS_FINDINGS_MAX]) {
    struct diagnosis d = {.host = host, .out = out};
    judge_cpu(&d);
    judge_quota(&d);
    judge_governor(&d);
    judge_clock(&d);
    judge_memory(&d);
    judge_swap(&d);
    judge_huge_pages(&d);
    judge_files(&d);
    judge_home(&d);
    judge_secret(&d);
    judge_port(&d);
    diagnosis_network(&d);
    return d.count;
}
