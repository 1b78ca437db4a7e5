/* The door and those who knock at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/dial.h"
#include "net/listen.h"
#include "os/clock.h"

enum { CAP = 4096, MS = 1000000 };

static struct secret_keyring ring_of(uint8_t seed) {
    struct secret s;
    struct secret_keyring ring = {0};
    memset(s.bytes, seed, sizeof s.bytes);
    secret_keyring_rotate(&ring, &s);
    return ring;
}

static struct listener *open_listener(uint16_t port) {
    struct listener *listener;
    struct secret_keyring keys = ring_of(1);
    struct error error = {0};
    if (listener_open(&listener, port, &keys, CAP, &error) < 0) fail_msg("%s", error.text);
    assert_true(listener_port(listener) != 0);
    return listener;
}

static struct wire_address address_of(const struct listener *listener, const char *ip) {
    struct wire_address a;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(listener_port(listener))};
    assert_int_equal(inet_pton(AF_INET6, ip, &in6.sin6_addr), 1);
    address_from_sockaddr(&a, (struct sockaddr *)&in6);
    return a;
}

static struct link *knock(const struct listener *listener, const char *ip, uint8_t seed) {
    struct wire_address to = address_of(listener, ip);
    struct secret_keyring keys = ring_of(seed);
    struct link *l = NULL;
    struct error error = {0};
    if (dial(&l, &to, &keys, CAP, &error) < 0) fail_msg("%s", error.text);
    return l;
}

/* A stranger's plain connection. */
static int knock_plainly(const struct listener *listener) {
    struct wire_address to = address_of(listener, "::ffff:127.0.0.1");
    struct sockaddr_storage address;
    socklen_t len = address_to_sockaddr(&to, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

/* Serve the door until `client` has an answer. Returns the link that came in, if one did. */
static struct link *serve(struct listener *listener, struct link *client, struct wire_address *from) {
    struct link *server = NULL;
    uint64_t end_ns = clock_ns() + 2000ull * MS;
    while (clock_ns() < end_ns &&
           (link_state(client) == LINK_HANDSHAKE || (link_state(client) == LINK_OPEN && !server))) {
        struct pollfd watched[] = {{.fd = listener_fd(listener), .events = POLLIN},
                                   {.fd = link_fd(client), .events = POLLIN}};
        poll(watched, 2, 10);
        link_pump(client);
        if (!server) server = listener_next(listener, from);
    }
    return server;
}

static void assert_let_in(const char *ip, const char *expected_from) {
    struct listener *listener = open_listener(0);
    struct link *client = knock(listener, ip, 1);
    struct wire_address from;
    char text[ADDRESS_TEXT_BYTES];
    struct link *server = serve(listener, client, &from);
    assert_non_null(server);
    assert_int_equal(link_state(client), LINK_OPEN);
    assert_int_equal(link_state(server), LINK_OPEN);
    address_format(&from, text);
    assert_int_equal(strncmp(text, expected_from, strlen(expected_from)), 0);
    listener_close(listener);
    uint8_t frame[12] = {4};
    struct iovec part = {frame, sizeof frame};
    assert_int_equal(link_send(client, &part, 1), 0); /* the link outlives the door */
    size_t len = 0;
    while (!link_next_frame(server, &len)) link_pump(server);
    assert_int_equal(len, sizeof frame);
    link_free(client);
    link_free(server);
}

static void members_are_let_in(void **state) { assert_let_in("::ffff:127.0.0.1", "127.0.0.1:"); }

static void members_are_let_in_by_ipv6(void **state) {
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int rc = bind(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    if (rc < 0) {
        print_message("no IPv6 on loopback here\n");
        skip();
    }
    assert_let_in("::1", "[::1]:");
}

static void strangers_are_not(void **state) {
    struct listener *listener = open_listener(0);
    struct link *client = knock(listener, "::ffff:127.0.0.1", 2);
    struct wire_address from;
    assert_null(serve(listener, client, &from));
    assert_int_equal(link_error(client)->code, ERR_DENIED);
    assert_int_equal(listener_counters(listener)->refused, 1);
    assert_int_equal(listener_counters(listener)->opened, 0);
    link_free(client);
    listener_close(listener);
}

static void a_taken_port_means_another(void **state) {
    struct listener *first = open_listener(0);
    struct listener *second = open_listener(listener_port(first));
    assert_true(listener_port(first) != listener_port(second));
    listener_close(first);
    listener_close(second);
}

/* A crowd that says nothing does not grow, and members get in again when its time is over. */
static void silent_crowds_are_bounded(void **state) {
    struct listener *listener = open_listener(0);
    struct wire_address from;
    int crowd[LISTENER_PER_SOURCE_MAX + 10];
    for (size_t i = 0; i < sizeof crowd / sizeof crowd[0]; i++) crowd[i] = knock_plainly(listener);
    uint64_t end_ns = clock_ns() + 1000ull * MS;
    while (listener_counters(listener)->accepted < sizeof crowd / sizeof crowd[0] && clock_ns() < end_ns)
        assert_null(listener_next(listener, &from));
    assert_int_equal(listener_counters(listener)->refused, 10);
    struct link *member = knock(listener, "::ffff:127.0.0.1", 1);
    assert_null(serve(listener, member, &from));
    link_free(member);
    uint64_t deadline_ns = listener_deadline_ns(listener);
    assert_true(deadline_ns < clock_ns() + 5000ull * MS);
    while (clock_ns() < deadline_ns + 500ull * MS) {
        assert_null(listener_next(listener, &from));
        clock_sleep_ns(50ull * MS);
    }
    assert_true(listener_deadline_ns(listener) == UINT64_MAX);
    member = knock(listener, "::ffff:127.0.0.1", 1);
    struct link *server = serve(listener, member, &from);
    assert_non_null(server);
    link_free(server);
    link_free(member);
    for (size_t i = 0; i < sizeof crowd / sizeof crowd[0]; i++) close(crowd[i]);
    listener_close(listener);
}

/* Without descriptors the door pauses instead of turning in circles. */
static void no_descriptors_means_a_pause(void **state) {
    struct listener *listener = open_listener(0);
    struct wire_address from;
    struct link *member = knock(listener, "::ffff:127.0.0.1", 1);
    link_pump(member);
    struct rlimit normal, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &normal), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = normal.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_null(listener_next(listener, &from));
    struct pollfd watched = {.fd = listener_fd(listener), .events = POLLIN};
    int busy = poll(&watched, 1, 0);
    uint64_t deadline_ns = listener_deadline_ns(listener);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &normal), 0);
    assert_int_not_equal(busy, 1);
    assert_true(deadline_ns != UINT64_MAX);
    clock_sleep_ns(110ull * MS);
    struct link *server = serve(listener, member, &from);
    assert_non_null(server);
    link_free(server);
    link_free(member);
    listener_close(listener);
}

static void dialling_nowhere_fails(void **state) {
    struct listener *listener = open_listener(0);
    struct wire_address nowhere = address_of(listener, "::ffff:127.0.0.1");
    struct secret_keyring keys = ring_of(1);
    struct link *l = NULL;
    listener_close(listener);
    if (dial(&l, &nowhere, &keys, CAP, NULL) < 0) return;
    while (link_pump(l) == LINK_HANDSHAKE) continue;
    assert_int_equal(link_error(l)->code, ERR_IO);
    link_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_let_in),        cmocka_unit_test(members_are_let_in_by_ipv6),
        cmocka_unit_test(strangers_are_not),         cmocka_unit_test(a_taken_port_means_another),
        cmocka_unit_test(silent_crowds_are_bounded), cmocka_unit_test(no_descriptors_means_a_pause),
        cmocka_unit_test(dialling_nowhere_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
