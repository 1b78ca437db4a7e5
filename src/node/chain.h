/* The hash of a whole file on its way from owner to owner: each hashes its runs of chunks and hands the state on to the
 * owner of what follows. What is handed to a node that does not know the plan or the manifest yet is kept for a minute.
 * On the stock's thread. */
#pragma once
#include "node/pull.h"

/* Another plan: its runs begin and end elsewhere. */
void chain_forget(struct pull *p);
/* Once the owners are known: take what was handed to this node, begin what begins here, hand on what is done. */
void chain_turn(struct pull *p);
/* A job at the end of a run is back. */
void chain_ended(struct pull *p, const struct hasher_job *job);
/* Another owner waits for what this node has and could not send yet. */
bool chain_is_awaited(const struct pull *p);
/* A state that is handed to an open pull, or the word that the file is right or wrong. */
void chain_take(struct pull *p, const struct wire_store *m);
/* A state of a model that is not open here yet; what nobody waits for any more. */
void chain_keep(struct stock *s, const struct wire_store *m);
void chain_forget_kept(struct stock *s, uint64_t now_us);
