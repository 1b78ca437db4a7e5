/* What the hub says of a pull's model: its files, their sizes and hashes. On the stock's thread. */
#pragma once
#include "node/pull.h"

/* Ask; ends in pull_listed or pull_fail. */
void hub_ask(struct pull *p);
void hub_cancel(struct pull *p);
void hub_turn(struct pull *p, uint64_t now_us); /* asks again after a pause */
/* The token for requests of this pull; NULL: none. */
const char *hub_token(const struct pull *p);
/* What to do about an answer, for people. */
void hub_explain(const struct pull *p, const struct fetch_reply *reply, struct error *error);
