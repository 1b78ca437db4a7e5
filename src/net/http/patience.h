/* How long a client may take to send its request: a deadline per connection, after which the socket is shut down.
 *
 * libmicrohttpd knows silence only; a client that sends one byte a minute is never silent. Deadlines are of whole
 * requests, so such a client gets no further than an idle one. Any thread; a thread of its own sleeps until the next
 * deadline. */
#pragma once
#include "base/error.h"

struct patience;
struct patience_visitor; /* one connection */

int patience_open(struct patience **out, struct error *error);
void patience_close(struct patience *p); /* NULL is fine; after the last visitor has left */

/* A connection is there; `fd` stays its owner's, open until patience_leave. NULL: out of memory, it is not watched. */
struct patience_visitor *patience_enter(struct patience *p, int fd);
void patience_leave(struct patience *p, struct patience_visitor *v); /* NULL is fine */
/* What is due must be here within so many seconds; 0: it is here, nothing is due. */
void patience_expect(struct patience *p, struct patience_visitor *v, unsigned seconds);
