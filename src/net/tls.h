/* TLS 1.3 between two buffers: ciphertext in, ciphertext out; the socket is somebody else's (net/link.h).
 *
 * Only ECDHE-PSK with SHA-256 suites; see link.h for what that refuses. One thread at a time. */
#pragma once
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/secret.h"

enum { TLS_RECORD_BYTES = 16384, TLS_IN_BYTES = 128 * 1024 };

struct tls {
    gnutls_session_t session;
    gnutls_psk_client_credentials_t client;
    gnutls_psk_server_credentials_t server;
    struct secret_keyring keys;
    uint64_t key_id; /* of the key that the peer showed; 0: none yet */
    uint8_t *in;     /* TLS_IN_BYTES of ciphertext from the peer */
    size_t in_begin, in_end;
    bool in_ended; /* nothing will come after in_end */
    uint8_t *out;  /* ciphertext for the peer */
    size_t out_begin, out_end, out_capacity;
};

/* On caller's storage that does not move. ERR_NOMEM / ERR_UNSUPPORTED. */
int tls_init(struct tls *t, bool client, const struct secret_keyring *keys, struct error *error);
/* A zeroed struct is fine. Wipes the keys. */
void tls_deinit(struct tls *t);

/* 0 when the handshake is done, ERR_AGAIN when it needs more from the peer, or why it failed: an alert for the peer is
 * then in `out`. */
int tls_handshake(struct tls *t, struct error *error);
/* One record of at most TLS_RECORD_BYTES into `out`. */
int tls_encrypt(struct tls *t, const void *data, size_t len, struct error *error);
/* Up to `len` decrypted bytes; *got 0 and ERR_AGAIN when `in` has no whole record left; ERR_CLOSED at the peer's end.
 */
int tls_decrypt(struct tls *t, void *data, size_t len, size_t *got, struct error *error);

/* Room at the end of `in` (at least one byte unless a record longer than the buffer came, which is an error earlier).
 */
uint8_t *tls_in_room(struct tls *t, size_t *len);
/* `len` bytes of `out` have been written; gives memory back after a large frame. */
void tls_out_taken(struct tls *t, size_t len);
