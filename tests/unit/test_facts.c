/* Facts about the host, read from made-up hosts in a temporary folder. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/facts.h"
#include "made_host.h"

#define GIB (1ull << 30)

static void put_meminfo(void) {
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n");
}

static void memory_without_limits(void **state) {
    struct facts_memory m;
    put_meminfo();
    facts_memory(root, &m);
    assert_int_equal(m.total_bytes, 16 * GIB);
    assert_int_equal(m.available_bytes, 8 * GIB);
    assert_true(m.cgroup_bytes == FACTS_UNLIMITED);
    assert_int_equal(facts_memory_budget(&m, 0), 7 * GIB);
    assert_int_equal(facts_memory_budget(&m, 3 * GIB), 3 * GIB);
    assert_int_equal(facts_memory_budget(&m, 300 * GIB), 7 * GIB);
}

static void memory_of_cgroup_v2_counts_parents(void **state) {
    struct facts_memory m;
    put_meminfo();
    put("/proc/self/cgroup", "0::/slice/unit\n");
    put("/sys/fs/cgroup/slice/unit/memory.max", "max\n");
    put("/sys/fs/cgroup/slice/memory.max", "2147483648\n");
    put("/sys/fs/cgroup/slice/memory.current", "1073741824\n");
    put("/sys/fs/cgroup/slice/memory.stat", "anon 5\ninactive_file 536870912\nactive_file 0\n");
    facts_memory(root, &m);
    assert_int_equal(m.cgroup_bytes, 2 * GIB);
    assert_int_equal(m.cgroup_left_bytes, 2 * GIB - GIB / 2);
    assert_int_equal(facts_memory_budget(&m, 0), 2 * GIB - GIB / 2);
}

static void memory_of_cgroup_v1(void **state) {
    struct facts_memory m;
    put_meminfo();
    put("/proc/self/cgroup", "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n");
    put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1048576\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    facts_memory(root, &m);
    assert_int_equal(m.cgroup_bytes, GIB);
    assert_int_equal(m.cgroup_left_bytes, GIB - 1048576);
}

static void memory_nearly_used_up(void **state) {
    struct facts_memory m;
    put("/proc/meminfo", "MemTotal: 2097152 kB\nMemAvailable: 524288 kB\n");
    facts_memory(root, &m);
    assert_int_equal(facts_memory_budget(&m, 0), 0);
}

static void cores_follow_the_quota(void **state) {
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    unsigned all = facts_cores(root);
    assert_true(all >= 1);
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    assert_int_equal(facts_cores(root), 1);
    put("/sys/fs/cgroup/a/cpu.max", "5000 100000\n");
    assert_int_equal(facts_cores(root), 1);
    put("/sys/fs/cgroup/a/cpu.max", "100000 0\n");
    assert_int_equal(facts_cores(root), all);
}

static void cores_follow_the_quota_of_v1(void **state) {
    put("/proc/self/cgroup", "3:cpu,cpuacct:/box\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    unsigned all = facts_cores(root);
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(facts_cores(root), 1);
    assert_true(all >= 1);
}

static void hardware_threads_of_one_core_count_once(void **state) {
    setenv("HWLOC_SYNTHETIC", "numa:2 core:4 pu:2", 1);
    assert_int_equal(facts_cores(root), 8);
    unsetenv("HWLOC_SYNTHETIC");
}

static void cores_follow_the_affinity(void **state) {
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(facts_cores(root), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void the_tightest_quota_counts(void **state) {
    struct facts_quota quota;
    facts_quota(root, &quota);
    assert_int_equal(quota.period_us, 0);
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    facts_quota(root, &quota);
    assert_int_equal(quota.period_us, 0);
    put("/sys/fs/cgroup/a/cpu.max", "5000 10000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "60000 100000\n");
    facts_quota(root, &quota);
    assert_int_equal(quota.quota_us, 5000);
    assert_int_equal(quota.period_us, 10000);
}

static void an_empty_host_has_no_facts(void **state) {
    struct facts_memory m;
    uint8_t id[FACTS_BOOT_ID_BYTES];
    facts_memory(root, &m);
    assert_true(facts_memory_budget(&m, 0) == FACTS_UNLIMITED);
    assert_int_equal(facts_memory_budget(&m, 5), 5);
    assert_true(facts_cores(root) >= 1);
    assert_int_equal(facts_boot_id(root, id), ERR_IO);
}

static void boot_ids(void **state) {
    uint8_t id[FACTS_BOOT_ID_BYTES];
    put("/proc/sys/kernel/random/boot_id", "00112233-4455-6677-8899-aabbccddeeff\n");
    assert_int_equal(facts_boot_id(root, id), 0);
    assert_int_equal(id[0], 0x00);
    assert_int_equal(id[15], 0xff);
    put("/proc/sys/kernel/random/boot_id", "0011\n");
    assert_int_equal(facts_boot_id(root, id), ERR_IO);
}

static bool count_entry(void *context, const struct dir_entry *entry) {
    unsigned *counts = context;
    counts[entry->folder]++;
    if (!entry->folder) counts[2] += (unsigned)entry->bytes;
    return true;
}

static void folders_are_listed(void **state) {
    unsigned counts[3] = {0};
    put("/d/one", "12345");
    put("/d/.hidden", "x");
    put("/d/sub/two", "x");
    char path[128];
    snprintf(path, sizeof path, "%s/d", root);
    assert_int_equal(dir_list(path, count_entry, counts), 0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 5);
    snprintf(path, sizeof path, "%s/none", root);
    assert_int_equal(dir_list(path, count_entry, counts), ERR_NOT_FOUND);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(memory_without_limits),
        TEST(memory_of_cgroup_v2_counts_parents),
        TEST(memory_of_cgroup_v1),
        TEST(memory_nearly_used_up),
        TEST(hardware_threads_of_one_core_count_once),
        TEST(cores_follow_the_affinity),
        TEST(cores_follow_the_quota),
        TEST(cores_follow_the_quota_of_v1),
        TEST(the_tightest_quota_counts),
        TEST(an_empty_host_has_no_facts),
        TEST(boot_ids),
        TEST(folders_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
