/* API keys: only hashes on disk, checked against what was printed once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "node/keys.h"

static char home[64];
static struct keys keys, other;

static int make_home(void **state) {
    snprintf(home, sizeof home, "/tmp/caravan-keys-XXXXXX");
    keys.count = other.count = 0;
    return mkdtemp(home) == NULL ? -1 : 0;
}

static int remove_home(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return system(command);
}

static void put_file(const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/keys", home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_key_is_known_after_a_restart(void **state) {
    char first[KEYS_TEXT_BYTES], second[KEYS_TEXT_BYTES];
    assert_int_equal(keys_add(&keys, "laptop", first, NULL), 0);
    assert_int_equal(keys_add(&keys, NULL, second, NULL), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(keys_save(&keys, home, NULL), 0);
    assert_int_equal(keys_load(&other, home, NULL), 0);
    assert_int_equal(other.count, 2);
    assert_true(keys_check(&other, first, strlen(first)));
    assert_true(keys_check(&other, second, strlen(second)));
    assert_false(keys_check(&other, first, strlen(first) - 1));
    assert_false(keys_check(&other, "", 0));
    assert_int_equal(keys_remove(&other, "laptop", NULL), 0);
    assert_false(keys_check(&other, first, strlen(first)));
    assert_true(keys_check(&other, second, strlen(second)));
}

static void the_file_is_private_and_holds_no_key(void **state) {
    char text[KEYS_TEXT_BYTES], path[128], content[1024] = {0};
    struct stat st;
    keys_add(&keys, "a", text, NULL);
    keys_save(&keys, home, NULL);
    snprintf(path, sizeof path, "%s/keys", home);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(content, 1, sizeof content - 1, file) > 0);
    fclose(file);
    assert_null(strstr(content, text + strlen("caravan-")));
}

static void no_file_is_no_keys(void **state) {
    assert_int_equal(keys_load(&keys, home, NULL), 0);
    assert_int_equal(keys.count, 0);
    assert_false(keys_check(&keys, "x", 1));
}

static void damaged_files_are_refused(void **state) {
    static const char *const damaged[] = {"nonsense\n",
                                          "zz00000000000000000000000000000000000000000000000000000000000000 name\n",
                                          "0000000000000000000000000000000000000000000000000000000000000000 bad name\n",
                                          "0000000000000000000000000000000000000000000000000000000000000000\n"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        struct error error = {0};
        put_file(damaged[i]);
        assert_int_equal(keys_load(&keys, home, &error), ERR_INVALID);
        assert_non_null(strstr(error.text, "line 1"));
        assert_int_equal(keys.count, 0);
    }
}

static void names_are_checked(void **state) {
    char text[KEYS_TEXT_BYTES], longest[100];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(keys_add(&keys, "", text, NULL), ERR_INVALID);
    assert_int_equal(keys_add(&keys, "two words", text, NULL), ERR_INVALID);
    assert_int_equal(keys_add(&keys, "line\nbreak", text, NULL), ERR_INVALID);
    assert_int_equal(keys_add(&keys, longest, text, NULL), ERR_INVALID);
    assert_int_equal(keys_add(&keys, "me@home", text, NULL), 0);
    assert_int_equal(keys_add(&keys, "me@home", text, NULL), ERR_EXISTS);
    assert_int_equal(keys_remove(&keys, "you", NULL), ERR_NOT_FOUND);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_home, remove_home)
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_known_after_a_restart),
        TEST(the_file_is_private_and_holds_no_key),
        TEST(no_file_is_no_keys),
        TEST(damaged_files_are_refused),
        TEST(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
