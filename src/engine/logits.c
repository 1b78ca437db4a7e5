#include "engine/logits.h"

#include <assert.h>
#include <stdlib.h>

#include "base/size.h"
#include "engine/pages.h"
#include "engine/slice.h"

enum { HEAD_ROWS_MAX = 32 }; /* logits in memory at a time */

struct logits {
    const struct model *model;
    struct slice *slice;
    uint32_t context, tokens_max, chunk;
    struct step step;
    float *hidden; /* [STEP_ROWS_MAX][embd] */
    float *rows;   /* [HEAD_ROWS_MAX][vocab] */
};

static float *floats_new(size_t count) {
    return aligned_alloc(KERN_ALIGN, size_round_up((count + 1) * sizeof(float), KERN_ALIGN));
}

int logits_open(struct logits **out, const struct model *m, const struct logits_setup *setup, struct error *error) {
    uint32_t context = setup->context ? setup->context : m->params.context;
    if (m->params.encodes)
        return error_set(error, ERR_UNSUPPORTED, "a model of architecture %s makes embeddings, not text",
                         m->params.architecture);
    if (setup->tokens_max > context)
        return error_set(error, ERR_LIMIT, "%u tokens do not fit in a context of %u", setup->tokens_max, context);
    struct slice_options options = {.layer_end = m->params.layers,
                                    .ends = true,
                                    .threads = setup->threads,
                                    .isa = setup->isa,
                                    .kv = setup->kv,
                                    .sessions = 1,
                                    .context = context,
                                    .pages = setup->tokens_max / KERN_PAGE + 1};
    struct logits *l = calloc(1, sizeof *l);
    if (!l) return error_set(error, ERR_NOMEM, "out of memory");
    l->model = m;
    l->context = context;
    l->tokens_max = setup->tokens_max;
    l->chunk = setup->chunk > 0 && setup->chunk < STEP_ROWS_MAX ? setup->chunk : STEP_ROWS_MAX;
    l->hidden = floats_new((size_t)STEP_ROWS_MAX * m->params.embd);
    l->rows = floats_new((size_t)HEAD_ROWS_MAX * m->params.vocab);
    int rc = l->hidden && l->rows ? slice_open(&l->slice, m, &options, error)
                                  : error_set(error, ERR_NOMEM, "out of memory");
    if (rc == 0)
        *out = l;
    else
        logits_close(l);
    return rc;
}

void logits_close(struct logits *l) {
    if (!l) return;
    slice_close(l->slice);
    free(l->hidden);
    free(l->rows);
    free(l);
}

/* The next `count` tokens as rows of session 0, in pages that count up. */
static void fill_step(struct logits *l, const uint32_t *tokens, uint32_t begin, uint32_t count, uint32_t first) {
    struct step *step = &l->step;
    step->number++;
    step->row_count = count;
    step->page_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = begin + i, page = position / KERN_PAGE;
        uint32_t slot = pages_own_slot(l->model->params.window, l->context, 0, page);
        step->rows[i] =
            (struct step_row){.position = position, .token = tokens[position], .want_logits = position >= first};
        if (position % KERN_PAGE == 0)
            step->pages[step->page_count++] = (struct step_page){0, page, page, page, slot, slot};
    }
}

/* The head on rows [row, ...) of the step. */
static int hand_out(struct logits *l, uint32_t row, logits_sink *sink, void *context, struct error *error) {
    size_t vocab = l->model->params.vocab;
    int rc = 0;
    for (uint32_t count; rc == 0 && row < l->step.row_count; row += count) {
        count = l->step.row_count - row < HEAD_ROWS_MAX ? l->step.row_count - row : HEAD_ROWS_MAX;
        rc = slice_head(l->slice, l->hidden + (size_t)row * l->model->params.embd, count, l->rows, error);
        for (uint32_t i = 0; rc == 0 && i < count; i++)
            if ((rc = sink(context, l->rows + i * vocab, vocab)) < 0) error_set(error, rc, "cannot write logits");
    }
    return rc;
}

int logits_feed(struct logits *l, const uint32_t *tokens, uint32_t count, uint32_t first, logits_sink *sink,
                void *context, struct error *error) {
    int rc = 0;
    assert(count <= l->tokens_max);
    for (uint32_t at = 0; rc == 0 && at < count; at += l->step.row_count) {
        fill_step(l, tokens, at, count - at < l->chunk ? count - at : l->chunk, first);
        rc = slice_map(l->slice, &l->step, error);
        if (rc == 0) rc = slice_embed(l->slice, &l->step, l->hidden, error);
        if (rc == 0) rc = slice_layers(l->slice, &l->step, l->hidden, error);
        if (rc == 0) rc = hand_out(l, first > at ? first - at : 0, sink, context, error);
    }
    return rc;
}

int logits_run(const struct model *m, const struct logits_options *o, logits_sink *write, void *context,
               struct error *error) {
    struct logits_setup setup = {.context = o->context,
                                 .tokens_max = o->count,
                                 .chunk = o->chunk,
                                 .threads = o->threads,
                                 .isa = o->isa,
                                 .kv = o->kv};
    struct logits *l = NULL;
    int rc = logits_open(&l, m, &setup, error);
    if (rc == 0) rc = logits_feed(l, o->tokens, o->count, 0, write, context, error);
    logits_close(l);
    return rc;
}
