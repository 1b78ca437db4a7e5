#include "os/interfaces.h"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_port_of_another(const char *name) {
    char path[64 + INTERFACE_NAME_BYTES];
    snprintf(path, sizeof path, "/sys/class/net/%s/master", name);
    return access(path, F_OK) == 0;
}

static bool is_usable(const struct ifaddrs *at) {
    unsigned wanted = IFF_UP | IFF_RUNNING;
    bool multicast = (at->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) != 0;
    return at->ifa_addr && (at->ifa_flags & wanted) == wanted && multicast && !is_port_of_another(at->ifa_name);
}

/* Its place in the list, where it is put if it is new; NULL when the list is full. */
static struct interface *entry_of(struct interface *list, size_t *count, size_t max, const struct ifaddrs *at) {
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i].name, at->ifa_name) == 0) return &list[i];
    unsigned index = if_nametoindex(at->ifa_name);
    if (*count == max || index == 0) return NULL;
    struct interface *entry = &list[(*count)++];
    *entry = (struct interface){.index = index, .loopback = (at->ifa_flags & IFF_LOOPBACK) != 0};
    snprintf(entry->name, sizeof entry->name, "%s", at->ifa_name);
    return entry;
}

size_t interfaces_list(struct interface *out, size_t max) {
    struct ifaddrs *all;
    size_t count = 0;
    if (getifaddrs(&all) < 0) return 0;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6)) continue;
        struct interface *entry = is_usable(at) ? entry_of(out, &count, max, at) : NULL;
        if (!entry) continue;
        if (at->ifa_addr->sa_family == AF_INET) entry->ipv4 = true;
        if (at->ifa_addr->sa_family == AF_INET6 && !entry->loopback) entry->ipv6 = true;
    }
    freeifaddrs(all);
    return count;
}

/* How good an address is for others to dial; 0: of no use to them. */
static int worth(const struct ifaddrs *at) {
    if (!is_usable(at) || (at->ifa_flags & IFF_LOOPBACK)) return 0;
    if (at->ifa_addr->sa_family == AF_INET) return 3;
    if (at->ifa_addr->sa_family != AF_INET6) return 0;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    return IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? 1 : 2;
}

static void copy_address(const struct sockaddr *from, uint8_t ip[16], unsigned *scope_id) {
    static const uint8_t ipv4_prefix[12] = {[10] = 0xff, [11] = 0xff};
    *scope_id = 0;
    if (from->sa_family == AF_INET) {
        memcpy(ip, ipv4_prefix, sizeof ipv4_prefix);
        memcpy(ip + sizeof ipv4_prefix, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
    memcpy(ip, &in6->sin6_addr, 16);
    *scope_id = in6->sin6_scope_id;
}

bool interfaces_own_address(uint8_t ip[16], unsigned *scope_id) {
    struct ifaddrs *all;
    int best = 0;
    if (getifaddrs(&all) < 0) return false;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (worth(at) <= best) continue;
        best = worth(at);
        copy_address(at->ifa_addr, ip, scope_id);
    }
    freeifaddrs(all);
    return best > 0;
}

int interfaces_watch(void) {
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return ERR_UNSUPPORTED;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return ERR_UNSUPPORTED;
}

void interfaces_watch_read(int fd) {
    char news[8192];
    /* What it says does not matter: the interfaces are read anew. Also an overflow (ENOBUFS) is taken away by reading.
     */
    for (int i = 0; i < 256 && recv(fd, news, sizeof news, 0) > 0; i++) continue;
}
