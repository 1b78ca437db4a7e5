/* The door: listens on the cluster's port and lets in only who has the secret.
 *
 * Connections that have not finished their handshake stay inside, at most LISTENER_HALF_OPEN_MAX of them and
 * LISTENER_PER_SOURCE_MAX from one address (more are closed at once), each for LINK_HANDSHAKE_MS at most. What comes
 * out is an open link. One thread. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "net/link.h"
#include "wire/types.h"

enum { LISTENER_HALF_OPEN_MAX = 64, LISTENER_PER_SOURCE_MAX = 16 };

struct listener;

struct listener_counters {
    uint64_t accepted, opened, refused; /* refused: by a limit or in the handshake */
};

/* Listen on `port` of every address, IPv6 and IPv4; on any free port when it is 0 or taken. Keys are copied, links get
 * frame_bytes_max. ERR_IO / ERR_NOMEM / ERR_LIMIT. */
int listener_open(struct listener **out, uint16_t port, const struct secret_keyring *keys, size_t frame_bytes_max,
                  struct error *error);
/* Half-open connections are closed; links that were handed out live on. NULL is fine. */
void listener_close(struct listener *listener);
/* For connections that come from now on. */
void listener_set_keys(struct listener *listener, const struct secret_keyring *keys);

uint16_t listener_port(const struct listener *listener);
/* One descriptor for all: readable when listener_next has work. */
int listener_fd(const struct listener *listener);
/* Monotonic time at which listener_next must be called even if nothing happens. UINT64_MAX: none. */
uint64_t listener_deadline_ns(const struct listener *listener);
/* The next open link and where it came from, or NULL; call until NULL. The link is the caller's; it may already hold a
 * frame, so ask link_next_frame before polling it. */
struct link *listener_next(struct listener *listener, struct wire_address *from);
const struct listener_counters *listener_counters(const struct listener *listener);
