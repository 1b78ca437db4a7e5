/* Two ends of a link in one process, over TCP on loopback and, where bytes must be cut or forged, through our hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "net/link.h"
#include "os/clock.h"
#include "tcp_pair.h"

enum { CAP = 1 << 20, MS = 1000000 };

static struct secret_keyring ring_of(uint8_t seed) {
    struct secret s;
    struct secret_keyring ring = {0};
    memset(s.bytes, seed, sizeof s.bytes);
    secret_keyring_rotate(&ring, &s);
    return ring;
}

static struct link *new_link(int fd, enum link_role role, const struct secret_keyring *keys, size_t cap) {
    struct link *l = NULL;
    struct error error = {0};
    if (link_new(&l, fd, role, keys, cap, &error) < 0) fail_msg("%s", error.text);
    return l;
}

/* Drive both ends until `done`, or for two seconds. */
static bool pump_until(struct link *a, struct link *b, bool (*done)(struct link *a, struct link *b)) {
    uint64_t end_ns = clock_ns() + 2000ull * MS;
    while (clock_ns() < end_ns) {
        link_pump(a);
        link_pump(b);
        if (done(a, b)) return true;
    }
    return false;
}

static bool settled(struct link *a, struct link *b) {
    return link_state(a) != LINK_HANDSHAKE && link_state(b) != LINK_HANDSHAKE;
}

static bool any_closed(struct link *a, struct link *b) {
    return link_state(a) == LINK_CLOSED || link_state(b) == LINK_CLOSED;
}

static bool both_have_a_frame(struct link *a, struct link *b) {
    size_t len;
    return link_next_frame(a, &len) && link_next_frame(b, &len);
}

struct pair {
    struct link *client, *server;
};

static struct pair open_pair_with(const struct secret_keyring *client, const struct secret_keyring *server,
                                  size_t cap) {
    int fds[2];
    tcp_pair(fds);
    struct pair p = {new_link(fds[0], LINK_CLIENT, client, cap), new_link(fds[1], LINK_SERVER, server, cap)};
    assert_true(pump_until(p.client, p.server, settled));
    return p;
}

static struct pair open_pair(size_t cap) {
    struct secret_keyring ring = ring_of(1);
    struct pair p = open_pair_with(&ring, &ring, cap);
    assert_int_equal(link_state(p.client), LINK_OPEN);
    assert_int_equal(link_state(p.server), LINK_OPEN);
    return p;
}

static void close_pair(struct pair *p) {
    link_free(p->client);
    link_free(p->server);
}

/* A frame of `len` bytes whose content follows from its number. */
static uint8_t *make_frame(size_t len, uint64_t number) {
    uint8_t *frame = malloc(len);
    struct bytes_writer w = bytes_writer(frame, len);
    bytes_put_u32(&w, (uint32_t)(len - LINK_HEADER_BYTES));
    bytes_put_u32(&w, (uint32_t)number);
    for (size_t i = LINK_HEADER_BYTES; i < len; i++) frame[i] = (uint8_t)prng_mix(number * 1000003 + i / 8);
    return frame;
}

static int send_frame(struct link *l, size_t len, uint64_t number) {
    uint8_t *frame = make_frame(len, number);
    struct iovec part = {frame, len};
    int rc = link_send(l, &part, 1);
    free(frame);
    return rc;
}

static void expect_frame(struct link *l, size_t len, uint64_t number) {
    uint8_t *expected = make_frame(len, number);
    size_t got = 0;
    const uint8_t *frame = link_next_frame(l, &got);
    assert_non_null(frame);
    assert_int_equal(got, len);
    assert_memory_equal(frame, expected, len);
    link_frame_done(l);
    free(expected);
}

static void frames_of_all_sizes_arrive(void **state) {
    static const size_t sizes[] = {8, 9, 100, 2312, 16383, 16384, 16385, 16392, 32768, 32776, 100001, CAP};
    struct pair p = open_pair(CAP);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(send_frame(p.client, sizes[i], i), 0);
        assert_int_equal(send_frame(p.server, sizes[i], i + 100), 0);
        assert_true(pump_until(p.client, p.server, both_have_a_frame));
        expect_frame(p.client, sizes[i], i + 100);
        expect_frame(p.server, sizes[i], i);
    }
    assert_int_equal(link_counters(p.client)->frames_sent, 12);
    assert_int_equal(link_counters(p.server)->bytes_received, link_counters(p.client)->bytes_sent);
    close_pair(&p);
}

static void parts_are_joined(void **state) {
    struct pair p = open_pair(CAP);
    size_t len = 70001, cuts[] = {8, 9, 16384, 16385, 20000, 65000, len};
    uint8_t *frame = make_frame(len, 5);
    struct iovec parts[7];
    for (size_t i = 0, begin = 0; i < 7; begin = cuts[i++]) parts[i] = (struct iovec){frame + begin, cuts[i] - begin};
    assert_int_equal(link_send(p.server, parts, 7), 0);
    assert_int_equal(send_frame(p.client, 8, 1), 0);
    assert_true(pump_until(p.client, p.server, both_have_a_frame));
    expect_frame(p.client, len, 5);
    free(frame);
    close_pair(&p);
}

/* Many small frames in one go: what TLS has decrypted beyond the first frame is not left behind. */
static void a_burst_arrives_whole(void **state) {
    struct pair p = open_pair(4096);
    unsigned sent = 0, received = 0;
    size_t len;
    while (received < 5000) {
        while (sent < 5000 && send_frame(p.client, 8 + sent % 300, sent) == 0) sent++;
        link_pump(p.client);
        link_pump(p.server);
        while (link_next_frame(p.server, &len)) {
            expect_frame(p.server, 8 + received % 300, received);
            received++;
        }
    }
    close_pair(&p);
}

/* Both sides send more than the sockets hold before either takes a frame. */
static void big_frames_cross(void **state) {
    size_t len = 24u << 20;
    struct pair p = open_pair(len);
    assert_int_equal(send_frame(p.client, len, 1), 0);
    assert_int_equal(send_frame(p.server, len, 2), 0);
    assert_true(link_queued_bytes(p.client) > 0 && link_queued_bytes(p.server) > 0);
    assert_true(pump_until(p.client, p.server, both_have_a_frame));
    expect_frame(p.client, len, 2);
    expect_frame(p.server, len, 1);
    close_pair(&p);
}

static void queue_is_bounded(void **state) {
    struct pair p = open_pair(CAP);
    unsigned sent = 0, received = 0;
    size_t len;
    while (send_frame(p.client, CAP, sent) == 0) {
        sent++;
        link_pump(p.server); /* takes two frames and pauses */
        assert_true(sent < 100);
    }
    assert_int_equal(send_frame(p.client, 8, 0), ERR_AGAIN);
    assert_false(link_wants_read(p.server));
    while (received < sent) {
        while (link_next_frame(p.server, &len)) expect_frame(p.server, CAP, received++);
        link_pump(p.client);
        link_pump(p.server);
    }
    assert_true(link_can_send(p.client));
    close_pair(&p);
}

static void a_view_stays_while_more_arrives(void **state) {
    struct pair p = open_pair(CAP);
    size_t len;
    assert_int_equal(send_frame(p.client, 1000, 1), 0);
    while (!link_next_frame(p.server, &len)) link_pump(p.server);
    const uint8_t *view = link_next_frame(p.server, &len);
    uint8_t *expected = make_frame(1000, 1);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(send_frame(p.client, 20000, 2), 0);
        link_pump(p.server);
    }
    assert_memory_equal(view, expected, 1000);
    free(expected);
    close_pair(&p);
}

static void too_long_a_frame_closes(void **state) {
    struct secret_keyring ring = ring_of(1);
    int fds[2];
    tcp_pair(fds);
    struct pair p = {new_link(fds[0], LINK_CLIENT, &ring, 2 * CAP), new_link(fds[1], LINK_SERVER, &ring, CAP)};
    assert_true(pump_until(p.client, p.server, settled));
    assert_int_equal(send_frame(p.client, CAP + 1, 1), 0);
    assert_true(pump_until(p.client, p.server, any_closed));
    assert_int_equal(link_error(p.server)->code, ERR_LIMIT);
    close_pair(&p);
}

static void frames_before_the_end_are_kept(void **state) {
    struct pair p = open_pair(CAP);
    assert_int_equal(send_frame(p.client, 5000, 1), 0);
    link_free(p.client);
    while (link_pump(p.server) != LINK_CLOSED) continue;
    assert_int_equal(link_error(p.server)->code, ERR_CLOSED);
    expect_frame(p.server, 5000, 1);
    link_free(p.server);
}

static void another_secret_is_refused(void **state) {
    struct secret_keyring one = ring_of(1), two = ring_of(2);
    struct pair p = open_pair_with(&one, &two, CAP);
    assert_int_equal(link_state(p.client), LINK_CLOSED);
    assert_int_equal(link_state(p.server), LINK_CLOSED);
    assert_int_equal(link_error(p.client)->code, ERR_DENIED);
    assert_int_equal(link_error(p.server)->code, ERR_DENIED);
    assert_int_equal(send_frame(p.client, 8, 0), ERR_CLOSED);
    close_pair(&p);
}

/* The id is public: someone may know it without the key. */
static void the_right_id_with_a_wrong_key_is_refused(void **state) {
    struct secret_keyring right = ring_of(1), wrong = ring_of(1);
    memset(wrong.keys[0].psk, 7, sizeof wrong.keys[0].psk);
    struct pair p = open_pair_with(&wrong, &right, CAP);
    assert_int_equal(link_error(p.client)->code, ERR_DENIED);
    assert_int_equal(link_error(p.server)->code, ERR_DENIED);
    close_pair(&p);
    p = open_pair_with(&right, &wrong, CAP);
    assert_int_equal(link_state(p.client), LINK_CLOSED);
    close_pair(&p);
}

static void an_old_key_is_understood(void **state) {
    struct secret_keyring old = ring_of(1), both = ring_of(1);
    struct secret fresh;
    memset(fresh.bytes, 9, sizeof fresh.bytes);
    secret_keyring_rotate(&both, &fresh);
    struct pair p = open_pair_with(&old, &both, CAP);
    assert_int_equal(link_state(p.server), LINK_OPEN);
    assert_true(link_key_id(p.server) == old.keys[0].id && link_key_id(p.client) == old.keys[0].id);
    close_pair(&p);
    p = open_pair_with(&both, &both, CAP);
    assert_true(link_key_id(p.server) == both.keys[0].id);
    close_pair(&p);
}

static void link_pump_both(struct link *a, struct link *b) {
    link_pump(a);
    link_pump(b);
}

/* Move up to `limit` bytes from one raw socket to another, and keep a copy if wanted. */
static size_t relay(int from, int to, size_t limit, uint8_t *copy) {
    uint8_t buffer[65536];
    if (limit > sizeof buffer) limit = sizeof buffer;
    if (limit == 0) return 0;
    ssize_t got = recv(from, buffer, limit, MSG_DONTWAIT);
    if (got <= 0) return 0;
    if (copy) memcpy(copy, buffer, (size_t)got);
    assert_int_equal(send(to, buffer, (size_t)got, MSG_NOSIGNAL), got);
    return (size_t)got;
}

struct recording {
    uint8_t bytes[65536];
    size_t len;
};

/* A handshake with us in the middle, who let `limit` bytes of the client through. Returns whether the server opened. */
static bool handshake_through(size_t limit, struct recording *recording) {
    struct secret_keyring ring = ring_of(1);
    int left[2], right[2];
    tcp_pair(left);
    tcp_pair(right);
    struct link *client = new_link(left[0], LINK_CLIENT, &ring, CAP),
                *server = new_link(right[1], LINK_SERVER, &ring, CAP);
    size_t passed = 0;
    for (int idle = 0; idle < 3;) {
        link_pump_both(client, server);
        size_t moved = relay(left[1], right[0], limit - passed, recording ? recording->bytes + passed : NULL);
        passed += moved;
        idle = moved + relay(right[0], left[1], SIZE_MAX, NULL) ? 0 : idle + 1;
    }
    if (recording) recording->len = passed;
    bool open = link_state(server) == LINK_OPEN;
    close(right[0]); /* the end of a truncated handshake */
    if (!open) {
        while (link_pump(server) == LINK_HANDSHAKE) continue;
        size_t len;
        assert_int_equal(link_state(server), LINK_CLOSED);
        assert_null(link_next_frame(server, &len));
    }
    close(left[1]);
    link_free(client);
    link_free(server);
    return open;
}

static void a_truncated_handshake_never_opens(void **state) {
    struct recording recording;
    assert_true(handshake_through(sizeof recording.bytes, &recording));
    assert_true(recording.len > 200 && recording.len < 2000);
    for (size_t len = 0; len < recording.len; len++) assert_false(handshake_through(len, NULL));
    assert_true(handshake_through(recording.len, NULL));
}

/* Send raw bytes to a server and see it close without having opened. */
static void assert_bytes_refused(const uint8_t *bytes, size_t len) {
    struct secret_keyring ring = ring_of(1);
    int fds[2];
    size_t frame_len;
    tcp_pair(fds);
    struct link *server = new_link(fds[1], LINK_SERVER, &ring, CAP);
    assert_int_equal(send(fds[0], bytes, len, MSG_NOSIGNAL), len);
    shutdown(fds[0], SHUT_WR);
    while (link_pump(server) == LINK_HANDSHAKE) continue;
    assert_int_equal(link_state(server), LINK_CLOSED);
    assert_true(link_error(server)->code < 0);
    assert_null(link_next_frame(server, &frame_len));
    close(fds[0]);
    link_free(server);
}

static void a_replayed_handshake_never_opens(void **state) {
    struct recording recording;
    assert_true(handshake_through(sizeof recording.bytes, &recording));
    assert_bytes_refused(recording.bytes, recording.len);
}

static void garbage_never_opens(void **state) {
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct recording recording;
    uint64_t random = 42;
    assert_bytes_refused((const uint8_t *)http, sizeof http - 1);
    for (int round = 0; round < 200; round++) {
        uint8_t bytes[2000];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)prng_next(&random);
        assert_bytes_refused(bytes, 1 + prng_below(&random, sizeof bytes));
    }
    assert_true(handshake_through(sizeof recording.bytes, &recording));
    for (int round = 0; round < 300; round++) { /* a real handshake with one bit turned */
        struct recording bent = recording;
        bent.bytes[prng_below(&random, bent.len)] ^= (uint8_t)(1u << prng_below(&random, 8));
        assert_bytes_refused(bent.bytes, bent.len);
    }
}

/* Slow loris: the bytes of a real handshake, but one now and then. */
static void a_slow_peer_times_out(void **state) {
    struct secret_keyring ring = ring_of(1);
    struct recording recording;
    int fds[2];
    assert_true(handshake_through(sizeof recording.bytes, &recording));
    tcp_pair(fds);
    struct link *server = new_link(fds[1], LINK_SERVER, &ring, CAP);
    uint64_t deadline_ns = link_deadline_ns(server), left_ns = deadline_ns - clock_ns();
    assert_true(left_ns > 4900ull * MS && left_ns <= 5000ull * MS);
    for (size_t i = 0; link_pump(server) == LINK_HANDSHAKE; i++) {
        assert_true(clock_ns() < deadline_ns + 1000ull * MS);
        send(fds[0], recording.bytes + i, 1, MSG_NOSIGNAL);
        clock_sleep_ns(250 * MS);
    }
    assert_int_equal(link_error(server)->code, ERR_TIMEOUT);
    assert_true(link_deadline_ns(server) == UINT64_MAX);
    close(fds[0]);
    link_free(server);
}

static void a_refused_connection_closes(void **state) {
    struct secret_keyring ring = ring_of(1);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)!connect(fd, (struct sockaddr *)&address, sizeof address);
    struct link *l = new_link(fd, LINK_CLIENT, &ring, CAP);
    while (link_pump(l) == LINK_HANDSHAKE) continue;
    assert_int_equal(link_error(l)->code, ERR_IO);
    assert_non_null(strstr(link_error(l)->text, "refused"));
    link_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_all_sizes_arrive),
        cmocka_unit_test(parts_are_joined),
        cmocka_unit_test(a_burst_arrives_whole),
        cmocka_unit_test(big_frames_cross),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(a_view_stays_while_more_arrives),
        cmocka_unit_test(too_long_a_frame_closes),
        cmocka_unit_test(frames_before_the_end_are_kept),
        cmocka_unit_test(another_secret_is_refused),
        cmocka_unit_test(the_right_id_with_a_wrong_key_is_refused),
        cmocka_unit_test(an_old_key_is_understood),
        cmocka_unit_test(a_truncated_handshake_never_opens),
        cmocka_unit_test(a_replayed_handshake_never_opens),
        cmocka_unit_test(garbage_never_opens),
        cmocka_unit_test(a_slow_peer_times_out),
        cmocka_unit_test(a_refused_connection_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
