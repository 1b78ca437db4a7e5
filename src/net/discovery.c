#include "net/discovery.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "os/clock.h"
#include "os/interfaces.h"
#include "os/poller.h"

enum {
    MAC_BYTES = 16,
    PORTS_MAX = 2 * INTERFACES_MAX,
    TAG_INTERFACES = PORTS_MAX, /* smaller tags are places in ports */
    RETRY_NS = 200000000,
    RETRIES_MAX = 10, /* of one beacon on one port */
    TURNS = 256,      /* of the poller in one call */
};

#define GROUP_IPV4 0xefff5243u /* 239.255.82.67 */
static const struct in6_addr group_ipv6 = {.s6_addr = {0xff, 2, [12] = 0x43, 0x61, 0x72, 0x61}};

/* One interface and family. */
struct port {
    int fd; /* -1: free */
    unsigned index;
    int family;
    char name[INTERFACE_NAME_BYTES];
    uint64_t retry_ns; /* send the beacon again then; UINT64_MAX: it went out */
    unsigned retries;
    bool kept; /* while interfaces are compared */
};

struct discovery {
    uint16_t number; /* UDP port */
    struct secret_keyring keys;
    const struct log *log;
    struct poller poller;
    int watch_fd; /* news of interfaces; negative: none to be had */
    struct port ports[PORTS_MAX];
    uint8_t beacon[DISCOVERY_BYTES_MAX + MAC_BYTES]; /* sent last */
    size_t beacon_len;                               /* without the MAC */
    struct discovery_counters counters;
};

static void make_mac(const struct secret_keys *keys, const void *bytes, size_t len, uint8_t mac[MAC_BYTES]) {
    uint8_t whole[32];
    int rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, keys->beacon, sizeof keys->beacon, bytes, len, whole);
    assert(rc == 0);
    memcpy(mac, whole, MAC_BYTES);
}

static bool join_ipv4(int fd, unsigned index, uint16_t number) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(number), .sin_addr.s_addr = htonl(GROUP_IPV4)};
    struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(GROUP_IPV4), .imr_ifindex = (int)index};
    int zero = 0;
    /* Without this, the socket would hear what was meant for the sockets of other interfaces. */
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group) == 0;
}

static bool join_ipv6(int fd, unsigned index, uint16_t number) {
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons(number), .sin6_addr = group_ipv6, .sin6_scope_id = index};
    struct ipv6_mreq group = {.ipv6mr_multiaddr = group_ipv6, .ipv6mr_interface = index};
    int one = 1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) == 0 &&
           setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) == 0;
}

static int open_port(const struct discovery *d, unsigned index, int family) {
    int one = 1, fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    /* Every node of this host hears every beacon on the shared port. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (family == AF_INET ? join_ipv4(fd, index, d->number) : join_ipv6(fd, index, d->number)) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static void close_port(struct discovery *d, struct port *p) {
    log_info(d->log, "interface %s gone (%s) -> no beacons there", p->name, p->family == AF_INET ? "IPv4" : "IPv6");
    close(p->fd);
    p->fd = -1;
}

static void want_port(struct discovery *d, const struct interface *interface, int family) {
    struct port *place = NULL;
    const char *family_name = family == AF_INET ? "IPv4" : "IPv6";
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++) {
        if (p->fd >= 0 && p->index == interface->index && p->family == family) {
            p->kept = true;
            return;
        }
        if (p->fd < 0 && !place) place = p;
    }
    if (!place) return;
    int fd = open_port(d, interface->index, family);
    if (fd < 0 || poller_watch(&d->poller, fd, true, false, (uint64_t)(place - d->ports)) < 0) {
        log_warn(d->log, "interface %s (%s): %s -> no beacons there", interface->name, family_name, strerror(errno));
        if (fd >= 0) close(fd);
        return;
    }
    *place = (struct port){.fd = fd, .index = interface->index, .family = family, .retry_ns = UINT64_MAX, .kept = true};
    memcpy(place->name, interface->name, sizeof place->name);
    if (d->beacon_len > 0) place->retry_ns = clock_ns();
    log_info(d->log, "interface %s (%s) -> beacons there", interface->name, family_name);
}

/* One socket for each interface and family that there is now. */
static void update_ports(struct discovery *d) {
    struct interface list[INTERFACES_MAX];
    size_t count = interfaces_list(list, INTERFACES_MAX);
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++) p->kept = false;
    for (size_t i = 0; i < count; i++) {
        if (list[i].ipv4) want_port(d, &list[i], AF_INET);
        if (list[i].ipv6) want_port(d, &list[i], AF_INET6);
    }
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++)
        if (p->fd >= 0 && !p->kept) close_port(d, p);
}

int discovery_open(struct discovery **out, uint16_t port, const struct secret_keyring *keys, const struct log *log,
                   struct error *error) {
    struct discovery *d = calloc(1, sizeof *d);
    if (!d) return error_set(error, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    d->number = port;
    d->keys = *keys;
    d->log = log;
    for (unsigned i = 0; i < PORTS_MAX; i++) d->ports[i].fd = -1;
    d->watch_fd = -1;
    int rc = poller_open(&d->poller, error);
    if (rc < 0) {
        free(d);
        return rc;
    }
    d->watch_fd = interfaces_watch();
    if (d->watch_fd >= 0) poller_watch(&d->poller, d->watch_fd, true, false, TAG_INTERFACES);
    update_ports(d);
    *out = d;
    return 0;
}

void discovery_close(struct discovery *d) {
    if (!d) return;
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++)
        if (p->fd >= 0) close(p->fd);
    if (d->watch_fd >= 0) close(d->watch_fd);
    poller_close(&d->poller);
    secret_wipe(&d->keys, sizeof d->keys);
    free(d);
}

void discovery_set_keys(struct discovery *d, const struct secret_keyring *keys) { d->keys = *keys; }
int discovery_fd(const struct discovery *d) { return d->poller.fd; }
const struct discovery_counters *discovery_counters(const struct discovery *d) { return &d->counters; }

/* Which of our keys made the MAC behind these bytes; NULL: none. */
static const struct secret_keys *signer(const struct discovery *d, const uint8_t *bytes, size_t len) {
    for (unsigned i = 0; i < d->keys.count; i++) {
        uint8_t mac[MAC_BYTES];
        make_mac(&d->keys.keys[i], bytes, len, mac);
        if (gnutls_memcmp(mac, bytes + len, MAC_BYTES) == 0) return &d->keys.keys[i];
    }
    return NULL;
}

/* One datagram, if it is a beacon of somebody else in the cluster. */
static bool receive(struct discovery *d, const struct port *p, struct discovery_seen *seen) {
    uint8_t packet[DISCOVERY_BYTES_MAX + MAC_BYTES + 1]; /* one more shows what is too long */
    struct sockaddr_storage source;
    socklen_t source_len = sizeof source;
    ssize_t got = recvfrom(p->fd, packet, sizeof packet, 0, (struct sockaddr *)&source, &source_len);
    if (got < 0) return false;
    d->counters.received++;
    size_t len = (size_t)got - MAC_BYTES;
    const struct secret_keys *keys = NULL;
    if (got > MAC_BYTES && len <= DISCOVERY_BYTES_MAX) keys = signer(d, packet, len);
    if (!keys || !address_from_sockaddr(&seen->from, (struct sockaddr *)&source)) {
        d->counters.foreign++;
        return false;
    }
    if (len == d->beacon_len && memcmp(packet, d->beacon, len) == 0) return false; /* our own */
    memcpy(seen->bytes, packet, len);
    seen->len = len;
    seen->key_id = keys->id;
    seen->from.port = 0;
    return true;
}

bool discovery_read(struct discovery *d, struct discovery_seen *seen) {
    uint64_t tag;
    for (unsigned i = 0; i < TURNS && poller_next(&d->poller, &tag); i++) {
        if (tag == TAG_INTERFACES) {
            interfaces_watch_read(d->watch_fd);
            update_ports(d);
        } else if (d->ports[tag].fd >= 0 && receive(d, &d->ports[tag], seen)) {
            return true;
        }
    }
    return false;
}

static void send_on(struct discovery *d, struct port *p) {
    struct sockaddr_storage address;
    struct wire_address group = {.port = d->number};
    if (p->family == AF_INET) {
        uint32_t ipv4 = htonl(GROUP_IPV4);
        group.ip[10] = group.ip[11] = 0xff;
        memcpy(group.ip + 12, &ipv4, sizeof ipv4);
    } else {
        memcpy(group.ip, &group_ipv6, sizeof group.ip);
        group.scope_id = p->index;
    }
    socklen_t address_len = address_to_sockaddr(&group, &address);
    ssize_t sent =
        sendto(p->fd, d->beacon, d->beacon_len + MAC_BYTES, MSG_NOSIGNAL, (struct sockaddr *)&address, address_len);
    p->retry_ns = sent < 0 && p->retries++ < RETRIES_MAX ? clock_ns() + RETRY_NS : UINT64_MAX;
    if (sent >= 0) d->counters.sent++;
}

void discovery_send(struct discovery *d, const void *bytes, size_t len) {
    assert(len > 0 && len <= DISCOVERY_BYTES_MAX);
    memcpy(d->beacon, bytes, len);
    d->beacon_len = len;
    make_mac(&d->keys.keys[0], bytes, len, d->beacon + len);
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++) {
        p->retries = 0;
        if (p->fd >= 0) send_on(d, p);
    }
}

uint64_t discovery_deadline_ns(const struct discovery *d) {
    uint64_t first_ns = UINT64_MAX;
    for (const struct port *p = d->ports; p < d->ports + PORTS_MAX; p++)
        if (p->fd >= 0 && p->retry_ns < first_ns) first_ns = p->retry_ns;
    return first_ns;
}

void discovery_tick(struct discovery *d) {
    uint64_t now_ns = clock_ns();
    for (struct port *p = d->ports; p < d->ports + PORTS_MAX; p++)
        if (p->fd >= 0 && p->retry_ns <= now_ns) send_on(d, p);
}
