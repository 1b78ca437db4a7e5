/* The HTTP server over real sockets: what it refuses by itself, how it ends with clients that dawdle or leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http/http.h"
#include "os/clock.h"

static struct http_server *server;
static struct http_exchange *waiting; /* of /wait */
static atomic_int left, handled;

static void on_close(void *context) { atomic_fetch_add(&left, 1); }

/* /wait is answered never, or by the test; anything else at once, with its method and the length of its body. */
static void handle(void *context, struct http_exchange *x) {
    char reply[64];
    size_t len;
    (void)http_body(x, &len);
    atomic_fetch_add(&handled, 1);
    if (strcmp(http_path(x), "/wait") == 0) {
        waiting = x;
        http_on_close(x, on_close, NULL);
        return;
    }
    int n = snprintf(reply, sizeof reply, "%s %zu", http_method(x), len);
    http_reply(x, 200, "text/plain", reply, (size_t)n);
}

static bool check_key(void *context, const char *key, size_t len) { return len == 4 && memcmp(key, "good", 4) == 0; }

static void error_body(void *context, const char *path, int status, const char *message, char *body, size_t bytes) {
    snprintf(body, bytes, "{\"error\":\"%s\"}", message);
}

static const char *const origins[] = {"http://friend.example", NULL};

static void open_server(bool require_key, unsigned seconds) {
    struct error error = {0};
    struct http_options options = {.origins = origins,
                                   .require_key = require_key,
                                   .headers_s = seconds,
                                   .body_s = seconds,
                                   .check_key = check_key,
                                   .handle = handle,
                                   .error_body = error_body};
    left = handled = 0;
    waiting = NULL;
    assert_int_equal(http_open(&server, &options, &error), 0);
}

static int open_plain(void **state) {
    open_server(false, 0);
    return 0;
}

static int open_guarded(void **state) {
    open_server(true, 0);
    return 0;
}

static int open_impatient(void **state) {
    open_server(false, 1);
    return 0;
}

static int close_server(void **state) {
    http_close(server);
    return 0;
}

static int dial(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(http_port(server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (void *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the other side closes or nothing comes for a while. */
static const char *hear(int fd) {
    static char reply[65536];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof reply - 1 && (n = recv(fd, reply + len, sizeof reply - 1 - len, 0)) > 0) len += (size_t)n;
    reply[len] = '\0';
    close(fd);
    return reply;
}

#define CLOSE "Connection: close\r\n"

static const char *ask(const char *request) {
    int fd = dial();
    say(fd, request);
    return hear(fd);
}

static void assert_status(const char *reply, int status) {
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    if (strncmp(reply, line, strlen(line)) != 0) fail_msg("no %d but: %.200s", status, reply);
    assert_non_null(strstr(reply, "x-request-id: "));
}

static void a_body_arrives_whole(void **state) {
    assert_non_null(
        strstr(ask("POST /x HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Content-Length: 5\r\n\r\nhello"), "POST 5"));
    assert_non_null(strstr(ask("POST /x HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
                               "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
                           "POST 5"));
}

static void pipelined_requests_are_answered_in_turn(void **state) {
    const char *reply = ask("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n."
                            "POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n.."
                            "GET /health HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n");
    const char *first = strstr(reply, "POST 1"), *second = strstr(reply, "POST 2"), *third = strstr(reply, "\"ok\"");
    assert_true(first && second && third && first < second && second < third);
}

static void health_is_read_only(void **state) {
    assert_status(ask("GET /health HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n"), 200);
    const char *reply = ask("POST /health HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Content-Length: 0\r\n\r\n");
    assert_status(reply, 405);
    assert_non_null(strstr(reply, "Allow: GET, HEAD"));
}

static void hosts_and_origins_are_checked(void **state) {
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"Host: localhost\r\n", 200},
        {"Host: LOCALHOST:1\r\n", 200},
        {"Host: 127.0.0.1\r\n", 200},
        {"Host: [::1]:80\r\n", 200},
        {"Host: 127.0.0.1.evil.example\r\n", 403},
        {"Host: evil.example\r\n", 403},
        {"Host: 10.1.2.3\r\n", 403},
        {"Host: \r\n", 403},
        {"Host: localhost:5\r\nOrigin: http://localhost:5\r\n", 200},
        {"Host: localhost:5\r\nOrigin: https://localhost:5\r\n", 200},
        {"Host: 127.0.0.1:5\r\nOrigin: http://localhost:5\r\n", 200},
        {"Host: localhost:5\r\nOrigin: http://localhost:6\r\n", 403},
        {"Host: localhost:5\r\nOrigin: http://localhost\r\n", 403},
        {"Host: localhost:5\r\nOrigin: null\r\n", 403},
        {"Host: localhost:5\r\nOrigin: \r\n", 403},
        {"Host: localhost:5\r\nOrigin: file://localhost:5\r\n", 403},
        {"Host: localhost:5\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: localhost:5\r\nOrigin: http://friend.example\r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET /x HTTP/1.1\r\n%s" CLOSE "\r\n", cases[i].headers);
        assert_status(ask(request), cases[i].status);
    }
    assert_status(ask("GET /x HTTP/1.0\r\n\r\n"), 403); /* no Host at all */
}

static void a_listed_origin_may_read(void **state) {
    const char *reply = ask("OPTIONS /x HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Origin: http://friend.example\r\n"
                            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-mine\r\n\r\n");
    assert_status(reply, 204);
    assert_non_null(strstr(reply, "Access-Control-Allow-Origin: http://friend.example"));
    assert_non_null(strstr(reply, "Access-Control-Allow-Headers: x-mine"));
    assert_non_null(strstr(reply, "Allow: GET"));
    reply = ask("GET /x HTTP/1.1\r\nHost: localhost:5\r\n" CLOSE "Origin: http://localhost:5\r\n\r\n");
    assert_null(strstr(reply, "Access-Control-Allow-Origin"));
}

static void a_key_is_needed_but_for_health(void **state) {
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"GET /x HTTP/1.1\r\n", 401},
        {"GET /health HTTP/1.1\r\n", 200},
        {"GET /health/ HTTP/1.1\r\n", 401},
        {"GET /x HTTP/1.1\r\nAuthorization: Bearer good\r\n", 200},
        {"GET /x HTTP/1.1\r\nAuthorization: bearer good\r\n", 200},
        {"GET /x HTTP/1.1\r\nAuthorization: Bearer bad\r\n", 401},
        {"GET /x HTTP/1.1\r\nAuthorization: good\r\n", 401},
        {"GET /x HTTP/1.1\r\nx-api-key: good\r\n", 200},
        {"OPTIONS /x HTTP/1.1\r\n", 401},
        {"OPTIONS /x HTTP/1.1\r\nOrigin: http://friend.example\r\nAccess-Control-Request-Method: GET\r\n", 204},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[256];
        snprintf(request, sizeof request, "%sHost: localhost\r\n" CLOSE "\r\n", cases[i].line);
        assert_status(ask(request), cases[i].status);
    }
    assert_int_equal(handled, 3);
}

/* The client sends all of a body that is refused and then reads why. */
static void a_refusal_of_a_long_body_can_be_read(void **state) {
    static char block[1 << 20];
    int fd = dial();
    say(fd, "POST /x HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Content-Length: 104857600\r\n\r\n");
    for (int i = 0; i < 100; i++) assert_int_equal(send(fd, block, sizeof block, MSG_NOSIGNAL), sizeof block);
    assert_status(hear(fd), 413);
    fd = dial();
    say(fd, "POST /x HTTP/1.1\r\nHost: localhost\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++) {
        say(fd, "100000\r\n");
        assert_int_equal(send(fd, block, sizeof block, MSG_NOSIGNAL), sizeof block);
        say(fd, "\r\n");
    }
    say(fd, "0\r\n\r\n");
    assert_status(hear(fd), 413);
    assert_int_equal(handled, 0);
}

static void who_asks_first_is_told_first(void **state) {
    assert_status(
        ask("POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 104857600\r\n\r\n"), 413);
    assert_status(ask("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n"), 413);
}

static void wait_for(atomic_int *count, int value) {
    for (int i = 0; i < 500 && atomic_load(count) < value; i++) clock_sleep_ns(10000000);
    assert_int_equal(atomic_load(count), value);
}

static void who_leaves_while_waiting_is_noticed(void **state) {
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&handled, 1);
    assert_int_equal(left, 0);
    close(fd);
    wait_for(&left, 1);
    http_reply(waiting, 200, "text/plain", "late", 4);
}

static void who_leaves_a_stream_is_noticed(void **state) {
    char piece[64];
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&handled, 1);
    http_stream_begin(waiting, "text/event-stream");
    assert_int_equal(http_stream_write(waiting, "first", 5), 0);
    assert_true(recv(fd, piece, sizeof piece, 0) > 0);
    close(fd);
    wait_for(&left, 1);
    assert_int_equal(http_stream_write(waiting, "second", 6), ERR_CLOSED);
    http_stream_end(waiting);
}

static void who_does_not_read_is_dropped(void **state) {
    static char block[64 << 10];
    int fd = dial(), rc = 0;
    say(fd, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wait_for(&handled, 1);
    http_stream_begin(waiting, "text/event-stream");
    for (int i = 0; i < 1000 && rc == 0; i++) rc = http_stream_write(waiting, block, sizeof block);
    assert_int_equal(rc, ERR_CLOSED);
    http_stream_end(waiting);
    close(fd);
}

/* A byte now and then is no request: the connection ends at its deadline. */
static void dawdlers_are_shown_out(void **state) {
    static const char *const openings[] = {"", "GET /x HTTP/1.1\r\nHost: localhost\r\n",
                                           "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"};
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        int fd = dial(), sent = 0;
        char byte;
        say(fd, openings[i]);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        uint64_t begin = clock_ns();
        while (recv(fd, &byte, 1, 0) != 0 && sent < 100) {
            clock_sleep_ns(50000000);
            sent += send(fd, "x", 1, MSG_NOSIGNAL) == 1;
        }
        assert_in_range(clock_ns() - begin, 900000000, 2500000000);
        close(fd);
    }
    assert_int_equal(handled, 0);
}

static void who_waits_for_an_answer_is_not_hurried(void **state) {
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n");
    wait_for(&handled, 1);
    clock_sleep_ns(1500000000);
    assert_int_equal(left, 0);
    http_reply(waiting, 200, "text/plain", "done", 4);
    assert_non_null(strstr(hear(fd), "done"));
}

static void a_thousand_idle_connections_are_no_burden(void **state) {
    enum { COUNT = 1000 };
    static int idle[COUNT];
    for (int i = 0; i < COUNT; i++) idle[i] = dial();
    uint64_t begin = clock_ns();
    assert_status(ask("GET /health HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n"), 200);
    assert_true(clock_ns() - begin < 500000000);
    for (int i = 0; i < COUNT; i++) close(idle[i]);
}

static int raise_file_limit(void **state) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return 0;
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, open_plain, close_server)

int main(void) {
    const struct CMUnitTest tests[] = {
        PLAIN(a_body_arrives_whole),
        PLAIN(pipelined_requests_are_answered_in_turn),
        PLAIN(health_is_read_only),
        PLAIN(hosts_and_origins_are_checked),
        PLAIN(a_listed_origin_may_read),
        cmocka_unit_test_setup_teardown(a_key_is_needed_but_for_health, open_guarded, close_server),
        PLAIN(a_refusal_of_a_long_body_can_be_read),
        PLAIN(who_asks_first_is_told_first),
        PLAIN(who_leaves_while_waiting_is_noticed),
        PLAIN(who_leaves_a_stream_is_noticed),
        PLAIN(who_does_not_read_is_dropped),
        cmocka_unit_test_setup_teardown(dawdlers_are_shown_out, open_impatient, close_server),
        cmocka_unit_test_setup_teardown(who_waits_for_an_answer_is_not_hurried, open_impatient, close_server),
        PLAIN(a_thousand_idle_connections_are_no_burden),
    };
    return cmocka_run_group_tests(tests, raise_file_limit, NULL);
}
