/* Several discoveries in one process see each other over whatever interfaces this host has; loopback is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/discovery.h"
#include "os/clock.h"
#include "os/interfaces.h"

enum { MS = 1000000 };

static uint16_t port; /* of this run, so that nodes which really run are not disturbed */

static struct secret_keyring ring_of(uint8_t seed) {
    struct secret s;
    struct secret_keyring ring = {0};
    memset(s.bytes, seed, sizeof s.bytes);
    secret_keyring_rotate(&ring, &s);
    return ring;
}

static struct discovery *open_discovery(uint8_t seed) {
    struct secret_keyring keys = ring_of(seed);
    struct discovery *d;
    struct error error = {0};
    if (discovery_open(&d, port, &keys, NULL, &error) < 0) fail_msg("%s", error.text);
    return d;
}

/* Wait for a beacon, resending what failed. */
static bool sees(struct discovery *d, struct discovery_seen *seen, int timeout_ms) {
    uint64_t end_ns = clock_ns() + (uint64_t)timeout_ms * MS;
    do {
        if (discovery_read(d, seen)) return true;
        struct pollfd watched = {.fd = discovery_fd(d), .events = POLLIN};
        poll(&watched, 1, 10);
    } while (clock_ns() < end_ns);
    return false;
}

static bool is_text(const struct discovery_seen *seen, const char *text) {
    return seen->len == strlen(text) && memcmp(seen->bytes, text, seen->len) == 0;
}

static void members_see_each_other(void **state) {
    struct discovery *a = open_discovery(1), *b = open_discovery(1), *c = open_discovery(1);
    struct secret_keyring keys = ring_of(1);
    struct discovery_seen seen;
    discovery_send(a, "I am a", 6);
    assert_true(sees(b, &seen, 1000) && is_text(&seen, "I am a"));
    assert_true(sees(c, &seen, 1000) && is_text(&seen, "I am a"));
    assert_true(seen.key_id == keys.keys[0].id);
    assert_int_equal(seen.from.port, 0);
    assert_false(sees(a, &seen, 50)); /* not itself */
    discovery_send(b, "I am b", 6);
    assert_true(sees(a, &seen, 1000) && is_text(&seen, "I am b"));
    assert_true(discovery_counters(b)->sent > 0);
    discovery_close(a);
    discovery_close(b);
    discovery_close(c);
}

static void strangers_are_not_seen(void **state) {
    struct discovery *a = open_discovery(1), *stranger = open_discovery(2);
    struct discovery_seen seen;
    discovery_send(stranger, "hello", 5);
    assert_false(sees(a, &seen, 100));
    assert_true(discovery_counters(a)->foreign > 0);
    discovery_close(a);
    discovery_close(stranger);
}

static void an_old_key_is_still_heard(void **state) {
    struct discovery *old = open_discovery(1), *both = open_discovery(1);
    struct secret_keyring keys = ring_of(1);
    uint64_t old_id = keys.keys[0].id;
    struct secret fresh = {{9}};
    struct discovery_seen seen;
    secret_keyring_rotate(&keys, &fresh);
    discovery_set_keys(both, &keys);
    discovery_send(old, "old", 3);
    assert_true(sees(both, &seen, 1000) && seen.key_id == old_id);
    discovery_send(both, "new", 3);
    assert_false(sees(old, &seen, 100));
    discovery_close(old);
    discovery_close(both);
}

/* Whatever is thrown at the port is dropped. */
static void garbage_is_dropped(void **state) {
    struct discovery *a = open_discovery(1), *b = open_discovery(1);
    struct sockaddr_in group = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr("239.255.82.67")};
    struct ip_mreqn loopback = {.imr_ifindex = 1};
    struct discovery_seen seen;
    uint8_t bytes[1400];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback), 0);
    for (size_t len = 0; len < sizeof bytes; len += 1 + len / 4) {
        memset(bytes, (int)len, sizeof bytes);
        assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&group, sizeof group), len);
    }
    assert_false(sees(a, &seen, 100));
    assert_true(discovery_counters(a)->foreign >= 20);
    assert_int_equal(discovery_counters(a)->foreign, discovery_counters(a)->received);
    discovery_send(b, "still there", 11);
    assert_true(sees(a, &seen, 1000) && is_text(&seen, "still there"));
    close(fd);
    discovery_close(a);
    discovery_close(b);
}

static void loopback_is_an_interface(void **state) {
    struct interface list[INTERFACES_MAX];
    size_t count = interfaces_list(list, INTERFACES_MAX), loopbacks = 0;
    for (size_t i = 0; i < count; i++) loopbacks += list[i].loopback && list[i].ipv4 && !list[i].ipv6;
    assert_int_equal(loopbacks, 1);
}

static bool has_loopback(void) {
    struct interface list[INTERFACES_MAX];
    size_t count = interfaces_list(list, INTERFACES_MAX);
    for (size_t i = 0; i < count; i++)
        if (list[i].loopback) return true;
    return false;
}

int main(void) {
    if (!has_loopback()) {
        print_message("skipped: loopback is down here\n");
        return 77;
    }
    port = (uint16_t)(20000 + getpid() % 20000);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_see_each_other),    cmocka_unit_test(strangers_are_not_seen),
        cmocka_unit_test(an_old_key_is_still_heard), cmocka_unit_test(garbage_is_dropped),
        cmocka_unit_test(loopback_is_an_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
