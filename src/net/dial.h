/* Dialling: a connection to another node's cluster port, not yet connected when it returns.
 *
 * The link over it connects and shakes hands within LINK_HANDSHAKE_MS. Never blocks. Any thread. */
#pragma once
#include "base/error.h"
#include "net/link.h"
#include "wire/types.h"

/* A link to `to` (port and, for link-local, scope id included) that is still connecting: pump it. The caller's. ERR_IO
 * when the kernel refuses at once, else ERR_LIMIT / ERR_NOMEM. */
int dial(struct link **out, const struct wire_address *to, const struct secret_keyring *keys, size_t frame_bytes_max,
         struct error *error);
