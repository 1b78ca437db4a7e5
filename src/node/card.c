#include "node/card.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_file.h"

struct card *card_hold(struct card *c) {
    atomic_fetch_add(&c->references, 1);
    return c;
}

void card_release(struct card *c) {
    if (c == NULL || atomic_fetch_sub(&c->references, 1) != 1) return;
    chat_free(c->chat);
    tokenizer_free(c->tokenizer);
    model_deinit(&c->model);
    free(c);
}

/* What stands on the header once the model is open: vocabulary and template. */
static int furnish(struct card *c, struct error *error) {
    model_fingerprint(&c->model, c->fingerprint);
    int rc = tokenizer_new(&c->tokenizer, &c->model.gguf, error);
    if (rc || tokenizer_count(c->tokenizer) == 0) return rc;
    for (uint32_t id = 0; id < tokenizer_count(c->tokenizer) && c->stop_count < WIRE_STOPS_MAX; id++)
        if (tokenizer_ends_generation(c->tokenizer, id)) c->stops[c->stop_count++] = id;
    return chat_new(&c->chat, &c->model.gguf, c->tokenizer, error);
}

static struct card *card_new(void) {
    struct card *c = calloc(1, sizeof *c);
    if (c) atomic_init(&c->references, 1);
    return c;
}

static int finish(struct card *c, int rc, struct card **out, struct error *error) {
    if (rc == 0) rc = furnish(c, error);
    if (rc) card_release(c);
    else *out = c;
    return rc;
}

int card_open(struct card **out, const char *path, struct error *error) {
    struct card *c = card_new();
    if (c == NULL) return error_set(error, ERR_NOMEM, "no memory for a model's card");
    return finish(c, model_file_open(&c->model, path, error), out, error);
}

int card_from_header(struct card **out, uint8_t *header, size_t len, uint64_t file_bytes, struct error *error) {
    struct card *c = card_new();
    if (c == NULL) {
        free(header);
        return error_set(error, ERR_NOMEM, "no memory for a model's card");
    }
    return finish(c, model_init(&c->model, header, len, file_bytes, error), out, error);
}
