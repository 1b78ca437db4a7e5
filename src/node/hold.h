/* A model held in parts: by plan, and from other nodes. On the stock's thread. */
#pragma once
#include "node/pull.h"

/* The plan's ranges become wants, the rest somebody else's. After the headers are here. */
int hold_begin(struct pull *p, struct error *error);
void hold_report_to(struct pull *p, uint64_t node);
void hold_forget_plan(struct pull *p);
void hold_end(struct pull *p); /* frees what it keeps */
/* Ask others for what they can give. */
void hold_turn(struct pull *p, uint64_t now_us);
/* All that is to be held is here and right, here and (if p->all) everywhere. */
bool hold_done(struct pull *p, uint64_t now_us);
bool hold_bytes_here(const struct pull *p); /* what is wanted, if it is not proven yet */
void hold_chunk_ready(struct pull *p, uint32_t file, uint32_t chunk);
void hold_answer(struct pull *p, struct mate *from, const struct wire_store *m);
/* What came from there does not have its hash. */
void hold_wrong(struct pull *p, uint32_t file, uint32_t chunk, uint16_t giver);
void hold_mate_lost(struct pull *p, const struct mate *lost);
struct pull *hold_find(struct stock *s, const uint8_t *fingerprint, const char *name);
bool hold_has_peers(struct stock *s);
/* The node was asked for the pull's manifest and has none. */
bool hold_was_absent(const struct pull *p, uint64_t node);
void hold_forget_inquiries(struct pull *p);
