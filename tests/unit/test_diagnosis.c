/* What the doctor says of hosts that never were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/diagnosis.h"

#define GIB (1ull << 30)

static struct diagnosis_host healthy(void) {
    return (struct diagnosis_host){
        .memory = {16 * GIB, 12 * GIB, FACTS_UNLIMITED, FACTS_UNLIMITED},
        .condition = {.governor = "performance",
                      .huge_pages = "madvise",
                      .files_max = 65536,
                      .disk_free_bytes = 100 * GIB,
                      .folder_usable = true},
        .cores = 8,
        .isa = KERN_ISA_COUNT - 1,
        .api_port_free = true,
        .network = true,
    };
}

static struct diagnosis_finding findings[DIAGNOSIS_FINDINGS_MAX];

/* The finding of that subject; fails when any other one is not good. */
static const struct diagnosis_finding *only(const struct diagnosis_host *host, const char *subject) {
    const struct diagnosis_finding *found = NULL;
    size_t count = diagnosis_make(host, findings);
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        assert_true(f->text[0] != '\0');
        assert_int_equal(f->level == DIAGNOSIS_GOOD, f->cure[0] == '\0');
        if (strcmp(f->subject, subject) == 0)
            found = f;
        else
            assert_int_equal(f->level, DIAGNOSIS_GOOD);
    }
    assert_non_null(found);
    return found;
}

static void a_healthy_host(void **state) {
    struct diagnosis_host host = healthy();
    assert_int_equal(only(&host, "cpu")->level, DIAGNOSIS_GOOD);
    host.condition.governor[0] = host.condition.huge_pages[0] = '\0';
    host.condition.files_max = host.condition.disk_free_bytes = UINT64_MAX;
    assert_int_equal(only(&host, "cpu")->level, DIAGNOSIS_GOOD);
}

static void memory(void **state) {
    struct diagnosis_host host = healthy();
    host.memory.available_bytes = GIB + GIB / 2;
    assert_int_equal(only(&host, "memory")->level, DIAGNOSIS_WEAK);
    host.memory.available_bytes = GIB / 2;
    assert_int_equal(only(&host, "memory")->level, DIAGNOSIS_BROKEN);
    host = healthy();
    host.memory.cgroup_left_bytes = GIB / 2;
    assert_non_null(strstr(only(&host, "memory")->cure, "limit"));
}

static void what_fix_can_mend(void **state) {
    struct diagnosis_host host = healthy();
    host.secret_shared = true;
    assert_int_equal(only(&host, "secret")->level, DIAGNOSIS_BROKEN);
    assert_int_equal(only(&host, "secret")->mend, MEND_SECRET);
    host = healthy();
    snprintf(host.condition.governor, CONDITION_WORD_BYTES, "powersave");
    assert_int_equal(only(&host, "clock")->mend, MEND_GOVERNOR);
    host = healthy();
    snprintf(host.condition.huge_pages, CONDITION_WORD_BYTES, "never");
    assert_int_equal(only(&host, "huge pages")->mend, MEND_HUGE_PAGES);
}

static void ports_and_networks(void **state) {
    struct diagnosis_host host = healthy();
    host.api_port_free = false;
    assert_int_equal(only(&host, "port")->level, DIAGNOSIS_WEAK);
    host.node_runs = true;
    assert_int_equal(only(&host, "port")->level, DIAGNOSIS_GOOD);
    host.network = false;
    assert_int_equal(only(&host, "network")->level, DIAGNOSIS_WEAK);
}

static void homes_and_limits(void **state) {
    struct diagnosis_host host = healthy();
    host.condition.disk_free_bytes = GIB;
    assert_int_equal(only(&host, "home")->level, DIAGNOSIS_WEAK);
    host.condition.folder_usable = false;
    assert_int_equal(only(&host, "home")->level, DIAGNOSIS_BROKEN);
    host = healthy();
    host.condition.files_max = 256;
    assert_int_equal(only(&host, "open files")->level, DIAGNOSIS_WEAK);
    host = healthy();
    host.isa = KERN_REF;
    assert_int_equal(only(&host, "cpu")->level, DIAGNOSIS_WEAK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_host),     cmocka_unit_test(memory),           cmocka_unit_test(what_fix_can_mend),
        cmocka_unit_test(ports_and_networks), cmocka_unit_test(homes_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
