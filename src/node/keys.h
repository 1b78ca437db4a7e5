/* API keys: who may use this node beyond loopback.
 *
 * Only names and SHA-256 hashes are kept, in one file of the node's home that is replaced as a whole (mode 0600). A key
 * holds 192 random bits, so a plain hash is enough: there is nothing to guess. One thread per struct. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { KEYS_MAX = 256, KEYS_NAME_BYTES = 64, KEYS_HASH_BYTES = 32, KEYS_TEXT_BYTES = 64 };

struct keys_entry {
    char name[KEYS_NAME_BYTES];
    uint8_t hash[KEYS_HASH_BYTES];
};

struct keys {
    struct keys_entry entries[KEYS_MAX];
    size_t count;
};

/* Read HOME/keys; a missing file is no keys. ERR_INVALID names the line that cannot be read, ERR_IO the reason. */
int keys_load(struct keys *k, const char *home, struct error *error);
/* Replace HOME/keys, all or nothing. */
int keys_save(const struct keys *k, const char *home, struct error *error);

/* Draw a key, add its hash and write the key itself into `text`: the only time that it is seen. name NULL: "key-N".
 * ERR_EXISTS, ERR_LIMIT, or ERR_INVALID for a name that is not 1 to 63 letters, digits, '-', '_', '.' or '@'. */
int keys_add(struct keys *k, const char *name, char text[KEYS_TEXT_BYTES], struct error *error);
/* ERR_NOT_FOUND. */
int keys_remove(struct keys *k, const char *name, struct error *error);

/* Is `text` one of the keys? Takes the same time whatever the answer is. */
bool keys_check(const struct keys *k, const char *text, size_t len);
