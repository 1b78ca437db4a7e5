#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/secret.h"

static char address[SECRET_ADDRESS_BYTES];

static void assert_parses(const char *code, const struct secret *expected, const char *expected_address) {
    struct secret s;
    struct error error = {0};
    int rc = secret_parse(code, &s, address, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(rc, 0);
    assert_memory_equal(&s, expected, sizeof s);
    assert_string_equal(address, expected_address);
}

static void assert_refused(const char *code, const char *reason) {
    struct secret s;
    struct error error = {0};
    assert_int_equal(secret_parse(code, &s, address, &error), ERR_INVALID);
    if (!strstr(error.text, reason)) fail_msg("\"%s\" lacks \"%s\"", error.text, reason);
}

static void codes_come_back(void **state) {
    for (int i = 0; i < 100; i++) {
        struct secret s;
        char code[SECRET_CODE_BYTES];
        assert_int_equal(secret_new(&s, NULL), 0);
        secret_code(&s, NULL, code);
        assert_int_equal(strlen(code), strlen("CARAVAN") + 6 * 6);
        assert_parses(code, &s, "");
        secret_code(&s, "[fe80::1%eth0]:52416", code);
        assert_parses(code, &s, "[fe80::1%eth0]:52416");
    }
}

static void code_is_stable(void **state) {
    struct secret s;
    char code[SECRET_CODE_BYTES];
    for (unsigned i = 0; i < SECRET_BYTES; i++) s.bytes[i] = (uint8_t)(i * 17);
    secret_code(&s, NULL, code);
    assert_string_equal(code, "CARAVAN-008J4-CT4AN-K7F24-SNAXW-SQFEZ-XPQCK");
}

static void people_write_codes_as_they_like(void **state) {
    struct secret zero = {{0}};
    char code[SECRET_CODE_BYTES], other[SECRET_CODE_BYTES];
    secret_code(&zero, NULL, code);
    for (size_t i = 0; code[i]; i++) other[i] = code[i] == '0' ? 'o' : code[i] == '1' ? 'l' : code[i];
    other[strlen(code)] = '\0';
    memcpy(other, "caravan", 7);
    assert_parses(other, &zero, "");
    snprintf(other, sizeof other, "  %s \n", code);
    assert_parses(other, &zero, "");
    snprintf(other, sizeof other, "%s@host.example:52416\n", code);
    assert_parses(other, &zero, "host.example:52416");
}

/* Each digit replaced by each other one, and each pair of neighbours exchanged. */
static void typing_errors_are_caught(void **state) {
    struct secret s = {{0}};
    char code[SECRET_CODE_BYTES];
    unsigned accepted = 0;
    for (unsigned i = 0; i < SECRET_BYTES; i++) s.bytes[i] = (uint8_t)(i * 29 + 7);
    secret_code(&s, NULL, code);
    for (size_t i = 8; code[i]; i++) {
        char kept = code[i];
        if (kept == '-') continue;
        for (const char *c = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; *c; c++) {
            code[i] = *c;
            struct secret read;
            if (*c != kept) accepted += secret_parse(code, &read, address, NULL) == 0;
        }
        code[i] = kept;
        if (code[i + 1] == '-' || code[i + 1] == '\0' || code[i + 1] == kept) continue;
        code[i] = code[i + 1];
        code[i + 1] = kept;
        assert_refused(code, "typing error");
        code[i + 1] = code[i];
        code[i] = kept;
    }
    assert_int_equal(accepted, 0);
}

static void nonsense_is_refused(void **state) {
    char long_address[SECRET_CODE_BYTES + 500];
    struct secret s = {{0}};
    char code[SECRET_CODE_BYTES];
    secret_code(&s, NULL, code);
    snprintf(long_address, sizeof long_address, "%s@%0400d", code, 1);
    assert_refused("", "starts with CARAVAN-");
    assert_refused("CARAVAN", "starts with CARAVAN-");
    assert_refused("hello", "starts with CARAVAN-");
    assert_refused("CARAVAN-", "too short: 0 of 30");
    assert_refused("CARAVAN-00000-0000", "too short: 9 of 30");
    assert_refused("CARAVAN-00000-00000-00000-00000-00000-00000-0", "too long");
    assert_refused("CARAVAN-0000U", "'U'");
    assert_refused("CARAVAN-000\xc3\xa4", "a letter that no code has");
    assert_refused(long_address, "too long");
    strcat(code, "@");
    assert_refused(code, "HOST:PORT");
    strcat(code, "host name");
    assert_refused(code, "HOST:PORT");
}

static void keys_differ(void **state) {
    struct secret a, b;
    struct secret_keys ka, ka_again, kb;
    assert_int_equal(secret_new(&a, NULL), 0);
    assert_int_equal(secret_new(&b, NULL), 0);
    secret_derive(&a, &ka);
    secret_derive(&a, &ka_again);
    secret_derive(&b, &kb);
    assert_memory_equal(&ka, &ka_again, sizeof ka);
    assert_true(ka.id != kb.id);
    assert_memory_not_equal(ka.psk, kb.psk, sizeof ka.psk);
    assert_memory_not_equal(ka.psk, ka.beacon, sizeof ka.psk);
}

static void rotation_keeps_one_old_key(void **state) {
    struct secret s[3];
    struct secret_keys k[3];
    struct secret_keyring ring = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(secret_new(&s[i], NULL), 0);
        secret_derive(&s[i], &k[i]);
        secret_keyring_rotate(&ring, &s[i]);
        secret_keyring_rotate(&ring, &s[i]);
    }
    assert_int_equal(ring.count, 2);
    assert_true(ring.keys[0].id == k[2].id && ring.keys[1].id == k[1].id);
    secret_keyring_expire(&ring);
    assert_int_equal(ring.count, 1);
    assert_true(ring.keys[0].id == k[2].id);
}

static void file_keeps_the_secret(void **state) {
    char home[] = "/tmp/caravan-secret-XXXXXX", path[64];
    struct secret s, read;
    struct error error = {0};
    struct stat status;
    assert_non_null(mkdtemp(home));
    snprintf(path, sizeof path, "%s/secret", home);
    assert_int_equal(secret_load(home, &read, &error), ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(secret_new(&s, NULL), 0);
        assert_int_equal(secret_save(home, &s, &error), 0);
        assert_int_equal(secret_load(home, &read, &error), 0);
        assert_memory_equal(&s, &read, sizeof s);
    }
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(secret_load(home, &read, &error), ERR_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(secret_load(home, &read, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(home), 0); /* nothing else was left behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_come_back),
        cmocka_unit_test(code_is_stable),
        cmocka_unit_test(people_write_codes_as_they_like),
        cmocka_unit_test(typing_errors_are_caught),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(rotation_keeps_one_old_key),
        cmocka_unit_test(file_keeps_the_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
