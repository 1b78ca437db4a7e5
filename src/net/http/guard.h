/* What every request must pass before a handler sees it: Host, Origin, key. Server thread. */
#pragma once
#include <microhttpd.h>
#include <stdbool.h>

#include "net/http/http.h"

struct guard_verdict {
    int status; /* 0: may pass */
    const char *message;
};

/* keyless: a key is needed, was not shown, and the path is open all the same.
 * Host against DNS rebinding (Dean, Felten, Wallach: "Java security", 1996; the way in of CVE-2024-28224), Origin
 * against other sites' pages, and the key where one is needed. */
struct guard_verdict guard_check(const struct http_options *o, struct MHD_Connection *c, const char *path, bool local,
                                 bool *keyless);
/* The key that a request shows; NULL: none. */
const char *guard_key(struct MHD_Connection *c);
/* Headers that let a listed origin's page read the reply. */
void guard_add_cors(const struct http_options *o, struct MHD_Connection *c, struct MHD_Response *r);
