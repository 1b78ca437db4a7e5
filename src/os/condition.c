#include "os/condition.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };

/* The first line of a small file; "" when it cannot be read. */
static void read_line(const char *root, const char *path, char out[LINE_BYTES]) {
    char full[PATH_MAX];
    out[0] = '\0';
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    FILE *f = n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
    if (f == NULL) return;
    if (fgets(out, LINE_BYTES, f) == NULL) out[0] = '\0';
    fclose(f);
    out[strcspn(out, "\n")] = '\0';
}

/* The word in brackets of "always [madvise] never". */
static void read_choice(const char *root, const char *path, char out[CONDITION_WORD_BYTES]) {
    char line[LINE_BYTES];
    read_line(root, path, line);
    const char *open = strchr(line, '['), *close = open ? strchr(open, ']') : NULL;
    size_t len = close ? (size_t)(close - open) - 1 : 0;
    if (len >= CONDITION_WORD_BYTES) len = 0;
    if (len > 0) memcpy(out, open + 1, len);
    out[len] = '\0';
}

static void read_word(const char *root, const char *path, char out[CONDITION_WORD_BYTES]) {
    char line[LINE_BYTES];
    read_line(root, path, line);
    snprintf(out, CONDITION_WORD_BYTES, "%.*s", CONDITION_WORD_BYTES - 1, line);
}

static void read_clock(const char *root, struct condition *out) {
    char sources[LINE_BYTES];
    read_word(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", out->clock_source);
    read_line(root, "/sys/devices/system/clocksource/clocksource0/available_clocksource", sources);
    out->clock_tsc = strstr(sources, "tsc") != NULL;
    out->wall_s = time(NULL);
}

static void read_swap(const char *root, struct condition *out) {
    char path[PATH_MAX], line[LINE_BYTES], word[CONDITION_WORD_BYTES];
    unsigned long long total = 0, unused = 0;
    int n = snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *f = n > 0 && n < (int)sizeof path ? fopen(path, "re") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "SwapTotal: %llu kB", &total);
        sscanf(line, "SwapFree: %llu kB", &unused);
    }
    if (f) fclose(f);
    out->swap_used_bytes = total > unused ? (total - unused) * 1024 : 0;
    read_word(root, "/proc/sys/vm/swappiness", word);
    out->swappiness = *word ? (unsigned)strtoul(word, NULL, 10) : UINT_MAX;
}

/* The innermost service or scope in "0::/system.slice/caravan.service", by the letters that units are named with. */
static void read_unit(const char *root, char out[CONDITION_UNIT_BYTES]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@:-";
    char line[LINE_BYTES];
    read_line(root, "/proc/self/cgroup", line);
    out[0] = '\0';
    for (char *end = NULL, *name = strtok_r(line, "/", &end); name; name = strtok_r(NULL, "/", &end)) {
        size_t len = strlen(name);
        bool is_unit = len > 8 && (!strcmp(name + len - 8, ".service") || !strcmp(name + len - 6, ".scope"));
        if (is_unit && len < CONDITION_UNIT_BYTES && strspn(name, letters) == len) memcpy(out, name, len + 1);
    }
}

void condition_read(const char *root, const char *folder, struct condition *out) {
    struct rlimit files;
    struct statvfs disk;
    struct stat status;
    *out = (struct condition){.files_max = UINT64_MAX, .disk_free_bytes = UINT64_MAX};
    read_word(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", out->governor);
    read_clock(root, out);
    read_swap(root, out);
    read_unit(root, out->unit);
    read_choice(root, "/sys/kernel/mm/transparent_hugepage/enabled", out->huge_pages);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) out->files_max = files.rlim_max;
    if (statvfs(folder, &disk) == 0) out->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    out->folder_usable =
        stat(folder, &status) == 0 && S_ISDIR(status.st_mode) && access(folder, R_OK | W_OK | X_OK) == 0;
}

bool condition_port_free(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return true;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_free;
}

bool condition_file_shared(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & 077) != 0;
}
