#include "model/infill.h"

#include <string.h>

#include "base/size.h"

static const struct {
    const char *prefix, *suffix, *middle;
} families[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
    {"<PRE>", "<SUF>", "<MID>"},
};

/* The one token of that name; -1: there is none. */
static int64_t token_of(const struct tokenizer *t, const char *name) {
    struct token_list ids = {0};
    int64_t id = -1;
    if (tokenizer_encode(t, name, strlen(name), false, true, &ids) == 0 && ids.count == 1) id = ids.ids[0];
    token_list_deinit(&ids);
    return id;
}

int infill_prompt(const struct tokenizer *t, const char *prefix, const char *suffix, struct token_list *ids,
                  struct error *error) {
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        int64_t marks[] = {token_of(t, families[i].prefix), token_of(t, families[i].suffix),
                           token_of(t, families[i].middle)};
        if (marks[0] < 0 || marks[1] < 0 || marks[2] < 0) continue;
        int rc = token_list_add(ids, (uint32_t)marks[0]);
        if (rc == 0) rc = tokenizer_encode(t, prefix, strlen(prefix), false, false, ids);
        if (rc == 0) rc = token_list_add(ids, (uint32_t)marks[1]);
        if (rc == 0) rc = tokenizer_encode(t, suffix, strlen(suffix), false, false, ids);
        if (rc == 0) rc = token_list_add(ids, (uint32_t)marks[2]);
        return rc ? error_set(error, rc, "no memory for the prompt") : 0;
    }
    return error_set(error, ERR_UNSUPPORTED, "this model cannot fill in: its vocabulary has no tokens for it");
}
