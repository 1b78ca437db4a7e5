/* A load for any server of OpenAI's chat completions: many streams at once from one thread, and what each of them saw.
 *
 *   serve_load ADDRESS PORT BODIES STREAMS REQUESTS IDLE
 *
 * BODIES holds a request's JSON in each line, which must ask for a stream; they are used in turn. STREAMS connections
 * have REQUESTS answered between them, one after the other on each, beside IDLE connections that say nothing. Prints
 * one JSON object: rates, and milliseconds to the first token, from piece to piece and of whole requests. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 1 << 16, EVENTS = 256, LINE_BYTES = 1 << 20, WAIT_MS = 120000 };

struct times {
    double *ms;
    size_t count, room;
};

struct stream {
    int fd;
    double sent_ms, first_ms, last_ms; /* first, last: 0 before there is a piece */
    char reply[REPLY_BYTES];           /* from the last whole line on */
    size_t len;
    bool failed;
};

struct load {
    struct sockaddr_in to;
    char **bodies;
    size_t body_count, next, finished, failed, requests, pieces;
    struct times first, gaps, whole;
    int epoll;
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void note(struct times *t, double ms) {
    if (t->count == t->room) t->ms = realloc(t->ms, (t->room = 2 * t->room + 64) * sizeof *t->ms);
    assert(t->ms != NULL);
    t->ms[t->count++] = ms;
}

static int open_connection(const struct load *l) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const void *)&l->to, sizeof l->to) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* A connection of its own for each request, as most clients have it. */
static void ask(struct load *l, struct stream *s) {
    const char *body = l->bodies[l->next++ % l->body_count];
    char head[256];
    int head_len = snprintf(head, sizeof head,
                            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                            "Content-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                            strlen(body));
    *s = (struct stream){.fd = open_connection(l), .sent_ms = now_ms()};
    if (write(s->fd, head, (size_t)head_len) < 0 || write(s->fd, body, strlen(body)) < 0) s->failed = true;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &event);
}

/* A line of the stream: a piece of text is one with content in it. */
static void take_line(struct load *l, struct stream *s, const char *line) {
    if (strstr(line, "HTTP/1.1") && !strstr(line, " 200 ")) s->failed = true;
    const char *content = strstr(line, "\"content\":\"");
    if (content == NULL || content[11] == '"') return;
    double now = now_ms();
    l->pieces++;
    if (s->first_ms > 0)
        note(&l->gaps, now - s->last_ms);
    else
        note(&l->first, (s->first_ms = now) - s->sent_ms);
    s->last_ms = now;
}

static void take_lines(struct load *l, struct stream *s) {
    char *at = s->reply, *end;
    s->reply[s->len] = '\0';
    while ((end = strchr(at, '\n')) != NULL) {
        *end = '\0';
        take_line(l, s, at);
        at = end + 1;
    }
    s->len -= (size_t)(at - s->reply);
    memmove(s->reply, at, s->len);
}

static void read_some(struct load *l, struct stream *s) {
    ssize_t n = read(s->fd, s->reply + s->len, sizeof s->reply - s->len - 1);
    if (n > 0) {
        s->len += (size_t)n;
        take_lines(l, s);
        return;
    }
    close(s->fd);
    note(&l->whole, now_ms() - s->sent_ms);
    l->finished++;
    if (s->failed || s->first_ms <= 0) l->failed++;
    if (l->next < l->requests) ask(l, s);
}

static void run(struct load *l) {
    struct epoll_event events[EVENTS];
    while (l->finished < l->requests) {
        int count = epoll_wait(l->epoll, events, EVENTS, WAIT_MS);
        if (count <= 0) {
            fprintf(stderr, "serve_load: nothing came for %d s\n", WAIT_MS / 1000);
            exit(1);
        }
        for (int i = 0; i < count; i++) read_some(l, events[i].data.ptr);
    }
}

/* ---- telling ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double part(const struct times *t, double of) {
    return t->count ? t->ms[(size_t)(of * (double)(t->count - 1) + 0.5)] : 0;
}

static void tell(const char *name, struct times *t) {
    qsort(t->ms, t->count, sizeof *t->ms, compare);
    printf(", \"%s\": {\"median\": %.3f, \"p95\": %.3f, \"p99\": %.3f, \"max\": %.3f}", name, part(t, 0.5),
           part(t, 0.95), part(t, 0.99), part(t, 1));
}

static void read_bodies(struct load *l, const char *path) {
    static char line[LINE_BYTES];
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        l->bodies = realloc(l->bodies, (l->body_count + 1) * sizeof *l->bodies);
        l->bodies[l->body_count++] = strdup(line);
    }
    fclose(f);
    assert(l->body_count > 0);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: serve_load ADDRESS PORT BODIES STREAMS REQUESTS IDLE\n");
        return 2;
    }
    static struct load l;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    l.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &l.to.sin_addr);
    read_bodies(&l, argv[3]);
    size_t streams = strtoul(argv[4], NULL, 10), idle = strtoul(argv[6], NULL, 10);
    l.requests = strtoul(argv[5], NULL, 10);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct stream *list = calloc(streams, sizeof *list);
    assert(list != NULL && l.epoll >= 0);
    for (size_t i = 0; i < idle; i++) open_connection(&l); /* the end closes them */
    double begin = now_ms();
    for (size_t i = 0; i < streams && l.next < l.requests; i++) ask(&l, &list[i]);
    run(&l);
    double seconds = (now_ms() - begin) / 1e3;
    printf("{\"requests\": %zu, \"failed\": %zu, \"pieces\": %zu, \"seconds\": %.3f, \"pieces_per_s\": %.1f",
           l.finished, l.failed, l.pieces, seconds, (double)l.pieces / seconds);
    tell("first_ms", &l.first);
    tell("gap_ms", &l.gaps);
    tell("whole_ms", &l.whole);
    printf("}\n");
    return l.failed > 0;
}
