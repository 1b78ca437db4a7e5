/* The access log: a line of JSON for each request, when its reply is over. What people write and read is not in it.
 * Lines are written whole, so any thread may, and a file may be cut while the node runs (copytruncate). */
#pragma once
#include "base/error.h"
#include "net/http/http.h"

/* Descriptor of the file to append to, made if it is not there (mode 0600); "-": standard error. ERR_IO. */
int access_log_open(const char *path, int *fd, struct error *error);
void access_log_write(int fd, const struct http_account *account);
void access_log_close(int fd); /* -1 is fine */
