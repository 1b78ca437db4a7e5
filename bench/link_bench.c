/* One-way latency of a frame from one thread to another over loopback: an encrypted data link beside plain TCP.
 *
 * link_bench [ROUNDS]: the sender waits a fixed time between frames, as a stage that computes does. "busy": it computes
 * meanwhile; the receiver follows the wait rule. Raw TCP is read by a receiver that sleeps in poll, and by one that
 * spins. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/data.h"
#include "net/link.h"
#include "os/clock.h"
#include "os/thread.h"

enum { FRAME_BYTES_MAX = 1 << 20, ROUNDS_MAX = 100000 };

enum method { RAW_SLEEP, RAW_SPIN, LINK };
static const char *const method_names[] = {"tcp, sleeping", "tcp, spinning", "link"};

struct run {
    enum method method;
    size_t bytes;
    uint64_t gap_ns;
    unsigned rounds;
    int fds[2];
    uint64_t *latency_ns;
    double cpu; /* of the receiver: part of the time */
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void tcp_pair(int fds[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(door, (struct sockaddr *)&address, len) < 0 || listen(door, 1) < 0) die("listen");
    getsockname(door, (struct sockaddr *)&address, &len);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fds[0], (struct sockaddr *)&address, len) < 0) die("connect");
    fds[1] = accept(door, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    close(door);
}

static struct link *open_link(int fd, enum link_role role) {
    struct secret s = {{1, 2, 3}};
    struct secret_keyring keys = {0};
    struct link *l;
    secret_keyring_rotate(&keys, &s);
    if (link_new(&l, fd, role, &keys, FRAME_BYTES_MAX, NULL) < 0) die("link");
    while (link_pump(l) == LINK_HANDSHAKE) continue;
    if (link_state(l) != LINK_OPEN) die(link_error(l)->text);
    return l;
}

static void send_raw(int fd, const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
}

static void receive_raw(int fd, uint8_t *data, size_t len, bool sleeping) {
    while (len > 0) {
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        if (sleeping) poll(&watched, 1, -1);
        ssize_t got = recv(fd, data, len, 0);
        if (got > 0) {
            data += got;
            len -= (size_t)got;
        }
    }
}

/* Frame: header, time of sending, filling. */
static void send_all(void *context) {
    struct run *r = context;
    static uint8_t frame[FRAME_BYTES_MAX];
    struct data_link d = {.link = r->method == LINK ? open_link(r->fds[0], LINK_CLIENT) : NULL}, *list = &d;
    uint64_t next_ns = clock_ns() + 1000000;
    for (unsigned i = 0; i < r->rounds; i++) {
        while (clock_ns() < next_ns) continue; /* computing */
        struct bytes_writer w = bytes_writer(frame, r->bytes);
        bytes_put_u32(&w, (uint32_t)(r->bytes - LINK_HEADER_BYTES));
        bytes_put_u32(&w, i);
        uint64_t now_ns = clock_ns();
        bytes_put_u64(&w, now_ns);
        struct iovec parts[] = {{frame, 64}, {frame + 64, r->bytes - 64}};
        if (r->method != LINK)
            send_raw(r->fds[0], frame, r->bytes);
        else if (data_send(&list, 1, 0, parts, 2, -1, 1000) < 0)
            die("data_send");
        next_ns = now_ns + r->gap_ns;
    }
    if (r->method != LINK) return;
    while (link_pump(d.link) != LINK_CLOSED) clock_sleep_ns(1000000);
    link_free(d.link);
}

static const uint8_t *next_frame(struct run *r, struct data_link *d, uint8_t *buffer) {
    size_t len;
    if (r->method != LINK) {
        receive_raw(r->fds[1], buffer, r->bytes, r->method == RAW_SLEEP);
        return buffer;
    }
    if (data_wait(&d, 1, -1, UINT64_MAX) != 0 || link_state(d->link) == LINK_CLOSED) die("data_wait");
    return link_next_frame(d->link, &len);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void receive_all(struct run *r) {
    static uint8_t buffer[FRAME_BYTES_MAX];
    struct data_link d = {.link = r->method == LINK ? open_link(r->fds[1], LINK_SERVER) : NULL};
    double cpu_begin = cpu_seconds();
    uint64_t begin_ns = clock_ns();
    for (unsigned i = 0; i < r->rounds; i++) {
        const uint8_t *frame = next_frame(r, &d, buffer);
        struct bytes_reader reader = bytes_reader(frame + LINK_HEADER_BYTES, 8);
        r->latency_ns[i] = clock_ns() - bytes_u64(&reader);
        if (d.link) link_frame_done(d.link);
    }
    r->cpu = (cpu_seconds() - cpu_begin) / (1e-9 * (double)(clock_ns() - begin_ns));
    link_free(d.link);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure(struct run *r) {
    struct thread sender;
    tcp_pair(r->fds);
    if (thread_start(&sender, "sender", send_all, r) < 0) die("thread");
    receive_all(r);
    thread_join(&sender);
    if (r->method != LINK) {
        close(r->fds[0]);
        close(r->fds[1]);
    }
    qsort(r->latency_ns, r->rounds, sizeof r->latency_ns[0], compare);
    printf("%-14s %6zu B  every %5.0f us  median %6.1f us  p90 %6.1f us  p99 %7.1f us  receiver's CPU %3.0f %%\n",
           method_names[r->method], r->bytes, 1e-3 * (double)r->gap_ns, 1e-3 * (double)r->latency_ns[r->rounds / 2],
           1e-3 * (double)r->latency_ns[r->rounds * 9 / 10], 1e-3 * (double)r->latency_ns[r->rounds * 99 / 100],
           100 * r->cpu);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {2368, 8256, 16448};
    static const uint64_t gaps_ns[] = {200000, 2000000, 10000000};
    int rounds = argc > 1 ? atoi(argv[1]) : 300;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: link_bench [ROUNDS]   1 to %d\n", ROUNDS_MAX);
        return 2;
    }
    struct run r = {.rounds = (unsigned)rounds, .latency_ns = calloc((size_t)rounds, sizeof(uint64_t))};
    for (size_t g = 0; g < 3; g++)
        for (size_t s = 0; s < 3; s++)
            for (r.method = RAW_SLEEP; r.method <= LINK; r.method++) {
                r.gap_ns = gaps_ns[g];
                r.bytes = sizes[s];
                measure(&r);
            }
    free(r.latency_ns);
    return 0;
}
