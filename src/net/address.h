/* Addresses of nodes: text <-> struct wire_address <-> what the socket calls want.
 *
 * IPv4 is kept as ::ffff:a.b.c.d. The scope id of a link-local address is this machine's number of the interface and
 * means nothing elsewhere. Names are not resolved here: that blocks, so the node does it with uv_getaddrinfo and brings
 * the result through address_from_sockaddr. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"
#include "wire/types.h"

enum { ADDRESS_TEXT_BYTES = 80, ADDRESS_HOST_BYTES = 256, ADDRESS_PORT_DEFAULT = 52416 };

/* False: neither IPv4 nor IPv6. */
bool address_from_sockaddr(struct wire_address *a, const struct sockaddr *from);
/* IPv4 becomes a sockaddr_in, all else a sockaddr_in6. Returns its length. */
socklen_t address_to_sockaddr(const struct wire_address *a, struct sockaddr_storage *out);
/* "10.0.0.7:52416" or "[fe80::1%eth0]:52416". */
void address_format(const struct wire_address *a, char text[ADDRESS_TEXT_BYTES]);
/* Same machine and interface, whatever the port. */
bool address_same_host(const struct wire_address *a, const struct wire_address *b);
/* Loopback, link-local, private, multicast and the like, also where NAT64 or 6to4 carry such an IPv4 address: what the
 * outside must not be able to reach through this program. IANA's registries of special-purpose addresses. */
bool address_is_private(const struct wire_address *a);

/* Take "HOST", "HOST:PORT", "IPV6" or "[IPV6]:PORT" apart, as given to --peer and behind the '@' of a join code. host
 * is ready for getaddrinfo; port is ADDRESS_PORT_DEFAULT when none is given. ERR_INVALID says why. */
int address_split(const char *text, char host[ADDRESS_HOST_BYTES], uint16_t *port, struct error *error);
