/* The condition of made-up hosts in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "os/condition.h"
#include "made_host.h"

#define GOVERNOR(core) "/sys/devices/system/cpu/cpu" core "/cpufreq/scaling_governor"
#define HUGE_PAGES     "/sys/kernel/mm/transparent_hugepage/enabled"

static void a_bare_host_tells_nothing(void **state) {
    struct condition c;
    condition_read(root, root, &c);
    assert_string_equal(c.governor, "");
    assert_string_equal(c.huge_pages, "");
    assert_true(c.folder_usable);
    assert_true(c.files_max > 0 && c.disk_free_bytes > 0);
}

static void settings_are_read_and_changed(void **state) {
    struct condition c;
    struct error error;
    put(GOVERNOR("0"), "powersave\n");
    put(GOVERNOR("1"), "powersave\n");
    put(HUGE_PAGES, "always madvise [never]\n");
    condition_read(root, root, &c);
    assert_string_equal(c.governor, "powersave");
    assert_string_equal(c.huge_pages, "never");
    assert_int_equal(condition_set_governor(root, "performance", &error), 0);
    condition_read(root, root, &c);
    assert_string_equal(c.governor, "performance");
    put(HUGE_PAGES, "[" /* what a broken kernel might say */);
    condition_read(root, root, &c);
    assert_string_equal(c.huge_pages, "");
    put(HUGE_PAGES, "[a-word-that-is-far-too-long-for-any-setting]");
    condition_read(root, root, &c);
    assert_string_equal(c.huge_pages, "");
}

static void what_is_not_there_cannot_be_changed(void **state) {
    struct error error;
    assert_int_equal(condition_set_governor("/nowhere", "performance", &error), ERR_NOT_FOUND);
    assert_true(condition_set_huge_pages("/nowhere", "madvise", &error) < 0);
    assert_non_null(strstr(error.text, "/nowhere"));
}

static void shared_files(void **state) {
    char path[512];
    struct error error;
    put("/secret", "x");
    snprintf(path, sizeof path, "%s/secret", root);
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(condition_file_shared(path));
    assert_int_equal(condition_unshare_file(path, &error), 0);
    assert_false(condition_file_shared(path));
    assert_false(condition_file_shared("/nowhere"));
}

static void a_folder_that_is_none(void **state) {
    struct condition c;
    condition_read(root, "/proc/version", &c);
    assert_false(c.folder_usable);
    condition_read(root, "/nowhere", &c);
    assert_false(c.folder_usable);
    assert_true(c.disk_free_bytes == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bare_host_tells_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(settings_are_read_and_changed, make_root, remove_root),
        cmocka_unit_test(what_is_not_there_cannot_be_changed),
        cmocka_unit_test_setup_teardown(shared_files, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_folder_that_is_none, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
