/* The pace of a runner: how many rows of prompts a step may take so that answers beside it keep theirs.
 *
 * While few answers run, every second of their steps at most takes rows of prompts, as many as let it take a little
 * more than twice as long as one without: so half of an answer's tokens come as fast as ever, and none much later. In a
 * crowd four steps of five take three quarters of that, so that the pace is even: a late token there is late for all of
 * them. What a step costs is learned from those that ran. Reading a long context has its price for the first row
 * already, so the number of rows is led to where the time is right, not computed from the price of one. Pure. */
#pragma once
#include <stdint.h>

struct pace {
    double decode_us;     /* a step that only decodes; 0: unknown */
    double rows;          /* of prompts, for the time that they may take; 0: unknown */
    uint32_t decode_rows; /* of the steps that decode_us is of */
    uint32_t with;        /* steps of answers since one that took no rows of prompts */
};

/* Rows of prompts for a step of `decode_rows` rows that decode. answers: how many of them run, in this step or another;
 * waiting: rows of all prompts, so that brief ones are done with soon; `most`: where nothing decodes. */
uint32_t pace_rows(const struct pace *p, uint32_t answers, uint32_t decode_rows, uint32_t waiting, uint32_t most);
/* A step of these rows took so long. answers: as it was asked. */
void pace_learn(struct pace *p, uint32_t answers, uint32_t decode_rows, uint32_t prompt_rows, uint64_t us);
