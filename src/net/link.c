#include "net/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/tls.h"
#include "os/clock.h"
#include "wire/store.h"

enum {
    READS_PER_PUMP = 64,            /* of up to TLS_IN_BYTES each */
    FRAME_CAPACITY_MIN = 16 * 1024, /* so that a buffer fits the next frame too */
    SPARE_BYTES_MAX = WIRE_STORE_CHUNK_BYTES_MAX + WIRE_STORE_HEAD_BYTES_MAX,
    FLUSH_BYTES = 128 << 10, /* of a long frame leave before the rest of it is encrypted */
};

struct frame {
    struct frame *next;
    size_t len, filled, capacity;
    uint8_t bytes[];
};

struct link {
    int fd;
    enum link_state state;
    struct error error; /* of the end */
    uint64_t deadline_ns;
    size_t frame_bytes_max;
    struct tls tls;
    uint8_t header[LINK_HEADER_BYTES]; /* of the frame that comes next */
    size_t header_filled;
    struct frame *filling;      /* NULL: between frames or inside a header */
    struct frame *first, *last; /* whole frames, oldest first */
    size_t waiting_bytes;       /* of these */
    struct frame *spare;        /* a used buffer for the next frame */
    bool paused;                /* stopped reading because too much is waiting */
    struct link_counters counters;
};

static void set_closed(struct link *l, int code, const char *text) {
    if (l->error.code == 0) error_set(&l->error, code, "%s", text);
    l->state = LINK_CLOSED;
    l->deadline_ns = UINT64_MAX;
}

/* The kernel hears nothing from the other host: what was sent is not acknowledged, or an idle peer does not answer. */
static void notice_dead_peer(int fd) {
    int one = 1, unacknowledged_ms = 3000, idle_s = 2, interval_s = 1, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int link_new(struct link **out, int fd, enum link_role role, const struct secret_keyring *keys, size_t frame_bytes_max,
             struct error *error) {
    assert(frame_bytes_max >= LINK_HEADER_BYTES);
    struct link *l = calloc(1, sizeof *l);
    if (!l) return error_set(error, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    int rc = tls_init(&l->tls, role == LINK_CLIENT, keys, error);
    if (rc < 0) {
        free(l);
        return rc;
    }
    /* Buffers are left to the kernel: setting them would switch off their growth. */
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    notice_dead_peer(fd);
    l->fd = fd;
    l->frame_bytes_max = frame_bytes_max;
    l->deadline_ns = clock_ns() + (uint64_t)LINK_HANDSHAKE_MS * 1000000;
    *out = l;
    return 0;
}

void link_free(struct link *l) {
    if (!l) return;
    while (l->first) {
        struct frame *next = l->first->next;
        free(l->first);
        l->first = next;
    }
    free(l->filling);
    free(l->spare);
    tls_deinit(&l->tls);
    close(l->fd);
    free(l);
}

int link_fd(const struct link *l) { return l->fd; }
enum link_state link_state(const struct link *l) { return l->state; }
const struct error *link_error(const struct link *l) { return &l->error; }
uint64_t link_key_id(const struct link *l) { return l->state == LINK_HANDSHAKE ? 0 : l->tls.key_id; }
uint64_t link_deadline_ns(const struct link *l) { return l->deadline_ns; }
const struct link_counters *link_counters(const struct link *l) { return &l->counters; }
size_t link_queued_bytes(const struct link *l) { return l->tls.out_end - l->tls.out_begin; }
bool link_wants_write(const struct link *l) { return l->state != LINK_CLOSED && link_queued_bytes(l) > 0; }
bool link_wants_read(const struct link *l) { return l->state != LINK_CLOSED && !l->paused; }
bool link_can_send(const struct link *l) { return l->state == LINK_OPEN && link_queued_bytes(l) < l->frame_bytes_max; }

static void flush(struct link *l) {
    while (link_queued_bytes(l) > 0) {
        ssize_t sent = send(l->fd, l->tls.out + l->tls.out_begin, link_queued_bytes(l), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (sent < 0) {
            set_closed(l, errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_IO, strerror(errno));
            return;
        }
        tls_out_taken(&l->tls, (size_t)sent);
    }
}

/* One read of the socket. False when nothing more will come from it now. */
static bool fill(struct link *l) {
    size_t room;
    uint8_t *at = tls_in_room(&l->tls, &room);
    if (room == 0) return false;
    ssize_t got;
    do got = recv(l->fd, at, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        l->tls.in_end += (size_t)got;
        return true;
    }
    if (got == 0) l->tls.in_ended = true;
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        set_closed(l, errno == ECONNRESET ? ERR_CLOSED : ERR_IO, strerror(errno));
    return false;
}

static void handshake(struct link *l) {
    int rc = tls_handshake(&l->tls, &l->error);
    if (rc == ERR_AGAIN) return;
    if (rc < 0) {
        flush(l); /* the alert */
        set_closed(l, rc, error_text(rc));
        return;
    }
    l->state = LINK_OPEN;
    l->deadline_ns = UINT64_MAX;
}

static struct frame *new_frame(struct link *l, size_t len) {
    struct frame *f = l->spare;
    l->spare = NULL;
    if (!f || f->capacity < len) {
        free(f);
        size_t capacity = len < FRAME_CAPACITY_MIN ? FRAME_CAPACITY_MIN : len;
        f = malloc(sizeof *f + capacity);
        if (!f) return NULL;
        f->capacity = capacity;
    }
    f->next = NULL;
    f->len = len;
    f->filled = LINK_HEADER_BYTES;
    memcpy(f->bytes, l->header, LINK_HEADER_BYTES);
    return f;
}

static int begin_frame(struct link *l) {
    struct bytes_reader reader = bytes_reader(l->header, sizeof l->header);
    size_t len = (size_t)bytes_u32(&reader) + LINK_HEADER_BYTES;
    if (len > l->frame_bytes_max)
        return error_set(&l->error, ERR_LIMIT, "a frame of %zu bytes, at most %zu are allowed", len,
                         l->frame_bytes_max);
    l->filling = new_frame(l, len);
    l->header_filled = 0;
    return l->filling ? 0 : error_set(&l->error, ERR_NOMEM, "no memory for a frame of %zu bytes", len);
}

static void end_frame(struct link *l) {
    struct frame *f = l->filling;
    l->filling = NULL;
    if (l->last)
        l->last->next = f;
    else
        l->first = f;
    l->last = f;
    l->waiting_bytes += f->len;
    l->counters.frames_received++;
    l->counters.bytes_received += f->len;
}

/* Decrypt straight into the header or the frame that comes next. */
static int take_bytes(struct link *l) {
    size_t got;
    struct frame *f = l->filling;
    uint8_t *at = f ? f->bytes + f->filled : l->header + l->header_filled;
    size_t need = f ? f->len - f->filled : LINK_HEADER_BYTES - l->header_filled;
    int rc = tls_decrypt(&l->tls, at, need, &got, &l->error);
    if (rc < 0) return rc;
    if (f)
        f->filled += got;
    else if ((l->header_filled += got) == LINK_HEADER_BYTES)
        rc = begin_frame(l);
    if (rc == 0 && l->filling && l->filling->filled == l->filling->len) end_frame(l);
    return rc;
}

static void take_frames(struct link *l) {
    int rc = 0;
    while (rc == 0 && l->waiting_bytes < 2 * l->frame_bytes_max) rc = take_bytes(l);
    l->paused = rc == 0;
    if (rc < 0 && rc != ERR_AGAIN) set_closed(l, rc, error_text(rc));
}

enum link_state link_pump(struct link *l) {
    for (unsigned reads = 0; reads < READS_PER_PUMP && l->state != LINK_CLOSED && !l->paused; reads++) {
        bool more = fill(l);
        if (l->state == LINK_HANDSHAKE) handshake(l);
        if (l->state == LINK_OPEN) take_frames(l);
        if (!more) break;
    }
    if (l->state != LINK_CLOSED) flush(l);
    if (l->state == LINK_HANDSHAKE && clock_ns() >= l->deadline_ns)
        set_closed(l, ERR_TIMEOUT, "the peer did not finish the handshake in time");
    return l->state;
}

/* Fill records to the brim: short parts are joined in a buffer, long ones are encrypted where they are. A long frame is
 * sent while it is made. */
static int encrypt_parts(struct link *l, const struct iovec *parts, unsigned part_count) {
    uint8_t joined[TLS_RECORD_BYTES];
    size_t joined_len = 0, unsent = 0;
    int rc = 0;
    for (unsigned i = 0; i < part_count; i++) {
        const uint8_t *at = parts[i].iov_base;
        size_t left = parts[i].iov_len;
        while (left > 0 && rc == 0) {
            size_t len = TLS_RECORD_BYTES - joined_len;
            if (len > left) len = left;
            if (len == TLS_RECORD_BYTES) {
                rc = tls_encrypt(&l->tls, at, len, &l->error);
            } else {
                memcpy(joined + joined_len, at, len);
                joined_len += len;
                if (joined_len == TLS_RECORD_BYTES) {
                    rc = tls_encrypt(&l->tls, joined, joined_len, &l->error);
                    joined_len = 0;
                }
            }
            at += len;
            left -= len;
            unsent += len;
            if (unsent >= FLUSH_BYTES) {
                flush(l);
                unsent = 0;
            }
        }
    }
    if (rc == 0 && joined_len > 0) rc = tls_encrypt(&l->tls, joined, joined_len, &l->error);
    return rc;
}

static size_t frame_bytes(const struct link *l, const struct iovec *parts, unsigned part_count) {
    size_t len = 0;
    for (unsigned i = 0; i < part_count; i++) len += parts[i].iov_len;
    assert(part_count > 0 && parts[0].iov_len >= LINK_HEADER_BYTES && len <= l->frame_bytes_max);
    struct bytes_reader header = bytes_reader(parts[0].iov_base, LINK_HEADER_BYTES);
    assert(bytes_u32(&header) + (size_t)LINK_HEADER_BYTES == len);
    return len;
}

int link_send(struct link *l, const struct iovec *parts, unsigned part_count) {
    size_t len = frame_bytes(l, parts, part_count);
    if (l->state == LINK_CLOSED) return ERR_CLOSED;
    if (!link_can_send(l)) return ERR_AGAIN;
    int rc = encrypt_parts(l, parts, part_count);
    if (rc < 0) {
        set_closed(l, rc, error_text(rc));
        return ERR_CLOSED;
    }
    l->counters.frames_sent++;
    l->counters.bytes_sent += len;
    flush(l);
    return l->state == LINK_CLOSED ? ERR_CLOSED : 0;
}

const uint8_t *link_next_frame(struct link *l, size_t *len) {
    /* What had to wait inside TLS shows on no descriptor. */
    if (!l->first && l->paused && l->state == LINK_OPEN) take_frames(l);
    if (!l->first) return NULL;
    *len = l->first->len;
    return l->first->bytes;
}

void link_frame_done(struct link *l) {
    struct frame *f = l->first;
    assert(f);
    l->first = f->next;
    if (!l->first) l->last = NULL;
    l->waiting_bytes -= f->len;
    if (l->spare || f->capacity > SPARE_BYTES_MAX)
        free(f);
    else
        l->spare = f;
}
