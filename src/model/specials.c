#include "model/specials.h"

#include "base/error.h"
#include "model/tokenizer.h"

int specials_init(struct specials *s, const struct gguf *g) {
    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    const struct gguf_value *types = gguf_find(g, "tokenizer.ggml.token_type");
    *s = (struct specials){0};
    if (tokens == NULL || tokens->type != GGUF_ARRAY || tokens->strings == NULL || types == NULL) return 0;
    for (uint64_t i = 0; i < tokens->count && i < types->count; i++) {
        const struct gguf_string *text = &tokens->strings[i];
        int64_t type;
        if (!gguf_item_i64(types, i, &type) || (type != TOKEN_CONTROL && type != TOKEN_UNKNOWN)) continue;
        if (text->len == 0 || text->len > SPECIALS_BYTES_MAX) continue;
        if (map_set(&s->texts, text->data, text->len, i) != 0) return ERR_NOMEM;
        s->first[(unsigned char)text->data[0]] = true;
        s->length[text->len] = true;
    }
    return 0;
}

void specials_deinit(struct specials *s) { map_deinit(&s->texts); }

size_t specials_match(const struct specials *s, const char *text, size_t len, size_t at, uint32_t *id) {
    if (!s->first[(unsigned char)text[at]]) return 0;
    for (size_t n = len - at < SPECIALS_BYTES_MAX ? len - at : SPECIALS_BYTES_MAX; n > 0; n--) {
        uint64_t value;
        if (!s->length[n] || !map_get(&s->texts, text + at, n, &value)) continue;
        *id = (uint32_t)value;
        return n;
    }
    return 0;
}
