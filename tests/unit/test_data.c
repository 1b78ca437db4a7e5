/* Data links between threads: waiting, waking, and rings in which everybody sends at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/data.h"
#include "os/clock.h"
#include "os/thread.h"
#include "tcp_pair.h"

enum { CAP = 64 << 20, MS = 1000000, NODES = 3 };

static void open_pair(struct data_link *client, struct data_link *server) {
    struct secret s = {{7}};
    struct secret_keyring keys = {0};
    int fds[2];
    secret_keyring_rotate(&keys, &s);
    tcp_pair(fds);
    *client = *server = (struct data_link){0};
    assert_int_equal(link_new(&client->link, fds[0], LINK_CLIENT, &keys, CAP, NULL), 0);
    assert_int_equal(link_new(&server->link, fds[1], LINK_SERVER, &keys, CAP, NULL), 0);
    while (link_state(client->link) != LINK_OPEN || link_state(server->link) != LINK_OPEN) {
        link_pump(client->link);
        link_pump(server->link);
        assert_true(link_state(client->link) != LINK_CLOSED && link_state(server->link) != LINK_CLOSED);
    }
}

static int send_filled(struct data_link *const *links, unsigned count, unsigned to, size_t len, uint8_t value) {
    uint8_t header[LINK_HEADER_BYTES] = {0}, *payload = malloc(len);
    struct bytes_writer w = bytes_writer(header, sizeof header);
    bytes_put_u32(&w, (uint32_t)len);
    memset(payload, value, len);
    struct iovec parts[] = {{header, sizeof header}, {payload, len}};
    int rc = data_send(links, count, to, parts, 2, -1, 5000);
    free(payload);
    return rc;
}

static void a_wait_ends_in_time(void **state) {
    struct data_link a, b, *list = &b;
    open_pair(&a, &b);
    uint64_t begin_ns = clock_ns();
    assert_int_equal(data_wait(&list, 1, -1, begin_ns + 20 * MS), ERR_TIMEOUT);
    assert_true(clock_ns() >= begin_ns + 20 * MS);
    link_free(a.link);
    assert_int_equal(data_wait(&list, 1, -1, UINT64_MAX), 0);
    assert_int_equal(link_state(b.link), LINK_CLOSED);
    link_free(b.link);
}

static void a_wait_can_be_woken(void **state) {
    struct data_link a, b, *list = &b, *other = &a;
    uint64_t one = 1;
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    open_pair(&a, &b);
    assert_int_equal(write(wake_fd, &one, sizeof one), sizeof one);
    assert_int_equal(data_wait(&list, 1, wake_fd, UINT64_MAX), ERR_CANCELLED);
    assert_int_equal(send_filled(&other, 1, 0, 100, 1), 0);
    uint64_t end_ns = clock_ns() + 1000ull * MS; /* a frame goes before a wake-up */
    int rc;
    do rc = data_wait(&list, 1, wake_fd, UINT64_MAX);
    while (rc == ERR_CANCELLED && clock_ns() < end_ns);
    assert_int_equal(rc, 0);
    close(wake_fd);
    link_free(a.link);
    link_free(b.link);
}

static void the_right_link_is_named(void **state) {
    struct data_link a[2], b[2], *list[] = {&b[0], &b[1]}, *other = &a[1];
    size_t len;
    open_pair(&a[0], &b[0]);
    open_pair(&a[1], &b[1]);
    assert_int_equal(send_filled(&other, 1, 0, 5000, 3), 0);
    assert_int_equal(data_wait(list, 2, -1, UINT64_MAX), 1);
    assert_int_equal(link_next_frame(b[1].link, &len)[LINK_HEADER_BYTES], 3);
    for (int i = 0; i < 2; i++) {
        link_free(a[i].link);
        link_free(b[i].link);
    }
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void send_regularly(void *context) {
    struct data_link *d = context;
    for (int i = 0; i < 50; i++) {
        clock_sleep_ns(10 * MS);
        if (send_filled(&d, 1, 0, 2304, (uint8_t)i) < 0) return;
    }
}

static void waiting_costs_little(void **state) {
    struct data_link a, b, *list = &b;
    struct thread sender;
    size_t len;
    open_pair(&a, &b);
    double cpu_begin = cpu_seconds();
    assert_int_equal(thread_start(&sender, "sender", send_regularly, &a), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(data_wait(&list, 1, -1, UINT64_MAX), 0);
        assert_int_equal(link_next_frame(b.link, &len)[LINK_HEADER_BYTES], i);
        link_frame_done(b.link);
    }
    thread_join(&sender);
    assert_true(cpu_seconds() - cpu_begin < 0.05); /* of half a second; spinning all the time would be ten times that */
    assert_true(b.mean_ns > 5 * MS && b.mean_ns < 100ull * MS);
    link_free(a.link);
    link_free(b.link);
}

struct node {
    struct data_link previous, next;
    struct thread thread;
    int rc;
};

/* Send more than the sockets hold to the next, then take what the previous one sent. */
static void pass_on(void *context) {
    struct node *n = context;
    struct data_link *list[] = {&n->previous, &n->next};
    size_t len;
    n->rc = send_filled(list, 2, 1, CAP - LINK_HEADER_BYTES, 5);
    if (n->rc < 0) return;
    n->rc = data_wait(list, 2, -1, clock_ns() + 5000ull * MS);
    const uint8_t *frame = link_next_frame(n->previous.link, &len);
    if (n->rc == 0 && (!frame || len != CAP || frame[CAP - 1] != 5)) n->rc = ERR_INVALID;
}

static void a_ring_that_sends_at_once_does_not_block(void **state) {
    static struct node nodes[NODES];
    for (int i = 0; i < NODES; i++) open_pair(&nodes[i].next, &nodes[(i + 1) % NODES].previous);
    for (int i = 0; i < NODES; i++) assert_int_equal(thread_start(&nodes[i].thread, "node", pass_on, &nodes[i]), 0);
    for (int i = 0; i < NODES; i++) thread_join(&nodes[i].thread);
    for (int i = 0; i < NODES; i++) assert_int_equal(nodes[i].rc, 0);
    for (int i = 0; i < NODES; i++) {
        link_free(nodes[i].next.link);
        link_free(nodes[i].previous.link);
    }
}

static void a_peer_that_does_not_read_is_given_up(void **state) {
    struct data_link a, b, *list = &a;
    static uint8_t header[LINK_HEADER_BYTES];
    open_pair(&a, &b);
    struct bytes_writer w = bytes_writer(header, sizeof header);
    bytes_put_u32(&w, 30 << 20);
    uint8_t *payload = calloc(1, 30 << 20);
    struct iovec parts[] = {{header, sizeof header}, {payload, 30 << 20}};
    assert_int_equal(data_send(&list, 1, 0, parts, 2, -1, 50), ERR_TIMEOUT);
    uint64_t one = 1;
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(write(stop_fd, &one, sizeof one), sizeof one);
    assert_int_equal(data_send(&list, 1, 0, parts, 2, stop_fd, 5000), ERR_CANCELLED);
    close(stop_fd);
    free(payload);
    link_free(a.link);
    link_free(b.link);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_in_time),
        cmocka_unit_test(a_wait_can_be_woken),
        cmocka_unit_test(the_right_link_is_named),
        cmocka_unit_test(waiting_costs_little),
        cmocka_unit_test(a_ring_that_sends_at_once_does_not_block),
        cmocka_unit_test(a_peer_that_does_not_read_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
