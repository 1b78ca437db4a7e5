#include "node/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/write.h"

enum { TIME_BYTES = 40 };

int access_log_open(const char *path, int *fd, struct error *error) {
    bool standard = strcmp(path, "-") == 0;
    *fd = standard ? dup(STDERR_FILENO) : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return *fd >= 0 ? 0 : error_set(error, ERR_IO, "cannot write the access log %s: %s", path, strerror(errno));
}

/* "2026-11-26T02:15:08.123Z" */
static void utc_now(char out[TIME_BYTES]) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(out, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, TIME_BYTES - len, ".%03ldZ", now.tv_nsec / 1000000);
}

static json_t *line_of(const struct http_account *a) {
    char now[TIME_BYTES];
    utc_now(now);
    json_t *line = json_pack("{s:s, s:o, s:s, s:o, s:s, s:i, s:I, s:f}", "time", now, "request_id", write_string(a->id),
                             "method", a->method, "path", write_string(a->path), "remote", a->remote, "status",
                             a->status, "bytes", (json_int_t)a->bytes, "duration_s", (double)a->took_us / 1e6);
    if (a->model[0] == '\0') return line;
    json_object_set_new(line, "model", write_string(a->model));
    json_object_set_new(line, "prompt_tokens", json_integer(a->prompt_tokens));
    json_object_set_new(line, "completion_tokens", json_integer(a->completion_tokens));
    return line;
}

void access_log_write(int fd, const struct http_account *account) {
    struct text out = {0};
    write_line(&out, line_of(account));
    ssize_t written = write(fd, text_str(&out), out.len); /* a full disk does not stop anybody's answer */
    (void)written;
    text_deinit(&out);
}

void access_log_close(int fd) {
    if (fd >= 0) close(fd);
}
