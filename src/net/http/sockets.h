/* The HTTP server's listening sockets. The caller closes what it gets. Any thread. */
#pragma once
#include <stdint.h>

#include "base/error.h"

enum { SOCKETS_ADDRESS_BYTES = 48 };

/* On an address of this machine ("localhost" is 127.0.0.1). ERR_BUSY: the port is taken; ERR_INVALID: no such
 * address. */
int sockets_listen_tcp(const char *host, uint16_t port, int *out, struct error *error);
/* On a UNIX socket of mode 0600 that replaces one that was left behind. */
int sockets_listen_local(const char *path, int *out, struct error *error);
/* Who is at the other end: an address, or "local" for a UNIX socket. */
void sockets_peer(int fd, char out[SOCKETS_ADDRESS_BYTES]);
/* The port that a TCP socket was given. */
uint16_t sockets_port(int fd);
