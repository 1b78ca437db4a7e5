/* What the members of a stage tell each other while they compute a step (share.h); who moves the bytes implements it.
 *
 * All members do the same in the same order: the first hands the step to the others, then each sends the columns that
 * it has made to all others and takes theirs, two or four times a layer. Where logits are wanted the first sends the
 * hidden rows, and each answers with its rows of the head. Receiving may wait; sending does not wait for anybody to
 * receive. What is sent may be used again at once. Errors end the step, and the instance. One thread, the slice's. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/step.h"

enum exchange_kind {
    EXCHANGE_COLUMNS, /* from each to all others */
    EXCHANGE_HEAD,    /* hidden rows, from the first to all others */
    EXCHANGE_LOGITS,  /* from each to the first */
};

struct exchange {
    void *context;
    /* Of the first member: the step with its hidden[row][embd], to all others. */
    int (*lead)(void *context, const struct step *step, const float *hidden, struct error *error);
    int (*send)(void *context, enum exchange_kind kind, const void *bytes, size_t len, struct error *error);
    /* Wait until each other member's next one is there, of len[member] bytes: from[member], until release. */
    int (*receive)(void *context, enum exchange_kind kind, const size_t *len, const uint8_t **from,
                   struct error *error);
    void (*release)(void *context);
};
