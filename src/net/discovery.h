/* Discovery: beacons over UDP multicast, so that members on one network find each other.
 *
 * One socket per usable interface and family (IPv4 group 239.255.82.67, IPv6 group ff02::4361:7261), interfaces re-read
 * when the system says that they changed. A beacon is at most DISCOVERY_BYTES_MAX bytes of wire/'s and a MAC
 * (HMAC-SHA256 cut to 16 bytes) by the cluster's key; what carries no valid MAC is dropped unseen, as are the node's
 * own. Anyone may replay a beacon: all that it says is where to try the secret. It never carries addresses: the peer's
 * address is the source of the packet. Several nodes of one host share the port. One thread: the one that opened it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "net/secret.h"
#include "wire/types.h"

enum { DISCOVERY_PORT = 52416, DISCOVERY_BYTES_MAX = 512 };

struct discovery;

/* A beacon that someone with the secret made. */
struct discovery_seen {
    uint8_t bytes[DISCOVERY_BYTES_MAX]; /* without the MAC */
    size_t len;
    uint64_t key_id;          /* of the keyring's key that made the MAC */
    struct wire_address from; /* source, scope id included; port 0: the beacon says it */
};

struct discovery_counters {
    uint64_t sent, received, foreign; /* foreign: dropped, no valid MAC */
};

/* Join the groups on `port` (UDP; DISCOVERY_PORT unless a test wants its own). Keys are copied. A network without any
 * usable interface is no error: they may come later. ERR_NOMEM, ERR_LIMIT (descriptors). The log is kept by the caller
 * and may be NULL. */
int discovery_open(struct discovery **out, uint16_t port, const struct secret_keyring *keys, const struct log *log,
                   struct error *error);
/* NULL is fine. */
void discovery_close(struct discovery *d);
void discovery_set_keys(struct discovery *d, const struct secret_keyring *keys);

/* One descriptor for all sockets: readable when discovery_read has work. Stays the same while it is open. */
int discovery_fd(const struct discovery *d);
/* The next beacon; call until false, then poll again. Also where changes of interfaces are noticed. */
bool discovery_read(struct discovery *d, struct discovery_seen *seen);

/* Send a beacon (without MAC, `len` <= DISCOVERY_BYTES_MAX) out of every interface, signed with keys[0]. It is
 * remembered and sent by itself on interfaces that come up later. */
void discovery_send(struct discovery *d, const void *bytes, size_t len);
/* Monotonic time at which discovery_tick must be called, because a send failed (a link-local address is not usable in
 * the first second of its interface) or an interface is new. UINT64_MAX: never. */
uint64_t discovery_deadline_ns(const struct discovery *d);
void discovery_tick(struct discovery *d);
const struct discovery_counters *discovery_counters(const struct discovery *d);
