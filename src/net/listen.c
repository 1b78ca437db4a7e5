#include "net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "os/clock.h"
#include "os/poller.h"

enum {
    BACKLOG = 64,
    TURNS = 256, /* of the poller in one call, so that a crowd at the door does not hold the caller */
    TAG_DOOR = LISTENER_HALF_OPEN_MAX, /* smaller tags are places in half_open */
    PAUSE_NS = 100000000,              /* when the process has no descriptor left for another connection */
};

struct half_open {
    struct link *link; /* NULL: free */
    struct wire_address from;
};

struct listener {
    int fd;
    uint16_t port;
    struct poller poller;
    struct secret_keyring keys;
    size_t frame_bytes_max;
    uint64_t resume_ns; /* accept again then; UINT64_MAX: accepting */
    struct half_open half_open[LISTENER_HALF_OPEN_MAX];
    struct listener_counters counters;
};

/* IPv6 with IPv4 in it, or IPv4 alone where the system has no IPv6. The error is in errno. */
static int open_socket(int family, uint16_t port) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, zero = 0;
    if (fd < 0) return -1;
    struct wire_address any = {.port = port};
    if (family == AF_INET) any.ip[10] = any.ip[11] = 0xff;
    struct sockaddr_storage address;
    socklen_t len = address_to_sockaddr(&any, &address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static int open_any_family(uint16_t port) {
    int fd = open_socket(AF_INET6, port);
    return fd < 0 && errno != EADDRINUSE ? open_socket(AF_INET, port) : fd;
}

static int open_door(struct listener *listener, uint16_t port, struct error *error) {
    struct sockaddr_storage address;
    struct wire_address own;
    socklen_t len = sizeof address;
    listener->fd = open_any_family(port);
    if (listener->fd < 0 && port != 0) listener->fd = open_any_family(0);
    if (listener->fd < 0 || getsockname(listener->fd, (struct sockaddr *)&address, &len) < 0)
        return error_set(error, errno == EMFILE ? ERR_LIMIT : ERR_IO, "cannot listen: %s", strerror(errno));
    address_from_sockaddr(&own, (struct sockaddr *)&address);
    listener->port = own.port;
    return poller_watch(&listener->poller, listener->fd, true, false, TAG_DOOR);
}

int listener_open(struct listener **out, uint16_t port, const struct secret_keyring *keys, size_t frame_bytes_max,
                  struct error *error) {
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) return error_set(error, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    listener->fd = -1;
    listener->keys = *keys;
    listener->frame_bytes_max = frame_bytes_max;
    listener->resume_ns = UINT64_MAX;
    int rc = poller_open(&listener->poller, error);
    if (rc == 0) rc = open_door(listener, port, error);
    if (rc == 0)
        *out = listener;
    else
        listener_close(listener);
    return rc;
}

void listener_close(struct listener *listener) {
    if (!listener) return;
    for (unsigned i = 0; i < LISTENER_HALF_OPEN_MAX; i++) link_free(listener->half_open[i].link);
    if (listener->fd >= 0) close(listener->fd);
    poller_close(&listener->poller);
    secret_wipe(&listener->keys, sizeof listener->keys);
    free(listener);
}

void listener_set_keys(struct listener *listener, const struct secret_keyring *keys) { listener->keys = *keys; }
uint16_t listener_port(const struct listener *listener) { return listener->port; }
int listener_fd(const struct listener *listener) { return listener->poller.fd; }
const struct listener_counters *listener_counters(const struct listener *listener) { return &listener->counters; }

uint64_t listener_deadline_ns(const struct listener *listener) {
    uint64_t first_ns = listener->resume_ns;
    for (unsigned i = 0; i < LISTENER_HALF_OPEN_MAX; i++) {
        const struct link *l = listener->half_open[i].link;
        if (l && link_deadline_ns(l) < first_ns) first_ns = link_deadline_ns(l);
    }
    return first_ns;
}

/* A free place for a connection from there, or NULL when a limit is reached. */
static struct half_open *place_for(struct listener *listener, const struct wire_address *from) {
    struct half_open *place = NULL;
    unsigned same_source = 0;
    for (unsigned i = 0; i < LISTENER_HALF_OPEN_MAX; i++) {
        struct half_open *at = &listener->half_open[i];
        if (!at->link && !place) place = at;
        if (at->link) same_source += address_same_host(&at->from, from);
    }
    return same_source < LISTENER_PER_SOURCE_MAX ? place : NULL;
}

static void pump(struct listener *listener, struct half_open *at) {
    enum link_state state = link_pump(at->link);
    if (state == LINK_CLOSED) {
        link_free(at->link); /* which also takes it out of the poller */
        at->link = NULL;
        listener->counters.refused++;
    } else if (state == LINK_HANDSHAKE) {
        uint64_t tag = (uint64_t)(at - listener->half_open);
        poller_watch(&listener->poller, link_fd(at->link), true, link_wants_write(at->link), tag);
    }
}

static void admit(struct listener *listener, int fd, const struct sockaddr_storage *source) {
    struct wire_address from;
    struct half_open *place = NULL;
    listener->counters.accepted++;
    if (address_from_sockaddr(&from, (const struct sockaddr *)source)) place = place_for(listener, &from);
    if (!place || link_new(&place->link, fd, LINK_SERVER, &listener->keys, listener->frame_bytes_max, NULL) < 0) {
        close(fd);
        listener->counters.refused++;
        return;
    }
    place->from = from;
    pump(listener, place);
}

static void accept_some(struct listener *listener) {
    for (unsigned i = 0; i < BACKLOG; i++) {
        struct sockaddr_storage source;
        socklen_t len = sizeof source;
        int fd = accept4(listener->fd, (struct sockaddr *)&source, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(listener, fd, &source);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            poller_forget(&listener->poller, listener->fd);
            listener->resume_ns = clock_ns() + PAUSE_NS;
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
    }
}

static void keep_time(struct listener *listener) {
    uint64_t now_ns = clock_ns();
    if (now_ns >= listener->resume_ns) {
        listener->resume_ns = UINT64_MAX;
        poller_watch(&listener->poller, listener->fd, true, false, TAG_DOOR);
    }
    for (unsigned i = 0; i < LISTENER_HALF_OPEN_MAX; i++) {
        struct half_open *at = &listener->half_open[i];
        if (at->link && now_ns >= link_deadline_ns(at->link)) pump(listener, at);
    }
}

static struct link *take_open(struct listener *listener, struct wire_address *from) {
    for (unsigned i = 0; i < LISTENER_HALF_OPEN_MAX; i++) {
        struct half_open *at = &listener->half_open[i];
        if (!at->link || link_state(at->link) != LINK_OPEN) continue;
        struct link *l = at->link;
        poller_forget(&listener->poller, link_fd(l));
        *from = at->from;
        at->link = NULL;
        listener->counters.opened++;
        return l;
    }
    return NULL;
}

struct link *listener_next(struct listener *listener, struct wire_address *from) {
    uint64_t tag;
    keep_time(listener);
    for (unsigned i = 0; i < TURNS; i++) {
        struct link *l = take_open(listener, from);
        if (l || !poller_next(&listener->poller, &tag)) return l;
        if (tag == TAG_DOOR)
            accept_some(listener);
        else if (listener->half_open[tag].link)
            pump(listener, &listener->half_open[tag]);
    }
    return take_open(listener, from);
}
