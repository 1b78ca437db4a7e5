#include "os/facts.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hex.h"
#include "os/topology.h"

enum { FILE_BYTES = 16384 };

/* The beginning of a small file as a string; false when it cannot be read. */
static bool read_file(const char *root, const char *path, char out[FILE_BYTES]) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof full) return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t len = 0;
    ssize_t got;
    while (len < FILE_BYTES - 1 && (got = read(fd, out + len, FILE_BYTES - 1 - len)) > 0) len += (size_t)got;
    close(fd);
    out[len] = '\0';
    return len > 0;
}

/* The number behind `key` at the start of a line. */
static bool find_number(const char *text, const char *key, uint64_t *out) {
    size_t len = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, len) != 0) continue;
        char *end;
        *out = strtoull(line + len, &end, 10);
        return end != line + len;
    }
    return false;
}

/* A file that holds one number, or "max". */
static bool read_number(const char *root, const char *path, uint64_t *out) {
    char text[FILE_BYTES];
    if (!read_file(root, path, text) || text[0] < '0' || text[0] > '9') return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

/* A kind of control group: where its tree is mounted and how its files are called. */
struct cgroup {
    const char *line_start; /* of the process's line in /proc/self/cgroup; up to the second colon */
    const char *mount;
    const char *memory_limit, *memory_usage; /* file names */
    const char *memory_cache_keys[2];        /* in memory.stat: what the kernel gives back by itself */
};

static const struct cgroup cgroups[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file "}},
    {":memory:",
     "/sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
};

/* The process's path in a tree of control groups: what stands behind `start` in its line. */
static bool cgroup_path(const char *table, const char *start, char out[PATH_MAX]) {
    const char *found = strstr(table, start);
    if (found == NULL) return false;
    found += strlen(start);
    size_t len = strcspn(found, "\n");
    if (len >= PATH_MAX) return false;
    memcpy(out, found, len);
    out[len] = '\0';
    return true;
}

/* The parent of a control group's path, "" being the root; false when there is none. */
static bool cgroup_parent(char *path) {
    char *slash = strrchr(path, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    return true;
}

static bool cgroup_file(const struct cgroup *kind, const char *path, const char *name, char out[PATH_MAX]) {
    int n = snprintf(out, PATH_MAX, "%s%s/%s", kind->mount, path, name);
    return n > 0 && n < PATH_MAX;
}

static bool cgroup_number(const char *root, const struct cgroup *kind, const char *path, const char *name,
                          uint64_t *out) {
    char file[PATH_MAX];
    return cgroup_file(kind, path, name, file) && read_number(root, file, out);
}

/* Page cache that counts as used in this group but can be dropped. */
static uint64_t cgroup_cache(const char *root, const struct cgroup *kind, const char *path) {
    char file[PATH_MAX], text[FILE_BYTES];
    uint64_t sum = 0, bytes;
    if (!cgroup_file(kind, path, "memory.stat", file) || !read_file(root, file, text)) return 0;
    for (int i = 0; i < 2; i++)
        if (find_number(text, kind->memory_cache_keys[i], &bytes)) sum += bytes;
    return sum;
}

static void cgroup_memory(const char *root, const struct cgroup *kind, const char *path, struct facts_memory *out) {
    uint64_t limit, used;
    if (!cgroup_number(root, kind, path, kind->memory_limit, &limit) || limit >= out->total_bytes) return;
    if (!cgroup_number(root, kind, path, kind->memory_usage, &used)) used = 0;
    uint64_t cache = cgroup_cache(root, kind, path);
    used = used > cache ? used - cache : 0;
    uint64_t left = limit > used ? limit - used : 0;
    if (limit < out->cgroup_bytes) out->cgroup_bytes = limit;
    if (left < out->cgroup_left_bytes) out->cgroup_left_bytes = left;
}

void facts_memory(const char *root, struct facts_memory *out) {
    char text[FILE_BYTES], path[PATH_MAX];
    uint64_t kib;
    *out = (struct facts_memory){FACTS_UNLIMITED, FACTS_UNLIMITED, FACTS_UNLIMITED, FACTS_UNLIMITED};
    if (read_file(root, "/proc/meminfo", text)) {
        if (find_number(text, "MemTotal:", &kib)) out->total_bytes = kib * 1024;
        if (find_number(text, "MemAvailable:", &kib)) out->available_bytes = kib * 1024;
    }
    if (!read_file(root, "/proc/self/cgroup", text)) return;
    for (size_t i = 0; i < sizeof cgroups / sizeof cgroups[0]; i++) {
        if (!cgroup_path(text, cgroups[i].line_start, path)) continue;
        do cgroup_memory(root, &cgroups[i], path, out);
        while (cgroup_parent(path));
    }
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t facts_memory_budget(const struct facts_memory *memory, uint64_t limit_bytes) {
    uint64_t budget = limit_bytes == 0 ? FACTS_UNLIMITED : limit_bytes;
    budget = least(budget, memory->cgroup_left_bytes);
    if (memory->available_bytes == FACTS_UNLIMITED) return budget;
    uint64_t spare = memory->available_bytes > FACTS_RESERVE_BYTES ? memory->available_bytes - FACTS_RESERVE_BYTES : 0;
    return least(budget, spare);
}

/* The quota of one group of either version; false: it has none. */
static bool cgroup_quota(const char *root, const char *path, struct facts_quota *out) {
    char file[PATH_MAX + 64], text[FILE_BYTES];
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path);
    if (read_file(root, file, text)) {
        char *end;
        out->quota_us = strtoull(text, &end, 10);
        if (end == text) return false;
        out->period_us = strtoull(end, NULL, 10);
    } else {
        snprintf(file, sizeof file, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
        if (!read_number(root, file, &out->quota_us)) return false;
        snprintf(file, sizeof file, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
        if (!read_number(root, file, &out->period_us)) return false;
    }
    return out->period_us > 0;
}

static bool tighter(const struct facts_quota *a, const struct facts_quota *b) {
    return b->period_us == 0 || (double)a->quota_us / (double)a->period_us < (double)b->quota_us / (double)b->period_us;
}

void facts_quota(const char *root, struct facts_quota *out) {
    static const char *const starts[] = {"0::", ":cpu,cpuacct:", ":cpu:"};
    char table[FILE_BYTES], path[PATH_MAX];
    struct facts_quota found;
    *out = (struct facts_quota){0};
    if (!read_file(root, "/proc/self/cgroup", table)) return;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (!cgroup_path(table, starts[i], path)) continue;
        do
            if (cgroup_quota(root, path, &found) && tighter(&found, out)) *out = found;
        while (cgroup_parent(path));
    }
}

/* CPUs on which the calling thread may run. */
static unsigned allowed_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t holds */
    return online > 0 ? (unsigned)online : 1;
}

unsigned facts_cores(const char *root) {
    unsigned known = topology_cores();
    uint64_t cores = known ? known : allowed_cpus();
    struct facts_quota quota;
    facts_quota(root, &quota);
    if (quota.period_us) cores = least(cores, quota.quota_us / quota.period_us);
    return cores == 0 ? 1 : (unsigned)cores;
}

int facts_boot_id(const char *root, uint8_t out[FACTS_BOOT_ID_BYTES]) {
    char text[FILE_BYTES];
    if (!read_file(root, "/proc/sys/kernel/random/boot_id", text)) return ERR_IO;
    const char *at = text;
    for (int i = 0; i < FACTS_BOOT_ID_BYTES; i++) {
        if (*at == '-') at++;
        if (!hex_read(at, out + i, 1)) return ERR_IO;
        at += 2;
    }
    return 0;
}

bool facts_cpu_has(const char *root, const char *feature) {
    char text[FILE_BYTES];
    if (!read_file(root, "/proc/cpuinfo", text)) return false;
    char *list = strstr(text, "\nflags");                /* x86 */
    if (list == NULL) list = strstr(text, "\nFeatures"); /* aarch64 */
    if (list == NULL) return false;
    list[1 + strcspn(list + 1, "\n")] = '\0';
    size_t len = strlen(feature);
    for (char *at = strstr(list, feature); at != NULL; at = strstr(at + 1, feature))
        if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\0')) return true;
    return false;
}

void facts_host_name(char out[FACTS_NAME_BYTES]) {
    if (gethostname(out, FACTS_NAME_BYTES) != 0) out[0] = '\0';
    out[FACTS_NAME_BYTES - 1] = '\0';
    if (out[0] == '\0') snprintf(out, FACTS_NAME_BYTES, "host");
}
