/* The instruments of made-up hosts in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/readings.h"
#include "made_host.h"

static void a_bare_host_tells_nothing(void **state) {
    struct readings r;
    readings_take(root, &r);
    assert_false(r.temperature_known || r.power_known || r.network_known);
}

static void sensors_of_the_processor_count(void **state) {
    struct readings r;
    put("/sys/class/thermal/thermal_zone0/type", "acpitz\n");
    put("/sys/class/thermal/thermal_zone0/temp", "99000\n");
    put("/sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
    put("/sys/class/thermal/thermal_zone1/temp", "51500\n");
    put("/sys/class/hwmon/hwmon0/name", "k10temp\n");
    put("/sys/class/hwmon/hwmon0/temp1_input", "63250\n");
    put("/sys/class/hwmon/hwmon1/name", "nvme\n");
    put("/sys/class/hwmon/hwmon1/temp1_input", "80000\n");
    readings_take(root, &r);
    assert_true(r.temperature_known);
    assert_true(r.temperature_c == 63.25);
    assert_false(r.power_known);
}

static void meters_are_added(void **state) {
    struct readings r;
    put("/sys/class/hwmon/hwmon2/power1_average", "42000000\n");
    put("/sys/class/hwmon/hwmon3/power1_input", "8500000\n");
    readings_take(root, &r);
    assert_true(r.power_known);
    assert_true(r.power_w == 50.5);
}

static void loopback_is_no_network(void **state) {
    struct readings r;
    put("/proc/net/dev", "Inter-|   Receive                  |  Transmit\n"
                         " face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n"
                         "    lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n"
                         "  eth0: 1000 5 0 0 0 0 0 0 200 3 0 0 0 0 0 0\n"
                         "wlan0:30 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n");
    readings_take(root, &r);
    assert_true(r.network_known);
    assert_int_equal(r.received_bytes, 1030);
    assert_int_equal(r.sent_bytes, 207);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bare_host_tells_nothing, make_root, remove_root),
        cmocka_unit_test_setup_teardown(sensors_of_the_processor_count, make_root, remove_root),
        cmocka_unit_test_setup_teardown(meters_are_added, make_root, remove_root),
        cmocka_unit_test_setup_teardown(loopback_is_no_network, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
