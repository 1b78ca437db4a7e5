#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/facts.h"

enum { OUT_BYTES_MIN = 32 * 1024, OUT_KEEP_BYTES = 1 << 20 };

/* AES where the CPU has it, else the cipher that is fast without: the client's order decides. No certificate is ever
 * asked for; GnuTLS only wants to hear of some kind of signature. */
#define PRIORITIES(ciphers) "NONE:+VERS-TLS1.3:" ciphers ":+AEAD:+ECDHE-PSK:+GROUP-X25519:+GROUP-SECP256R1:+SIGN-ALL"
static const char aes_first[] = PRIORITIES("+AES-128-GCM:+CHACHA20-POLY1305");
static const char chacha_first[] = PRIORITIES("+CHACHA20-POLY1305:+AES-128-GCM");

static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t len) {
    struct tls *t = context;
    size_t left = t->in_end - t->in_begin;
    if (left == 0 && t->in_ended) return 0;
    if (left == 0) {
        gnutls_transport_set_errno(t->session, EAGAIN);
        return -1;
    }
    if (len > left) len = left;
    memcpy(data, t->in + t->in_begin, len);
    t->in_begin += len;
    if (t->in_begin == t->in_end) t->in_begin = t->in_end = 0;
    return (ssize_t)len;
}

/* Everything is there at once or not at all, so waiting inside GnuTLS never helps. */
static int pull_timeout(gnutls_transport_ptr_t context, unsigned timeout_ms) {
    struct tls *t = context;
    return t->in_begin < t->in_end || t->in_ended;
}

static bool reserve_out(struct tls *t, size_t len) {
    if (t->out_capacity - t->out_end >= len) return true;
    if (t->out_begin > 0) {
        memmove(t->out, t->out + t->out_begin, t->out_end - t->out_begin);
        t->out_end -= t->out_begin;
        t->out_begin = 0;
    }
    size_t capacity = t->out_capacity ? t->out_capacity : OUT_BYTES_MIN;
    while (capacity - t->out_end < len) capacity *= 2;
    if (capacity == t->out_capacity) return true;
    uint8_t *grown = realloc(t->out, capacity);
    if (!grown) return false;
    t->out = grown;
    t->out_capacity = capacity;
    return true;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t len) {
    struct tls *t = context;
    if (!reserve_out(t, len)) {
        gnutls_transport_set_errno(t->session, ENOMEM);
        return -1;
    }
    memcpy(t->out + t->out_end, data, len);
    t->out_end += len;
    return (ssize_t)len;
}

/* The server's side: the key that the client named, if it is one of ours. */
static int find_key(gnutls_session_t session, const char *name, gnutls_datum_t *key) {
    struct tls *t = gnutls_session_get_ptr(session);
    for (unsigned i = 0; i < t->keys.count; i++) {
        char own[SECRET_KEY_NAME_BYTES];
        secret_key_name(&t->keys.keys[i], own);
        if (strcmp(own, name) != 0) continue;
        key->size = sizeof t->keys.keys[i].psk;
        key->data = gnutls_malloc(key->size);
        if (!key->data) return -1;
        memcpy(key->data, t->keys.keys[i].psk, key->size);
        t->key_id = t->keys.keys[i].id;
        return 0;
    }
    return -1;
}

static int set_credentials(struct tls *t, bool client) {
    const struct secret_keys *own = &t->keys.keys[0];
    if (!client) {
        int rc = gnutls_psk_allocate_server_credentials(&t->server);
        if (rc < 0) return rc;
        gnutls_psk_set_server_credentials_function(t->server, find_key);
        return gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->server);
    }
    char name[SECRET_KEY_NAME_BYTES];
    secret_key_name(own, name);
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)own->psk, sizeof own->psk};
    int rc = gnutls_psk_allocate_client_credentials(&t->client);
    if (rc == 0) rc = gnutls_psk_set_client_credentials(t->client, name, &key, GNUTLS_PSK_KEY_RAW);
    return rc < 0 ? rc : gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, t->client);
}

int tls_init(struct tls *t, bool client, const struct secret_keyring *keys, struct error *error) {
    assert(keys->count > 0);
    *t = (struct tls){.keys = *keys, .in = malloc(TLS_IN_BYTES)};
    if (!t->in) return error_set(error, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS | GNUTLS_NO_AUTO_SEND_TICKET;
    int rc = gnutls_init(&t->session, flags | (client ? GNUTLS_CLIENT : GNUTLS_SERVER));
    const char *priorities = facts_cpu_has("", "aes") ? aes_first : chacha_first;
    if (rc == 0) rc = gnutls_priority_set_direct(t->session, priorities, NULL);
    if (rc == 0) rc = set_credentials(t, client);
    if (rc < 0) {
        tls_deinit(t);
        return error_set(error, rc == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_UNSUPPORTED, "TLS: %s",
                         gnutls_strerror(rc));
    }
    if (client) t->key_id = keys->keys[0].id;
    gnutls_session_set_ptr(t->session, t);
    gnutls_transport_set_ptr(t->session, t);
    gnutls_transport_set_pull_function(t->session, pull);
    gnutls_transport_set_pull_timeout_function(t->session, pull_timeout);
    gnutls_transport_set_push_function(t->session, push);
    gnutls_handshake_set_timeout(t->session, GNUTLS_INDEFINITE_TIMEOUT); /* the link keeps the time */
    return 0;
}

void tls_deinit(struct tls *t) {
    if (t->session) gnutls_deinit(t->session);
    if (t->client) gnutls_psk_free_client_credentials(t->client);
    if (t->server) gnutls_psk_free_server_credentials(t->server);
    free(t->in);
    free(t->out);
    secret_wipe(t, sizeof *t);
}

static int fail(int rc, struct error *error) {
    switch (rc) {
    case GNUTLS_E_MEMORY_ERROR: return error_set(error, ERR_NOMEM, "TLS: %s", gnutls_strerror(rc));
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_INVALID_SESSION: return error_set(error, ERR_CLOSED, "the peer closed the connection");
    default: return error_set(error, ERR_INVALID, "TLS: %s", gnutls_strerror(rc));
    }
}

static bool means_no_common_secret(int rc) {
    return rc == GNUTLS_E_FATAL_ALERT_RECEIVED || rc == GNUTLS_E_INSUFFICIENT_CREDENTIALS ||
           rc == GNUTLS_E_SRP_PWD_ERROR || rc == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER ||
           rc == GNUTLS_E_NO_CIPHER_SUITES || rc == GNUTLS_E_DECRYPTION_FAILED;
}

int tls_handshake(struct tls *t, struct error *error) {
    int rc;
    do rc = gnutls_handshake(t->session);
    while (rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (rc == GNUTLS_E_AGAIN) return ERR_AGAIN;
    if (rc == 0 && gnutls_kx_get(t->session) != GNUTLS_KX_ECDHE_PSK) rc = GNUTLS_E_INSUFFICIENT_CREDENTIALS;
    if (rc == 0) return 0;
    gnutls_alert_send_appropriate(t->session, rc);
    if (means_no_common_secret(rc))
        return error_set(error, ERR_DENIED, "no common secret with the peer (%s)", gnutls_strerror(rc));
    return fail(rc, error);
}

int tls_encrypt(struct tls *t, const void *data, size_t len, struct error *error) {
    assert(len > 0 && len <= TLS_RECORD_BYTES);
    ssize_t sent = gnutls_record_send(t->session, data, len);
    return sent == (ssize_t)len ? 0 : fail((int)sent, error);
}

int tls_decrypt(struct tls *t, void *data, size_t len, size_t *got, struct error *error) {
    *got = 0;
    for (;;) {
        size_t before = t->in_begin;
        ssize_t rc = gnutls_record_recv(t->session, data, len);
        if (rc > 0) {
            *got = (size_t)rc;
            return 0;
        }
        if (rc == 0) return error_set(error, ERR_CLOSED, "the peer closed the connection");
        if (rc == GNUTLS_E_INTERRUPTED) continue;
        if (rc != GNUTLS_E_AGAIN) return fail((int)rc, error);
        /* Again may also mean that a record of TLS's own was used up and more stand behind it. */
        if (t->in_begin == t->in_end || t->in_begin == before) return ERR_AGAIN;
    }
}

uint8_t *tls_in_room(struct tls *t, size_t *len) {
    if (t->in_begin > 0) {
        memmove(t->in, t->in + t->in_begin, t->in_end - t->in_begin);
        t->in_end -= t->in_begin;
        t->in_begin = 0;
    }
    *len = TLS_IN_BYTES - t->in_end;
    return t->in + t->in_end;
}

void tls_out_taken(struct tls *t, size_t len) {
    t->out_begin += len;
    if (t->out_begin < t->out_end) return;
    t->out_begin = t->out_end = 0;
    if (t->out_capacity <= OUT_KEEP_BYTES) return;
    free(t->out);
    t->out = NULL;
    t->out_capacity = 0;
}
