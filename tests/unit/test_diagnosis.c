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
        .root = "",
        .home = "/home/ann/.caravan",
        .memory = {16 * GIB, 12 * GIB, FACTS_UNLIMITED, FACTS_UNLIMITED},
        .condition = {.governor = "performance",
                      .huge_pages = "madvise",
                      .clock_source = "tsc",
                      .clock_tsc = true,
                      .wall_s = 1800000000,
                      .swappiness = 60,
                      .files_max = 65536,
                      .disk_free_bytes = 100 * GIB,
                      .folder_usable = true},
        .nics = {{.name = "eth0", .carrier = true, .multicast = true, .routes = true, .speed_mbit = 1000}},
        .nic_count = 1,
        .cores = 8,
        .isa = KERN_ISA_COUNT - 1,
        .api_port_free = true,
        .network = true,
        .cluster_port = 52416,
        .beacon_s = -1,
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
        assert_int_equal(f->level == DIAGNOSIS_GOOD, f->cure[0] == '\0' && f->command[0] == '\0');
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
    host.condition.governor[0] = host.condition.huge_pages[0] = host.condition.clock_source[0] = '\0';
    host.nic_count = 0;
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

/* The finding is weak and its command is this one. */
static void assert_mends(const struct diagnosis_host *host, const char *subject, const char *command) {
    assert_int_equal(only(host, subject)->level, DIAGNOSIS_WEAK);
    assert_string_equal(only(host, subject)->command, command);
}

static void limits_of_a_service(void **state) {
    struct diagnosis_host host = healthy();
    host.superuser = true;
    snprintf(host.condition.unit, CONDITION_UNIT_BYTES, "caravan.service");
    host.memory.cgroup_bytes = host.memory.cgroup_left_bytes = 4 * GIB;
    assert_mends(&host, "memory", "systemctl set-property caravan.service MemoryMax=infinity");
    host.condition.unit[0] = '\0';
    assert_mends(&host, "memory", "");
    host.memory.cgroup_bytes = host.memory.cgroup_left_bytes = 11 * GIB; /* little less than there is */
    assert_int_equal(only(&host, "memory")->level, DIAGNOSIS_GOOD);
    host = healthy();
    host.quota = (struct facts_quota){150000, 100000};
    assert_non_null(strstr(only(&host, "cpu time")->text, "1.5 cores"));
    snprintf(host.condition.unit, CONDITION_UNIT_BYTES, "caravan.service");
    assert_mends(&host, "cpu time", "sudo systemctl set-property caravan.service CPUQuota=");
}

static void settings_of_the_kernel(void **state) {
    struct diagnosis_host host = healthy();
    snprintf(host.condition.governor, CONDITION_WORD_BYTES, "powersave");
    assert_mends(&host, "governor",
                 "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
    host = healthy();
    host.root = "/made/up";
    snprintf(host.condition.huge_pages, CONDITION_WORD_BYTES, "never");
    assert_mends(&host, "huge pages", "echo madvise | sudo tee /made/up/sys/kernel/mm/transparent_hugepage/enabled");
    host = healthy();
    host.superuser = true;
    host.condition.swap_used_bytes = 2 * GIB;
    assert_mends(&host, "swap", "echo 10 | tee /proc/sys/vm/swappiness");
    host.condition.swappiness = 10;
    assert_mends(&host, "swap", "");
    host.condition.swap_used_bytes = GIB / 4;
    assert_int_equal(only(&host, "swap")->level, DIAGNOSIS_GOOD);
}

static void clocks(void **state) {
    struct diagnosis_host host = healthy();
    snprintf(host.condition.clock_source, CONDITION_WORD_BYTES, "hpet");
    assert_mends(&host, "clock",
                 "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource");
    host.condition.clock_tsc = false;
    assert_mends(&host, "clock", "");
    host = healthy();
    host.condition.wall_s = 86400; /* a board without a battery */
    assert_mends(&host, "clock", "sudo timedatectl set-ntp true");
}

static void a_secret_that_others_read(void **state) {
    struct diagnosis_host host = healthy();
    host.secret_shared = true;
    assert_int_equal(only(&host, "secret")->level, DIAGNOSIS_BROKEN);
    assert_string_equal(only(&host, "secret")->command, "chmod 600 '/home/ann/.caravan/secret'");
    host.home = "/home/ann'; rm -rf /'";
    assert_string_equal(only(&host, "secret")->command, "");
}

static void interfaces(void **state) {
    struct diagnosis_host host = healthy();
    host.nics[0].speed_mbit = 100;
    assert_mends(&host, "cable", "sudo ethtool -r eth0");
    host = healthy();
    host.nics[0].multicast = false;
    assert_mends(&host, "multicast", "sudo ip link set dev eth0 multicast on");
    host = healthy();
    host.nics[0].deaf_bridge = true;
    assert_mends(&host, "multicast", "echo 1 | sudo tee /sys/class/net/eth0/bridge/multicast_querier");
    host = healthy();
    host.nics[1] =
        (struct nic){.name = "wlan0", .wireless = true, .carrier = true, .multicast = true, .speed_mbit = -1};
    host.nic_count = 2;
    assert_int_equal(only(&host, "wi-fi")->level, DIAGNOSIS_GOOD);
    host.nics[1].saves_power = true;
    assert_mends(&host, "wi-fi", "sudo iw dev wlan0 set power_save off");
    host.nics[1].saves_power = host.nics[0].routes = false;
    host.nics[1].routes = true;
    assert_mends(&host, "route", "sudo nmcli device disconnect wlan0");
    host.nics[0].carrier = false; /* no cable: the route is the best there is */
    assert_int_equal(only(&host, "route")->level, DIAGNOSIS_GOOD);
}

static void firewalls(void **state) {
    struct diagnosis_host host = healthy();
    host.firewall = (struct firewall){.kind = FIREWALL_UFW, .names_port = true};
    assert_int_equal(only(&host, "firewall")->level, DIAGNOSIS_GOOD);
    host.firewall.names_port = false;
    assert_mends(&host, "firewall", "sudo ufw allow 52416");
    host.firewall.hidden = true; /* nothing is claimed of what cannot be seen */
    assert_int_equal(only(&host, "firewall")->level, DIAGNOSIS_GOOD);
    host.firewall = (struct firewall){.kind = FIREWALL_FIREWALLD};
    assert_mends(&host, "firewall",
                 "sudo firewall-cmd --permanent --add-port=52416/tcp --add-port=52416/udp && "
                 "sudo firewall-cmd --reload");
    host.firewall = (struct firewall){.kind = FIREWALL_NFTABLES, .table = "inet filter", .chain = "input"};
    assert_mends(&host, "firewall",
                 "sudo nft insert rule inet filter input meta l4proto '{ tcp, udp }' th dport 52416 accept");
}

static void beacons_that_do_not_come(void **state) {
    struct diagnosis_host host = healthy();
    host.others = 2;
    assert_non_null(strstr(only(&host, "multicast")->cure, "--peer"));
    host.beacon_s = 300; /* they came until the switch forgot who listens */
    assert_int_equal(only(&host, "multicast")->level, DIAGNOSIS_WEAK);
    host.beacon_s = 0.7;
    assert_int_equal(only(&host, "multicast")->level, DIAGNOSIS_GOOD);
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
        cmocka_unit_test(a_healthy_host),
        cmocka_unit_test(memory),
        cmocka_unit_test(limits_of_a_service),
        cmocka_unit_test(settings_of_the_kernel),
        cmocka_unit_test(clocks),
        cmocka_unit_test(a_secret_that_others_read),
        cmocka_unit_test(interfaces),
        cmocka_unit_test(firewalls),
        cmocka_unit_test(beacons_that_do_not_come),
        cmocka_unit_test(ports_and_networks),
        cmocka_unit_test(homes_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
