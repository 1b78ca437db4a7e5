/* The certificate of an HTTPS server: two PEM files, checked before anybody connects. One thread. */
#pragma once
#include "base/error.h"

struct certificate {
    char *chain, *key; /* PEM texts; NULL: none */
};

/* Read both and see that they belong together. ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID say which file and why; nothing
 * needs freeing then. */
int certificate_load(struct certificate *c, const char *chain_path, const char *key_path, struct error *error);
void certificate_free(struct certificate *c);
