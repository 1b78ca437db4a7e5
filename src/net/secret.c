#include "net/secret.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "os/file.h"

enum {
    DIGIT_BITS = 5,
    GROUP_DIGITS = 5,
    CODE_DIGITS = 30,
    CHECK_BITS = CODE_DIGITS * DIGIT_BITS - SECRET_BYTES * 8, /* 22 */
    PACKED_BYTES = (CODE_DIGITS * DIGIT_BITS + 7) / 8,
    PATH_BYTES = 4096,
};

static const char prefix[] = "CARAVAN";
/* Douglas Crockford, "Base 32": no I, L, O, U. https://www.crockford.com/base32.html */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void secret_wipe(void *data, size_t len) { gnutls_memset(data, 0, len); }

int secret_new(struct secret *s, struct error *error) {
    int rc = gnutls_rnd(GNUTLS_RND_KEY, s->bytes, sizeof s->bytes);
    return rc < 0 ? error_set(error, ERR_IO, "cannot draw a secret: %s", gnutls_strerror(rc)) : 0;
}

/* The first CHECK_BITS of a SHA-256: it tells typing errors apart, it hides nothing. */
static uint32_t checksum(const struct secret *s) {
    uint8_t input[sizeof prefix - 1 + SECRET_BYTES], hash[32];
    memcpy(input, prefix, sizeof prefix - 1);
    memcpy(input + sizeof prefix - 1, s->bytes, SECRET_BYTES);
    int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, input, sizeof input, hash);
    assert(rc == 0);
    secret_wipe(input, sizeof input);
    return ((uint32_t)hash[0] << 16 | (uint32_t)hash[1] << 8 | hash[2]) >> (24 - CHECK_BITS);
}

/* Secret and checksum as one string of bits, most significant first, padded with zeroes to whole bytes. */
static void pack(const struct secret *s, uint8_t packed[PACKED_BYTES]) {
    uint32_t check = checksum(s) << (24 - CHECK_BITS);
    memcpy(packed, s->bytes, SECRET_BYTES);
    for (int i = 0; i < 3; i++) packed[SECRET_BYTES + i] = (uint8_t)(check >> (16 - 8 * i));
}

static unsigned digit_at(const uint8_t packed[PACKED_BYTES], unsigned index) {
    unsigned value = 0;
    for (unsigned bit = index * DIGIT_BITS; bit < (index + 1) * DIGIT_BITS; bit++)
        value = value << 1 | (packed[bit / 8] >> (7 - bit % 8) & 1u);
    return value;
}

static void set_digit(uint8_t packed[PACKED_BYTES], unsigned index, unsigned value) {
    for (unsigned i = 0; i < DIGIT_BITS; i++) {
        unsigned bit = index * DIGIT_BITS + i;
        if (value >> (DIGIT_BITS - 1 - i) & 1u) packed[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    }
}

void secret_code(const struct secret *s, const char *address, char code[SECRET_CODE_BYTES]) {
    uint8_t packed[PACKED_BYTES];
    pack(s, packed);
    char *at = stpcpy(code, prefix);
    for (unsigned i = 0; i < CODE_DIGITS; i++) {
        if (i % GROUP_DIGITS == 0) *at++ = '-';
        *at++ = digits[digit_at(packed, i)];
    }
    *at = '\0';
    secret_wipe(packed, sizeof packed);
    if (address) snprintf(at, SECRET_ADDRESS_BYTES, "@%s", address);
}

static int digit_value(char c) {
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    const char *found = c == '\0' ? NULL : strchr(digits, c);
    return found ? (int)(found - digits) : -1;
}

static int parse_digits(const char *text, size_t len, uint8_t packed[PACKED_BYTES], struct error *error) {
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '-' || text[i] == ' ') continue;
        int value = digit_value(text[i]);
        if (value < 0 && (unsigned char)text[i] >= 0x80)
            return error_set(error, ERR_INVALID, "the join code has a letter that no code has");
        if (value < 0) return error_set(error, ERR_INVALID, "the join code has a '%c', which no code has", text[i]);
        if (count == CODE_DIGITS)
            return error_set(error, ERR_INVALID, "the join code is too long: it has six groups of five");
        set_digit(packed, count++, (unsigned)value);
    }
    if (count < CODE_DIGITS)
        return error_set(error, ERR_INVALID, "the join code is too short: %u of %d characters after CARAVAN-", count,
                         CODE_DIGITS);
    return 0;
}

static int parse_address(const char *at, char address[SECRET_ADDRESS_BYTES], struct error *error) {
    address[0] = '\0';
    if (*at == '\0') return 0;
    size_t len = strcspn(++at, " \t\r\n");
    if (len == 0 || at[len + strspn(at + len, " \t\r\n")] != '\0')
        return error_set(error, ERR_INVALID, "the join code has no HOST:PORT behind the @");
    if (len >= SECRET_ADDRESS_BYTES) return error_set(error, ERR_INVALID, "the address in the join code is too long");
    memcpy(address, at, len);
    address[len] = '\0';
    return 0;
}

int secret_parse(const char *code, struct secret *s, char address[SECRET_ADDRESS_BYTES], struct error *error) {
    uint8_t packed[PACKED_BYTES] = {0}, expected[PACKED_BYTES];
    code += strspn(code, " \t\r\n");
    size_t prefix_len = sizeof prefix - 1;
    if (strncasecmp(code, prefix, prefix_len) != 0 || code[prefix_len] != '-')
        return error_set(error, ERR_INVALID, "not a join code: it starts with CARAVAN-");
    code += prefix_len;
    size_t code_len = strcspn(code, "@\t\r\n");
    int rc = parse_digits(code, code_len, packed, error);
    code += code_len;
    if (rc == 0) rc = parse_address(code + strspn(code, " \t\r\n"), address, error);
    if (rc < 0) goto out;
    memcpy(s->bytes, packed, SECRET_BYTES);
    pack(s, expected);
    if (memcmp(packed, expected, PACKED_BYTES) != 0)
        rc = error_set(error, ERR_INVALID, "the join code has a typing error: its checksum does not fit");
out:
    if (rc < 0) secret_wipe(s, sizeof *s);
    secret_wipe(packed, sizeof packed);
    secret_wipe(expected, sizeof expected);
    return rc;
}

/* The labels name the use and the version of the protocol that the key belongs to. */
static void expand(const gnutls_datum_t *root, const char *label, void *out, size_t len) {
    gnutls_datum_t info = {(unsigned char *)(uintptr_t)label, (unsigned)strlen(label)};
    int rc = gnutls_hkdf_expand(GNUTLS_MAC_SHA256, root, &info, out, len);
    assert(rc == 0);
}

void secret_derive(const struct secret *s, struct secret_keys *keys) {
    uint8_t root_bytes[32], id[8];
    gnutls_datum_t input = {(unsigned char *)(uintptr_t)s->bytes, SECRET_BYTES};
    gnutls_datum_t salt = {(unsigned char *)(uintptr_t) "caravan cluster 1", 17};
    int rc = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &input, &salt, root_bytes);
    assert(rc == 0);
    gnutls_datum_t root = {root_bytes, sizeof root_bytes};
    expand(&root, "key id", id, sizeof id);
    expand(&root, "tls psk", keys->psk, sizeof keys->psk);
    expand(&root, "beacon mac", keys->beacon, sizeof keys->beacon);
    struct bytes_reader reader = bytes_reader(id, sizeof id);
    keys->id = bytes_u64(&reader);
    secret_wipe(root_bytes, sizeof root_bytes);
}

void secret_key_name(const struct secret_keys *keys, char name[SECRET_KEY_NAME_BYTES]) {
    snprintf(name, SECRET_KEY_NAME_BYTES, "%016llx", (unsigned long long)keys->id);
}

void secret_keyring_rotate(struct secret_keyring *ring, const struct secret *fresh) {
    struct secret_keys keys;
    secret_derive(fresh, &keys);
    if (ring->count > 0 && ring->keys[0].id == keys.id) return;
    ring->keys[1] = ring->keys[0];
    ring->keys[0] = keys;
    ring->count = ring->count == 0 ? 1 : 2;
    secret_wipe(&keys, sizeof keys);
}

void secret_keyring_expire(struct secret_keyring *ring) {
    secret_wipe(&ring->keys[1], sizeof ring->keys[1]);
    if (ring->count > 1) ring->count = 1;
}

static int secret_path(const char *home, char path[PATH_BYTES], struct error *error) {
    int len = snprintf(path, PATH_BYTES, "%s/secret", home);
    return len < 0 || len >= PATH_BYTES ? error_set(error, ERR_INVALID, "the path of the home is too long") : 0;
}

int secret_load(const char *home, struct secret *s, struct error *error) {
    char path[PATH_BYTES], code[SECRET_CODE_BYTES] = "", address[SECRET_ADDRESS_BYTES];
    struct file f;
    struct stat status;
    int rc = secret_path(home, path, error);
    if (rc < 0 || (rc = file_open(&f, path, error)) < 0) return rc;
    if (fstat(f.fd, &status) < 0 || (status.st_mode & 077) != 0)
        rc = error_set(error, ERR_DENIED, "%s: others may read it; chmod 600 it if nobody did", path);
    else if (f.bytes >= sizeof code)
        rc = error_set(error, ERR_INVALID, "%s: not a secret", path);
    else
        rc = file_read_at(&f, 0, code, f.bytes, error);
    file_close(&f);
    if (rc == 0 && secret_parse(code, s, address, error) < 0) rc = error_prefix(error, "%s: ", path);
    secret_wipe(code, sizeof code);
    return rc;
}

int secret_save(const char *home, const struct secret *s, struct error *error) {
    char path[PATH_BYTES], code[SECRET_CODE_BYTES];
    int rc = secret_path(home, path, error);
    if (rc < 0) return rc;
    secret_code(s, NULL, code);
    size_t len = strlen(code);
    code[len++] = '\n';
    rc = file_replace(path, code, len, error);
    secret_wipe(code, sizeof code);
    return rc;
}
