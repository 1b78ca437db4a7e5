/* The secret of a cluster: 128 random bits, the join code that carries them to another machine, the keys made of them.
 *
 * Whoever has the secret is a member; there is nothing else to check. The code is CARAVAN- and six groups of five
 * Crockford base32 digits (128 bits of secret, 22 bits of checksum), optionally followed by @HOST:PORT of a member.
 * Small and capital letters are the same, O is read as 0, I and L as 1; hyphens and blanks between digits do not
 * matter. A secret never reaches a log or an error text. Pure but for secret_new, secret_load and secret_save; any
 * thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    SECRET_BYTES = 16,
    SECRET_ADDRESS_BYTES = 280,                    /* HOST:PORT and NUL */
    SECRET_CODE_BYTES = 48 + SECRET_ADDRESS_BYTES, /* a whole code and NUL */
    SECRET_KEYS_MAX = 2,
    SECRET_KEY_NAME_BYTES = 17,
};

struct secret {
    uint8_t bytes[SECRET_BYTES];
};

/* What links and beacons need of a secret: by HKDF-SHA256 (RFC 5869), so none of them tells anything of another. */
struct secret_keys {
    uint64_t id;        /* public name of the key, in hellos and beacons */
    uint8_t psk[32];    /* TLS pre-shared key */
    uint8_t beacon[32]; /* HMAC key of beacons */
};

/* Keys in force: [0] is the one to speak with, the other one, after `caravan code --new`, is still understood. */
struct secret_keyring {
    struct secret_keys keys[SECRET_KEYS_MAX];
    unsigned count;
};

/* Draw a fresh secret. ERR_IO when the system has no randomness. */
int secret_new(struct secret *s, struct error *error);

/* The join code, with "@address" when address is not NULL. `code` has SECRET_CODE_BYTES. */
void secret_code(const struct secret *s, const char *address, char code[SECRET_CODE_BYTES]);
/* Read a join code. address becomes what stands behind '@' ("" when nothing). ERR_INVALID says what is wrong: not a
 * join code at all, a digit that cannot be, too short or too long, or a typing error (the checksum). */
int secret_parse(const char *code, struct secret *s, char address[SECRET_ADDRESS_BYTES], struct error *error);

void secret_derive(const struct secret *s, struct secret_keys *keys);
/* The key's public id in 16 hex digits: the PSK identity. */
void secret_key_name(const struct secret_keys *keys, char name[SECRET_KEY_NAME_BYTES]);
/* `fresh` speaks from now on, what spoke before is still understood (once); the same key again changes nothing. */
void secret_keyring_rotate(struct secret_keyring *ring, const struct secret *fresh);
/* Only keys[0] is left: the old key's time is over. */
void secret_keyring_expire(struct secret_keyring *ring);

/* The secret kept in folder `home` (file "secret", one line with the join code). ERR_NOT_FOUND: none there yet;
 * ERR_DENIED: others may read it or we may not; ERR_INVALID: not a secret. */
int secret_load(const char *home, struct secret *s, struct error *error);
/* Keep it there, mode 0600, by a rename, so that a crash leaves the old or the new one. ERR_IO / ERR_DENIED. */
int secret_save(const char *home, const struct secret *s, struct error *error);

/* Overwrite memory that held a secret. */
void secret_wipe(void *data, size_t len);
