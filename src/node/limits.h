/* What keeps a node answering when more is asked than it can do: a bound on the requests that wait, and deadlines.
 * Loop thread only. */
#pragma once
#include <stdbool.h>

struct daemon;
struct gateway_job;

/* May this request wait here? False: it has been answered, with 429 and when to try again. Its deadline runs from now:
 * as its header x-request-timeout says, in seconds, or as the node's own. */
bool limits_admit(struct gateway_job *job);
/* "Retry-After", in seconds: about when what waits now will have had its turn. */
unsigned limits_retry_after_s(const struct daemon *d);
/* The error of a request whose time is over. */
void limits_set_late(struct gateway_job *job);
