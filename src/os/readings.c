#include "os/readings.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 512 };

static FILE *open_at(const char *root, const char *path) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
}

static bool read_number(const char *root, const char *path, double *out) {
    FILE *f = open_at(root, path);
    if (f == NULL) return false;
    bool good = fscanf(f, "%lf", out) == 1;
    fclose(f);
    return good;
}

static bool read_word(const char *root, const char *path, char out[64]) {
    FILE *f = open_at(root, path);
    if (f == NULL) return false;
    bool good = fscanf(f, "%63s", out) == 1;
    fclose(f);
    return good;
}

/* Calls see() with the path of every entry of a folder. */
static void each_entry(const char *root, const char *folder, void (*see)(const char *root, const char *path, void *out),
                       void *out) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", root, folder);
    DIR *dir = n > 0 && n < (int)sizeof path ? opendir(path) : NULL;
    if (dir == NULL) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (n > 0 && n < (int)sizeof path) see(root, path, out);
    }
    closedir(dir);
}

static void note_temperature(struct readings *r, double millidegrees) {
    double celsius = millidegrees / 1000;
    if (celsius <= 0 || celsius > 150 || (r->temperature_known && celsius <= r->temperature_c)) return;
    r->temperature_known = true;
    r->temperature_c = celsius;
}

/* Names of processors' sensors: Linux, Documentation/hwmon/{coretemp,k10temp}.rst; thermal zones of Arm boards. */
static bool of_processor(const char *name) {
    static const char *const names[] = {"coretemp", "k10temp", "zenpower", "x86_pkg_temp", "cpu", "soc"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
    return false;
}

static void see_zone(const char *root, const char *path, void *out) {
    char file[PATH_MAX + 8], type[64];
    double value;
    snprintf(file, sizeof file, "%s/type", path);
    if (!read_word(root, file, type) || !of_processor(type)) return;
    snprintf(file, sizeof file, "%s/temp", path);
    if (read_number(root, file, &value)) note_temperature(out, value);
}

/* Documentation/hwmon/sysfs-interface.rst: temp*_input in millidegrees, power*_input in microwatts. */
static void see_monitor(const char *root, const char *path, void *out) {
    struct readings *r = out;
    char file[PATH_MAX + 24], name[64];
    double value;
    snprintf(file, sizeof file, "%s/name", path);
    bool processor = read_word(root, file, name) && of_processor(name);
    snprintf(file, sizeof file, "%s/temp1_input", path);
    if (processor && read_number(root, file, &value)) note_temperature(r, value);
    static const char *const meters[] = {"power1_average", "power1_input"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", path, meters[i]);
        if (!read_number(root, file, &value)) continue;
        r->power_known = true;
        r->power_w += value / 1e6;
        break;
    }
}

/* A line of /proc/net/dev (proc(5)): name, eight numbers received, eight sent, bytes first. */
static void see_interface(const char *line, struct readings *r) {
    char name[32];
    uint64_t received, sent;
    if (sscanf(line, " %31[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name, &received, &sent) != 3) return;
    if (strcmp(name, "lo") == 0) return;
    r->network_known = true;
    r->received_bytes += received;
    r->sent_bytes += sent;
}

void readings_take(const char *root, struct readings *out) {
    *out = (struct readings){0};
    each_entry(root, "/sys/class/thermal", see_zone, out);
    each_entry(root, "/sys/class/hwmon", see_monitor, out);
    FILE *f = open_at(root, "/proc/net/dev");
    if (f == NULL) return;
    for (char line[LINE_BYTES]; fgets(line, sizeof line, f);) see_interface(line, out);
    fclose(f);
}
