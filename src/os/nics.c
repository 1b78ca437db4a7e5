#include "os/nics.h"

#include <dirent.h>
#include <limits.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* linux/wireless.h, which cannot be included beside net/if.h. */
struct wireless_request {
    char name[IFNAMSIZ];
    int32_t value;
    uint8_t fixed, disabled;
    uint16_t flags;
};

enum { LINE_BYTES = 256, GET_POWER = 0x8b2d /* SIOCGIWPOWER */ };

static FILE *open_at(const char *root, const char *path) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
}

/* A file of /sys/class/net/NAME/ as a number of any base; -1: it is not there or says nothing. */
static long read_number(const char *root, const char *name, const char *file) {
    char path[LINE_BYTES], line[LINE_BYTES], *end = line;
    snprintf(path, sizeof path, "/sys/class/net/%s/%s", name, file);
    FILE *f = open_at(root, path);
    if (f == NULL) return -1;
    long value = fgets(line, sizeof line, f) ? strtol(line, &end, 0) : -1;
    fclose(f);
    return end == line ? -1 : value;
}

static bool has(const char *root, const char *name, const char *file) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/sys/class/net/%s/%s", root, name, file);
    return n > 0 && n < (int)sizeof path && access(path, F_OK) == 0;
}

/* Calls see() for each entry of a folder until it returns false. */
static void each(const char *root, const char *folder, bool (*see)(void *context, const char *name), void *context) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", root, folder);
    DIR *dir = n > 0 && n < (int)sizeof path ? opendir(path) : NULL;
    if (dir == NULL) return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && !see(context, entry->d_name)) break;
    closedir(dir);
}

struct search {
    const char *root;
    bool found;
};

static bool see_port(void *context, const char *name) {
    struct search *s = context;
    s->found = has(s->root, name, "device");
    return !s->found;
}

/* Does the bridge have hardware in it? */
static bool bridges_hardware(const char *root, const char *name) {
    struct search s = {.root = root};
    char folder[LINE_BYTES];
    snprintf(folder, sizeof folder, "/sys/class/net/%s/brif", name);
    each(root, folder, see_port, &s);
    return s.found;
}

/* The interface of the default route with the least metric; "" when there is none. */
static void default_route(const char *root, char out[NIC_NAME_BYTES]) {
    char line[LINE_BYTES], name[NIC_NAME_BYTES];
    unsigned long destination, metric, least = ULONG_MAX;
    FILE *f = open_at(root, "/proc/net/route");
    out[0] = '\0';
    while (f && fgets(line, sizeof line, f)) {
        int fields = sscanf(line, "%15s %lx %*x %*x %*d %*d %lu", name, &destination, &metric);
        if (fields != 3 || destination != 0 || metric >= least) continue;
        least = metric;
        memcpy(out, name, sizeof name);
    }
    if (f) fclose(f);
}

/* Only a real kernel can be asked. */
static bool saves_power(const char *root, const char *name) {
    struct wireless_request request = {0};
    int fd = *root == '\0' ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) return false;
    snprintf(request.name, sizeof request.name, "%s", name);
    bool told = ioctl(fd, GET_POWER, &request) == 0;
    close(fd);
    return told && !request.disabled;
}

struct nics {
    const char *root;
    char route[NIC_NAME_BYTES];
    struct nic *out;
    size_t count;
};

static bool see_interface(void *context, const char *name) {
    struct nics *all = context;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@-";
    const char *root = all->root;
    long flags = read_number(root, name, "flags");
    bool bridge = has(root, name, "bridge") && bridges_hardware(root, name);
    bool known = strlen(name) < NIC_NAME_BYTES && strspn(name, letters) == strlen(name);
    bool virtual = strncmp(name, "eth", 3) == 0; /* a container's own */
    if (!known || flags < 0 || !(flags & IFF_UP) || (flags & IFF_LOOPBACK)) return true;
    if (!bridge && !virtual && !has(root, name, "device")) return true;
    long speed = read_number(root, name, "speed");
    struct nic *nic = &all->out[all->count++];
    *nic = (struct nic){
        .wireless = has(root, name, "wireless") || has(root, name, "phy80211"),
        .carrier = read_number(root, name, "carrier") == 1,
        .multicast = flags & IFF_MULTICAST,
        .deaf_bridge = bridge && read_number(root, name, "bridge/multicast_snooping") == 1 &&
                       read_number(root, name, "bridge/multicast_querier") == 0,
        .routes = strcmp(name, all->route) == 0,
        .speed_mbit = speed > 0 && speed < INT_MAX ? (int)speed : -1,
    };
    snprintf(nic->name, sizeof nic->name, "%s", name);
    nic->saves_power = nic->wireless && saves_power(root, name);
    return all->count < NICS_MAX;
}

size_t nics_read(const char *root, struct nic out[NICS_MAX]) {
    struct nics all = {.root = root, .out = out};
    default_route(root, all.route);
    each(root, "/sys/class/net", see_interface, &all);
    return all.count;
}
