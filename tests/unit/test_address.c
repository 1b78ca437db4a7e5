#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "net/address.h"

static void assert_split(const char *text, const char *expected_host, uint16_t expected_port) {
    char host[ADDRESS_HOST_BYTES];
    uint16_t port = 0;
    struct error error = {0};
    assert_int_equal(address_split(text, host, &port, &error), 0);
    assert_string_equal(host, expected_host);
    assert_int_equal(port, expected_port);
}

static void assert_not_split(const char *text, const char *reason) {
    char host[ADDRESS_HOST_BYTES];
    uint16_t port;
    struct error error = {0};
    assert_int_equal(address_split(text, host, &port, &error), ERR_INVALID);
    if (!strstr(error.text, reason)) fail_msg("%s", error.text);
}

static void peers_are_taken_apart(void **state) {
    char long_name[400];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    assert_split("host", "host", 52416);
    assert_split("host.example:1234", "host.example", 1234);
    assert_split("10.0.0.7:65535", "10.0.0.7", 65535);
    assert_split("fe80::1%eth0", "fe80::1%eth0", 52416);
    assert_split("[fe80::1%eth0]", "fe80::1%eth0", 52416);
    assert_split("[::1]:9", "::1", 9);
    assert_not_split("", "no host");
    assert_not_split(":80", "no host");
    assert_not_split("[]:80", "no host");
    assert_not_split("[::1", "[IPV6]:PORT");
    assert_not_split("[::1]80", "[IPV6]:PORT");
    assert_not_split("host:", "not a port");
    assert_not_split("host:0", "not a port");
    assert_not_split("host:65536", "not a port");
    assert_not_split("host:-1", "not a port");
    assert_not_split("host:12a", "not a port");
    assert_not_split(long_name, "too long");
}

static void assert_same(const struct wire_address *a, const char *expected_text) {
    struct sockaddr_storage storage;
    struct wire_address back;
    char text[ADDRESS_TEXT_BYTES];
    assert_true(address_to_sockaddr(a, &storage) > 0);
    assert_true(address_from_sockaddr(&back, (struct sockaddr *)&storage));
    assert_memory_equal(&back, a, sizeof back);
    address_format(a, text);
    assert_string_equal(text, expected_text);
}

static void addresses_come_back(void **state) {
    struct wire_address a;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(52416), .sin_addr.s_addr = htonl(0x0a000007)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(7), .sin6_scope_id = 1};
    assert_true(address_from_sockaddr(&a, (struct sockaddr *)&in));
    assert_same(&a, "10.0.0.7:52416");
    assert_int_equal(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
    assert_true(address_from_sockaddr(&a, (struct sockaddr *)&in6));
    assert_same(&a, "[fe80::1%lo]:7");
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(address_from_sockaddr(&a, &other));
}

/* A dual-stack socket shows IPv4 as mapped IPv6: the same machine. */
static void mapped_is_ipv4(void **state) {
    struct wire_address a, b;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(0x0a000007)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(2)};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.7", &in6.sin6_addr), 1);
    assert_true(address_from_sockaddr(&a, (struct sockaddr *)&in));
    assert_true(address_from_sockaddr(&b, (struct sockaddr *)&in6));
    assert_true(address_same_host(&a, &b));
    b.ip[15]++;
    assert_false(address_same_host(&a, &b));
}

static bool is_private(const char *text) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct wire_address a;
    bool v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
    if (!v4) assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    assert_true(address_from_sockaddr(&a, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6));
    return address_is_private(&a);
}

static void private_addresses_are_known(void **state) {
    static const char *const closed[] = {
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.168.0.1", "224.0.0.251", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
        "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::8.8.8.8", "::ffff:0:127.0.0.1",
        "2002:7f00:1::1", "2002:c0a8:1::", "fc00::1", "fdff::1", "fe80::1", "feff::1", "ff02::1"};
    static const char *const open[] = {
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.0.0.1", "128.0.0.1",
        "169.253.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "223.255.255.255", "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1", "2002:101:101::1", "2001:db8::1", "2606:4700::1111", "fe7f::1"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (!is_private(closed[i])) fail_msg("%s is private", closed[i]);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (is_private(open[i])) fail_msg("%s is not private", open[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_are_taken_apart),
        cmocka_unit_test(addresses_come_back),
        cmocka_unit_test(mapped_is_ipv4),
        cmocka_unit_test(private_addresses_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
