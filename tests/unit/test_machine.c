#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/machine.h"

/* Plain C takes ten times as long and more: no noise turns that round. */
static void the_faster_level_is_found(void **state) {
    if (kern_isa_best() == KERN_REF) skip();
    assert_int_equal(machine_faster(KERN_REF, kern_isa_best()), kern_isa_best());
    assert_int_equal(machine_faster(kern_isa_best(), KERN_REF), kern_isa_best());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_faster_level_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
