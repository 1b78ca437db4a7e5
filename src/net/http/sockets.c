#include "net/http/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int sockets_listen_tcp(const char *host, uint16_t port, int *out, struct error *error) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    bool is_v4 = inet_pton(AF_INET, name, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, name, &v6.sin6_addr) != 1)
        return error_set(error, ERR_INVALID, "'%s' is not an address of this machine", host);
    const struct sockaddr *address = is_v4 ? (const void *)&v4 : (const void *)&v6;
    socklen_t len = is_v4 ? sizeof v4 : sizeof v6;
    int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return error_set(error, ERR_IO, "no socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, len) != 0 || listen(fd, 256) != 0) {
        int why = errno;
        close(fd);
        if (why == EADDRINUSE)
            return error_set(error, ERR_BUSY, "port %u is taken: choose another one with --port, or 0 for any", port);
        return error_set(error, ERR_INVALID, "cannot listen on %s port %u: %s", host, port, strerror(why));
    }
    *out = fd;
    return 0;
}

int sockets_listen_local(const char *path, int *out, struct error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, ERR_LIMIT, "%s is too long for a socket: choose a shorter CARAVAN_HOME", path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return error_set(error, ERR_IO, "no socket: %s", strerror(errno));
    unlink(path); /* of a node that was killed: the home's lock says that none runs */
    if (bind(fd, (const void *)&address, sizeof address) != 0 || chmod(path, 0600) != 0 || listen(fd, 64) != 0) {
        error_set(error, ERR_IO, "cannot listen on %s: %s", path, strerror(errno));
        close(fd);
        return ERR_IO;
    }
    *out = fd;
    return 0;
}

uint16_t sockets_port(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (void *)&address, &len) != 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
}

void sockets_peer(int fd, char out[SOCKETS_ADDRESS_BYTES]) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    snprintf(out, SOCKETS_ADDRESS_BYTES, "local");
    if (getpeername(fd, (void *)&address, &len) != 0) return;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&address)->sin_addr, out, SOCKETS_ADDRESS_BYTES);
    if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr, out,
                  SOCKETS_ADDRESS_BYTES);
}
