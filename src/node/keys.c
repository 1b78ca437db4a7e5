#include "node/keys.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/text.h"
#include "os/file.h"

enum { RANDOM_BYTES = 24, LINE_BYTES = 256, PATH_BYTES = 4096 };

static const char prefix[] = "caravan-";

static int key_file(char out[PATH_BYTES], const char *home, struct error *error) {
    int n = snprintf(out, PATH_BYTES, "%s/keys", home);
    if (n < 0 || n >= PATH_BYTES) return error_set(error, ERR_LIMIT, "the path of Caravan's home is too long");
    return 0;
}

static bool name_is_valid(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";
    size_t len = strlen(name);
    return len > 0 && len < KEYS_NAME_BYTES && strspn(name, allowed) == len;
}

/* "HASH NAME" */
static bool parse_line(char *line, struct keys_entry *out) {
    line[strcspn(line, "\n")] = '\0';
    if (!hex_read(line, out->hash, KEYS_HASH_BYTES) || line[2 * KEYS_HASH_BYTES] != ' ') return false;
    const char *name = line + 2 * KEYS_HASH_BYTES + 1;
    if (!name_is_valid(name)) return false;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

int keys_load(struct keys *k, const char *home, struct error *error) {
    char path[PATH_BYTES], line[LINE_BYTES];
    k->count = 0;
    int code = key_file(path, home, error);
    if (code != 0) return code;
    FILE *file = fopen(path, "re");
    if (file == NULL) return errno == ENOENT ? 0 : error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    for (int number = 1; code == 0 && fgets(line, sizeof line, file) != NULL; number++) {
        if (k->count == KEYS_MAX)
            code = error_set(error, ERR_LIMIT, "%s holds more than %d keys", path, KEYS_MAX);
        else if (parse_line(line, &k->entries[k->count]))
            k->count++;
        else
            code = error_set(error, ERR_INVALID, "%s: line %d is not a key", path, number);
    }
    if (code == 0 && ferror(file)) code = error_set(error, ERR_IO, "%s: cannot be read", path);
    fclose(file);
    if (code != 0) k->count = 0;
    return code;
}

int keys_save(const struct keys *k, const char *home, struct error *error) {
    char path[PATH_BYTES], hash[2 * KEYS_HASH_BYTES + 1];
    struct text content = {0};
    int code = key_file(path, home, error);
    if (code != 0) return code;
    for (size_t i = 0; i < k->count; i++) {
        hex_write(k->entries[i].hash, KEYS_HASH_BYTES, hash);
        text_printf(&content, "%s %s\n", hash, k->entries[i].name);
    }
    code = content.failed ? error_set(error, ERR_NOMEM, "out of memory")
                          : file_replace(path, text_str(&content), content.len, error);
    text_deinit(&content);
    return code;
}

static void hash_of(const char *text, size_t len, uint8_t out[KEYS_HASH_BYTES]) {
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, len, out) != 0) abort(); /* SHA-256 is always there */
}

static const struct keys_entry *find(const struct keys *k, const char *name) {
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->entries[i].name, name) == 0) return &k->entries[i];
    return NULL;
}

static void free_name(const struct keys *k, char out[KEYS_NAME_BYTES]) {
    unsigned number = 1;
    do snprintf(out, KEYS_NAME_BYTES, "key-%u", number++);
    while (find(k, out) != NULL);
}

int keys_add(struct keys *k, const char *name, char text[KEYS_TEXT_BYTES], struct error *error) {
    struct keys_entry *entry = &k->entries[k->count];
    uint8_t secret[RANDOM_BYTES];
    if (k->count == KEYS_MAX) return error_set(error, ERR_LIMIT, "there are %d keys already; remove one", KEYS_MAX);
    if (name != NULL && !name_is_valid(name))
        return error_set(error, ERR_INVALID, "a key's name is 1 to 63 letters, digits, '-', '_', '.' or '@'");
    if (name != NULL && find(k, name) != NULL)
        return error_set(error, ERR_EXISTS, "there is a key \"%s\" already", name);
    if (name != NULL)
        snprintf(entry->name, sizeof entry->name, "%s", name);
    else
        free_name(k, entry->name);
    if (gnutls_rnd(GNUTLS_RND_KEY, secret, sizeof secret) != 0)
        return error_set(error, ERR_IO, "the system gives no random numbers");
    memcpy(text, prefix, sizeof prefix);
    hex_write(secret, sizeof secret, text + sizeof prefix - 1);
    gnutls_memset(secret, 0, sizeof secret);
    hash_of(text, strlen(text), entry->hash);
    k->count++;
    return 0;
}

int keys_remove(struct keys *k, const char *name, struct error *error) {
    const struct keys_entry *found = find(k, name);
    if (found == NULL) return error_set(error, ERR_NOT_FOUND, "there is no key \"%s\"", name);
    size_t at = (size_t)(found - k->entries);
    memmove(&k->entries[at], &k->entries[at + 1], (k->count - at - 1) * sizeof *found);
    k->count--;
    return 0;
}

bool keys_check(const struct keys *k, const char *text, size_t len) {
    uint8_t hash[KEYS_HASH_BYTES];
    bool known = false;
    hash_of(text, len, hash);
    for (size_t i = 0; i < k->count; i++)
        if (gnutls_memcmp(hash, k->entries[i].hash, sizeof hash) == 0) known = true;
    return known;
}
