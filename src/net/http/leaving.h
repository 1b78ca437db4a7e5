/* Who leaves while waiting: a watcher of sockets whose requests are suspended.
 *
 * libmicrohttpd does not look at the socket of a suspended request, so a duplicate of it is watched here, on a thread
 * of its own, for the peer's hanging up. Any thread. */
#pragma once
#include <stdint.h>

#include "base/error.h"

struct leaving;

int leaving_open(struct leaving **out, struct error *error);
void leaving_close(struct leaving *l); /* NULL is fine */

/* Call left(context) once when the peer of `fd` hangs up. Returns a number for leaving_forget; 0: not watched. */
uint64_t leaving_watch(struct leaving *l, int fd, void (*left)(void *context), void *context);
/* No call comes any more when this returns; a call under way is waited for. 0 is fine. Not from within a call. */
void leaving_forget(struct leaving *l, uint64_t watch);
