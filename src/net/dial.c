#include "net/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"

int dial(struct link **out, const struct wire_address *to, const struct secret_keyring *keys, size_t frame_bytes_max,
         struct error *error) {
    struct sockaddr_storage address;
    socklen_t len = address_to_sockaddr(to, &address);
    char text[ADDRESS_TEXT_BYTES];
    address_format(to, text);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return error_set(error, ERR_LIMIT, "%s: no socket: %s", text, strerror(errno));
    int rc = 0;
    if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS)
        rc = error_set(error, ERR_IO, "%s: %s", text, strerror(errno));
    if (rc == 0) rc = link_new(out, fd, LINK_CLIENT, keys, frame_bytes_max, error);
    if (rc < 0) close(fd);
    return rc;
}
