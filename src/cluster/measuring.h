/* Requests that wait for measurements: `nodes --measure`, and plans whose links nobody has measured yet. What was
 * measured comes with the facts of those who did it, so that waiting is looking at those. Private to this room. */
#pragma once
#include <stdbool.h>

#include "wire/types.h"

struct node;
struct request;

/* The plan joins members whose links nobody has measured: that is asked for, and the request waits in PHASE_LINKS. */
bool measuring_wants_links(struct node *n, struct request *r, const struct wire_plan *plan);
/* They are known by now, or it has waited long enough. Else it is to ask again when its timer is due. */
bool measuring_knows_links(struct node *n, struct request *r);
/* REQUEST_MEASURE, in PHASE_NODES: ends in a reply. */
void measuring_begin(struct node *n, struct request *r);
void measuring_go_on(struct node *n, struct request *r);
