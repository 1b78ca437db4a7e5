/* Network interfaces and firewalls of made-up hosts in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/firewall.h"
#include "os/nics.h"
#include "made_host.h"

#define NET "/sys/class/net/"

enum { PORT = 52416 };

static struct nic nics[NICS_MAX];

static const struct nic *found(size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(nics[i].name, name) == 0) return &nics[i];
    return NULL;
}

static void a_bare_host_has_none(void **state) {
    struct firewall wall;
    assert_int_equal(nics_read(root, nics), 0);
    firewall_read(root, PORT, &wall);
    assert_int_equal(wall.kind, FIREWALL_NONE);
}

static void cables_and_radio(void **state) {
    put(NET "lo/flags", "0x9\n");
    put(NET "enp3s0/flags", "0x1003\n");
    put(NET "enp3s0/device/vendor", "0x8086\n");
    put(NET "enp3s0/carrier", "1\n");
    put(NET "enp3s0/speed", "100\n");
    put(NET "wlan0/flags", "0x1003\n");
    put(NET "wlan0/device/vendor", "0x8086\n");
    put(NET "wlan0/phy80211/index", "0\n");
    put(NET "wlan0/carrier", "1\n");
    put(NET "veth12/flags", "0x1003\n"); /* a container's other end is no hardware */
    put(NET "down0/flags", "0x1002\n");
    put(NET "down0/device/vendor", "0x8086\n");
    put(NET "e;reboot/flags", "0x1003\n");
    put(NET "e;reboot/device/vendor", "0x8086\n");
    put("/proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
                           "enp3s0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
                           "enp3s0\t00000000\t0100A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n"
                           "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n");
    size_t count = nics_read(root, nics);
    assert_int_equal(count, 2);
    const struct nic *cable = found(count, "enp3s0"), *radio = found(count, "wlan0");
    assert_true(cable && cable->carrier && cable->multicast && !cable->wireless && !cable->routes);
    assert_int_equal(cable->speed_mbit, 100);
    assert_true(radio && radio->wireless && radio->carrier && radio->routes && !radio->saves_power);
    assert_int_equal(radio->speed_mbit, -1);
}

static void bridges(void **state) {
    put(NET "br0/flags", "0x1003\n");
    put(NET "br0/carrier", "1\n");
    put(NET "br0/bridge/multicast_snooping", "1\n");
    put(NET "br0/bridge/multicast_querier", "0\n");
    put(NET "br0/brif/enp3s0/state", "3\n");
    put(NET "enp3s0/device/vendor", "0x8086\n");
    put(NET "docker0/flags", "0x1003\n"); /* nothing but containers in it */
    put(NET "docker0/bridge/multicast_snooping", "1\n");
    put(NET "docker0/bridge/multicast_querier", "0\n");
    put(NET "docker0/brif/veth12/state", "3\n");
    size_t count = nics_read(root, nics);
    assert_int_equal(count, 1);
    assert_true(found(count, "br0")->deaf_bridge);
    put(NET "br0/bridge/multicast_querier", "1\n");
    count = nics_read(root, nics);
    assert_false(found(count, "br0")->deaf_bridge);
}

static void ufw(void **state) {
    struct firewall wall;
    put("/etc/ufw/ufw.conf", "# on or off\nENABLED=no\n");
    firewall_read(root, PORT, &wall);
    assert_int_equal(wall.kind, FIREWALL_NONE);
    put("/etc/ufw/ufw.conf", "# on or off\nENABLED=yes\n");
    firewall_read(root, PORT, &wall);
    assert_true(wall.kind == FIREWALL_UFW && wall.hidden);
    put("/etc/ufw/user.rules", "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A x --dport 52416 -j DROP\n");
    firewall_read(root, PORT, &wall);
    assert_true(wall.kind == FIREWALL_UFW && !wall.hidden && !wall.names_port);
    put("/etc/ufw/user.rules", "### tuple ### allow any 52416 0.0.0.0/0 any 0.0.0.0/0 in\n");
    firewall_read(root, PORT, &wall);
    assert_true(wall.names_port);
}

static void firewalld(void **state) {
    struct firewall wall;
    put("/etc/firewalld/zones/public.xml", "<zone>\n  <port port=\"152416\" protocol=\"tcp\"/>\n</zone>\n");
    firewall_read(root, PORT, &wall);
    assert_int_equal(wall.kind, FIREWALL_NONE); /* it does not run */
    put("/proc/812/comm", "firewalld\n");
    firewall_read(root, PORT, &wall);
    assert_true(wall.kind == FIREWALL_FIREWALLD && !wall.names_port);
    put("/etc/firewalld/zones/home.xml", "<zone>\n  <port port=\"52416\" protocol=\"udp\"/>\n</zone>\n");
    firewall_read(root, PORT, &wall);
    assert_true(wall.names_port);
}

#define CHAIN(policy, rule)                                                                                            \
    "table ip nat {\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n"     \
    "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy " policy ";\n" rule      \
    "\n\t}\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"

static struct firewall judged(const char *ruleset) {
    struct firewall wall = {0};
    firewall_judge_ruleset(ruleset, PORT, &wall);
    return wall;
}

static void nftables(void **state) {
    assert_int_equal(judged("").kind, FIREWALL_NONE);
    assert_int_equal(judged(CHAIN("accept", "")).kind, FIREWALL_NONE);
    struct firewall wall = judged(CHAIN("drop", "tcp dport 22 accept"));
    assert_true(wall.kind == FIREWALL_NFTABLES && !wall.names_port);
    assert_string_equal(wall.table, "inet filter");
    assert_string_equal(wall.chain, "input");
    assert_true(judged(CHAIN("drop", "udp dport { 22, 52416 } accept")).names_port);
    assert_false(judged(CHAIN("drop", "udp dport 524160 accept")).names_port);
    wall = judged("table ip $(reboot) {\n chain a;b {\n type filter hook input priority 0; policy drop;\n");
    assert_string_equal(wall.table, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bare_host_has_none, make_root, remove_root),
        cmocka_unit_test_setup_teardown(cables_and_radio, make_root, remove_root),
        cmocka_unit_test_setup_teardown(bridges, make_root, remove_root),
        cmocka_unit_test_setup_teardown(ufw, make_root, remove_root),
        cmocka_unit_test_setup_teardown(firewalld, make_root, remove_root),
        cmocka_unit_test(nftables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
