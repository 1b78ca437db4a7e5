/* A link: frames over TLS 1.3 over a TCP connection between two members of a cluster.
 *
 * Only (EC)DHE-PSK with a key of the keyring, AES-128-GCM or ChaCha20-Poly1305, SHA-256; no tickets, no early data, no
 * certificates. A peer that has no such key, speaks anything else, is silent or slow, never gets past the handshake:
 * the link closes and nothing was handed on. TLS works on buffers of the link and never sees the socket, so any poller
 * can drive it: call link_pump when the descriptor is ready, and when link_deadline_ns has come.
 *
 * A frame is LINK_HEADER_BYTES, the first four being the little-endian length of the payload behind the header, and the
 * payload; what it says is wire/'s affair. All calls of one link come from one thread at a time; it may be handed to
 * another thread between calls. Memory grows with the frames under way (bounded by frame_bytes_max) and shrinks again.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "net/secret.h"

enum { LINK_HEADER_BYTES = 8, LINK_PARTS_MAX = 8, LINK_HANDSHAKE_MS = 5000 };

struct link;

enum link_role { LINK_CLIENT, LINK_SERVER }; /* who dialled, who accepted */
enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_CLOSED };

struct link_counters {
    uint64_t frames_sent, frames_received;
    uint64_t bytes_sent, bytes_received; /* of frames, before encryption */
};

/* A link over the connected or connecting non-blocking TCP socket `fd`, which is taken on success and stays the
 * caller's on failure. The keys are copied: a client speaks with keys[0], a server understands all. frame_bytes_max
 * counts header and payload, in both directions. ERR_NOMEM. Call link_pump once, then whenever ready. */
int link_new(struct link **out, int fd, enum link_role role, const struct secret_keyring *keys, size_t frame_bytes_max,
             struct error *error);
/* Closes the socket; what is queued is lost. NULL is fine. */
void link_free(struct link *l);

int link_fd(const struct link *l);
/* What to watch the descriptor for. Reading pauses only while two frames of the greatest size are waiting to be taken;
 * link_next_frame until NULL ends that. */
bool link_wants_read(const struct link *l);
bool link_wants_write(const struct link *l);
/* Monotonic time at which link_pump must be called even if nothing happens: the end of the handshake's time.
 * UINT64_MAX: none. */
uint64_t link_deadline_ns(const struct link *l);

/* Do what can be done without waiting: connect, shake hands, write what is queued, read what has come. Returns the
 * state afterwards; once LINK_CLOSED (see link_error) it stays so, but whole frames received before can still be taken.
 * Each call reads a bounded amount, so one peer cannot hold the caller. */
enum link_state link_pump(struct link *l);
enum link_state link_state(const struct link *l);
/* Why it is closed: ERR_DENIED no common secret, ERR_TIMEOUT, ERR_CLOSED by the peer, ERR_INVALID nonsense, ERR_IO,
 * ERR_LIMIT frame too long, ERR_NOMEM. code 0 while it is not closed. The link's own. */
const struct error *link_error(const struct link *l);
/* Which key the peer showed (secret_keys.id); 0 before LINK_OPEN. */
uint64_t link_key_id(const struct link *l);

/* Encrypt and queue one frame, given in parts that are the caller's again on return (the first starts with the header),
 * and write what the socket takes. ERR_AGAIN: not open yet, or frame_bytes_max are already waiting: nothing was
 * taken, pump until link_can_send. ERR_CLOSED. A frame that breaks the rules above is a bug. */
int link_send(struct link *l, const struct iovec *parts, unsigned part_count);
bool link_can_send(const struct link *l);
/* Bytes waiting for the socket. */
size_t link_queued_bytes(const struct link *l);

/* The oldest whole frame, header included, or NULL. A view that lives until link_frame_done; pumping in between is fine
 * and does not move it. Ask until NULL before polling again. */
const uint8_t *link_next_frame(struct link *l, size_t *len);
/* The frame that link_next_frame gave is used up. */
void link_frame_done(struct link *l);

const struct link_counters *link_counters(const struct link *l);
