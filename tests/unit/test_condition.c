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

#define GOVERNOR   "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
#define CLOCK      "/sys/devices/system/clocksource/clocksource0/"
#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/enabled"

static void a_bare_host_tells_nothing(void **state) {
    struct condition c;
    condition_read(root, root, &c);
    assert_string_equal(c.governor, "");
    assert_string_equal(c.huge_pages, "");
    assert_true(c.folder_usable);
    assert_true(c.files_max > 0 && c.disk_free_bytes > 0);
}

static void settings_are_read(void **state) {
    struct condition c;
    put(GOVERNOR, "powersave\n");
    put(HUGE_PAGES, "always madvise [never]\n");
    put(CLOCK "current_clocksource", "hpet\n");
    put(CLOCK "available_clocksource", "hpet acpi_pm \n");
    put("/proc/meminfo", "MemTotal: 100 kB\nSwapTotal:  4194304 kB\nSwapFree:  1048576 kB\n");
    put("/proc/sys/vm/swappiness", "60\n");
    put("/proc/self/cgroup", "0::/system.slice/caravan@2.service/inner\n");
    condition_read(root, root, &c);
    assert_string_equal(c.governor, "powersave");
    assert_string_equal(c.huge_pages, "never");
    assert_string_equal(c.clock_source, "hpet");
    assert_false(c.clock_tsc);
    assert_true(c.swap_used_bytes == 3ull << 30);
    assert_int_equal(c.swappiness, 60);
    assert_string_equal(c.unit, "caravan@2.service");
    put(CLOCK "available_clocksource", "tsc hpet acpi_pm \n");
    put("/proc/self/cgroup", "0::/x.slice/$(reboot).service\n"); /* it would stand in a command */
    condition_read(root, root, &c);
    assert_true(c.clock_tsc);
    assert_string_equal(c.unit, "");
}

static void broken_kernels(void **state) {
    struct condition c;
    put(HUGE_PAGES, "[");
    condition_read(root, root, &c);
    assert_string_equal(c.huge_pages, "");
    put(HUGE_PAGES, "[a-word-that-is-far-too-long-for-any-setting]");
    condition_read(root, root, &c);
    assert_string_equal(c.huge_pages, "");
}

static void shared_files(void **state) {
    char path[512];
    put("/secret", "x");
    snprintf(path, sizeof path, "%s/secret", root);
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(condition_file_shared(path));
    assert_int_equal(chmod(path, 0600), 0);
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
        cmocka_unit_test_setup_teardown(settings_are_read, make_root, remove_root),
        cmocka_unit_test_setup_teardown(broken_kernels, make_root, remove_root),
        cmocka_unit_test_setup_teardown(shared_files, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_folder_that_is_none, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
