#include "net/http/certificate.h"

#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"

enum { PEM_BYTES_MAX = 1 << 20 };

static int read_text(const char *path, char **out, struct error *error) {
    struct file f;
    int rc = file_open(&f, path, error);
    if (rc) return rc;
    if (f.bytes > PEM_BYTES_MAX) rc = error_set(error, ERR_LIMIT, "%s is too big for a certificate or a key", path);
    *out = rc ? NULL : calloc(1, f.bytes + 1);
    if (rc == 0 && *out == NULL) rc = error_set(error, ERR_NOMEM, "no memory for %s", path);
    if (rc == 0) rc = file_read_at(&f, 0, *out, f.bytes, error);
    file_close(&f);
    return rc;
}

static gnutls_datum_t datum(const char *text) {
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

static int check(const struct certificate *c, const char *chain_path, const char *key_path, struct error *error) {
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t chain = datum(c->chain), key = datum(c->key);
    if (gnutls_certificate_allocate_credentials(&credentials) != 0)
        return error_set(error, ERR_NOMEM, "no memory for a certificate");
    int rc = gnutls_certificate_set_x509_key_mem(credentials, &chain, &key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    if (rc >= 0) return 0;
    return error_set(error, ERR_INVALID, "%s and %s are no certificate and its key: %s", chain_path, key_path,
                     gnutls_strerror(rc));
}

int certificate_load(struct certificate *c, const char *chain_path, const char *key_path, struct error *error) {
    *c = (struct certificate){0};
    int rc = read_text(chain_path, &c->chain, error);
    if (rc == 0) rc = read_text(key_path, &c->key, error);
    if (rc == 0) rc = check(c, chain_path, key_path, error);
    if (rc) certificate_free(c);
    return rc;
}

void certificate_free(struct certificate *c) {
    if (c->key) gnutls_memset(c->key, 0, strlen(c->key));
    free(c->chain);
    free(c->key);
    *c = (struct certificate){0};
}
