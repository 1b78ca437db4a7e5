/* A census: the stocks of all other nodes are asked what they have of a model on their disks, or told to delete it. On
 * the stock's thread, but for stock_census() (stock.h), which waits for it. */
#pragma once
#include "node/mates.h"
#include "node/stock_private.h"

void census_turn(struct stock *s, uint64_t now_us);
bool census_waits(const struct stock *s);
/* Another node asks / answers. */
void census_answer(struct stock *s, struct mate *from, const struct wire_store *m);
void census_take(struct stock *s, const struct mate *from, const struct wire_store *m);
