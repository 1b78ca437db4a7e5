#include "os/poller.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int poller_open(struct poller *p, struct error *error) {
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    return p->fd < 0 ? error_set(error, ERR_LIMIT, "no more descriptors: %s", strerror(errno)) : 0;
}

void poller_close(struct poller *p) {
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
}

int poller_watch(struct poller *p, int fd, bool reading, bool writing, uint64_t tag) {
    struct epoll_event event = {.events = (reading ? EPOLLIN : 0u) | (writing ? EPOLLOUT : 0u), .data.u64 = tag};
    int rc = epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &event);
    if (rc < 0 && errno == ENOENT) rc = epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &event);
    if (rc == 0) return 0;
    return errno == ENOMEM ? ERR_NOMEM : ERR_LIMIT;
}

void poller_forget(struct poller *p, int fd) { epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL); }

bool poller_next(struct poller *p, uint64_t *tag) {
    struct epoll_event event;
    int count;
    do count = epoll_wait(p->fd, &event, 1, 0);
    while (count < 0 && errno == EINTR);
    if (count != 1) return false;
    *tag = event.data.u64;
    return true;
}
