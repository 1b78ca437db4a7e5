#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/partition.h"
#include "model/tokenizer/pre.h"
#include "model/tokenizer/normal.h"
#include "model/tokenizer/splitter.h"
#include "model/tokenizer/steps.h"
#include "model/tokenizer/symbols.h"
#include "model/tokenizer/unigram.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"
#include "model/tokenizer/wordpiece.h"
#include "model/tokenizer/words.h"

struct tokenizer {
    struct vocabulary vocabulary;
    struct symbols symbols;
    struct partition partition;
    struct splitter *splitter; /* of BPE, ... */
    struct steps *steps;       /* ... unless the file has its own */
    struct normal normal;
    struct unigram unigram;    /* instead of symbols */
};

/* ---- lists ---- */

void token_list_deinit(struct token_list *l) {
    free(l->ids);
    *l = (struct token_list){0};
}

int token_list_add(struct token_list *l, uint32_t id) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        uint32_t *ids = realloc(l->ids, capacity * sizeof *ids);
        if (ids == NULL) return ERR_NOMEM;
        l->ids = ids;
        l->capacity = capacity;
    }
    l->ids[l->count++] = id;
    return 0;
}

/* ---- life ---- */

static int read_steps(struct tokenizer *t, const struct gguf *g, struct error *error) {
    const struct gguf_value *steps = gguf_find(g, TOKENIZER_STEPS);
    int rc = normal_init(&t->normal, gguf_find(g, TOKENIZER_NORMAL), &t->unigram.map, error);
    return rc == 0 && steps ? steps_new(&t->steps, steps, error) : rc;
}

/* How text is cut into words: as the name of the pre-tokenizer says, or as the file says itself. */
static int read_splitting(struct tokenizer *t, const struct gguf *g, struct error *error) {
    int rc = read_steps(t, g, error);
    if (rc < 0 || t->steps) return rc;
    t->splitter = splitter_new(t->vocabulary.pre->expressions);
    return t->splitter ? 0 : ERR_NOMEM;
}

int tokenizer_new(struct tokenizer **out, const struct gguf *g, struct error *error) {
    struct tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return error_set(error, ERR_NOMEM, "no memory for the tokenizer");
    int rc = vocabulary_init(&t->vocabulary, g, error);
    if (rc == 0 && t->vocabulary.kind == VOCABULARY_UNIGRAM)
        rc = unigram_init(&t->unigram, &t->vocabulary, g, error);
    else if (rc == 0 && t->vocabulary.kind != VOCABULARY_NONE)
        rc = symbols_init(&t->symbols, &t->vocabulary, g, error);
    if (rc == 0) rc = partition_init(&t->partition, &t->vocabulary);
    if (rc == 0 && t->vocabulary.kind == VOCABULARY_BPE) rc = read_splitting(t, g, error);
    bool spaced = t->vocabulary.kind == VOCABULARY_SPM || t->vocabulary.kind == VOCABULARY_UNIGRAM;
    if (rc == 0 && spaced) rc = read_steps(t, g, error);
    if (rc == 0) {
        *out = t;
        return 0;
    }
    if (rc == ERR_NOMEM) error_set(error, rc, "no memory for the tokenizer");
    tokenizer_free(t);
    return rc;
}

void tokenizer_free(struct tokenizer *t) {
    if (t == NULL) return;
    splitter_free(t->splitter);
    steps_free(t->steps);
    partition_deinit(&t->partition);
    symbols_deinit(&t->symbols);
    unigram_deinit(&t->unigram);
    vocabulary_deinit(&t->vocabulary);
    free(t);
}

/* ---- encoding ---- */

/* What encoding a text needs. */
struct encoder {
    const struct tokenizer *tokenizer;
    struct words words;
    struct arena made; /* parts that are not as they stand in the text: words that are remembered lie there */
};

static int encode_word(void *context, const char *word, size_t len) { return words_encode(context, word, len); }

/* A word of raw UTF-8 ends where no token goes on: what is found out about one need not be found out about the text. */
static int encode_raw(void *context, const char *text, size_t len) {
    struct words *w = context;
    int rc = 0;
    size_t begin = 0;
    for (size_t at = 1; at <= len && rc == 0; at++) {
        if (at < len && symbols_adjoin(w->symbols, (unsigned char)text[at - 1], (unsigned char)text[at])) continue;
        rc = words_encode(w, text + begin, at - begin);
        begin = at;
    }
    return rc;
}

/* Well-formed text as the file wants it before anything else. */
static int normalize(struct encoder *e, struct gguf_string *text) {
    struct text buffer = {0};
    int rc = normal_run(&e->tokenizer->normal, *text, &buffer, text);
    if (rc == 0 && text->data == buffer.data) {
        text->data = arena_copy(&e->made, text->data, text->len);
        if (text->data == NULL) rc = ERR_NOMEM;
    }
    text_deinit(&buffer);
    return rc;
}

static int encode_stretch(struct encoder *e, struct gguf_string text, splitter_word *word) {
    const struct tokenizer *t = e->tokenizer;
    int rc = normalize(e, &text);
    if (rc < 0) return rc;
    return t->steps ? steps_run(t->steps, text.data, text.len, word, &e->words)
                    : splitter_run(t->splitter, text.data, text.len, word, &e->words);
}

/* Well-formed stretches are split into words; what lies between them is a word of its own. */
static int encode_bpe(struct encoder *e, const char *text, size_t len) {
    splitter_word *word = vocabulary_is_byte_level(&e->tokenizer->vocabulary) ? encode_word : encode_raw;
    int rc = 0;
    for (size_t at = 0; at < len && rc == 0;) {
        size_t begin = at, n;
        while (at < len && (n = utf8_len(text + at, len - at)) > 0) at += n;
        if (at > begin) rc = encode_stretch(e, (struct gguf_string){text + begin, at - begin}, word);
        for (begin = at; at < len && utf8_len(text + at, len - at) == 0;) at++;
        if (at > begin && rc == 0) rc = words_encode(&e->words, text + begin, at - begin);
    }
    return rc;
}

/* The part as raw vocabularies see it: U+2581 is a space, and with a prefix it begins with one. */
static int unescape(struct encoder *e, struct gguf_string *text, bool prefix) {
    if (!prefix && memmem(text->data, text->len, VOCABULARY_SPACE, 3) == NULL) return 0;
    char *out = arena_alloc(&e->made, text->len + 1);
    if (out == NULL) return ERR_NOMEM;
    if (prefix) out[0] = ' ';
    *text = (struct gguf_string){out, prefix + vocabulary_unescape(text->data, text->len, out + prefix)};
    return 0;
}

static bool begins_with_space(struct gguf_string text) {
    return text.len > 0 && (text.data[0] == ' ' || (text.len >= 3 && memcmp(text.data, VOCABULARY_SPACE, 3) == 0));
}

static int encode_by_unigram(void *context, const char *word, size_t len) {
    struct encoder *e = context;
    return unigram_encode_word(&e->tokenizer->unigram, word, len, e->words.out);
}

static int encode_sentencepiece(struct encoder *e, struct gguf_string text, bool prefix) {
    const struct tokenizer *t = e->tokenizer;
    bool well_formed = true;
    for (size_t at = 0, n; well_formed && at < text.len; at += n)
        well_formed = (n = utf8_len(text.data + at, text.len - at)) > 0;
    int rc = well_formed ? normalize(e, &text) : 0;
    if (rc < 0 || text.len == 0) return rc;
    if (t->vocabulary.space_once && begins_with_space(text)) prefix = false;
    if ((rc = unescape(e, &text, prefix)) < 0) return rc;
    bool unigram = t->vocabulary.kind == VOCABULARY_UNIGRAM;
    splitter_word *word = unigram ? encode_by_unigram : encode_raw;
    void *context = unigram ? (void *)e : &e->words;
    return well_formed && t->steps ? steps_run(t->steps, text.data, text.len, word, context)
                                   : word(context, text.data, text.len);
}

static int encode_part(struct encoder *e, struct gguf_string text, bool prefix) {
    const struct tokenizer *t = e->tokenizer;
    const struct vocabulary *v = &t->vocabulary;
    struct token_list *out = e->words.out;
    if (v->kind == VOCABULARY_WORDPIECE) return wordpiece_encode(&t->symbols, text.data, text.len, out);
    if (v->kind == VOCABULARY_UNIGRAM && !t->steps) return unigram_encode(&t->unigram, text.data, text.len, out);
    if (v->kind == VOCABULARY_SPM || v->kind == VOCABULARY_UNIGRAM) return encode_sentencepiece(e, text, prefix);
    int rc = vocabulary_is_byte_level(v) ? 0 : unescape(e, &text, prefix);
    return rc < 0 ? rc : encode_bpe(e, text.data, text.len);
}

static int encode_parts(struct encoder *e, const char *text, const struct partition_parts *parts) {
    const struct vocabulary *v = &e->tokenizer->vocabulary;
    bool first = true; /* a special token in front counts as the beginning of a text */
    int rc = 0;
    for (const struct partition_part *p = parts->at; p < parts->at + parts->count && rc == 0; p++) {
        if (p->token >= 0)
            rc = token_list_add(e->words.out, (uint32_t)p->token);
        else
            rc = encode_part(e, (struct gguf_string){text + p->begin, p->len}, first && v->add_space_prefix);
        first = p->token >= 0 && !v->space_first;
    }
    return rc;
}

static int encode_text(const struct tokenizer *t, const char *text, size_t len, bool parse_special,
                       struct token_list *out) {
    struct encoder e = {.tokenizer = t};
    struct partition_parts parts = {0};
    int rc = words_init(&e.words, &t->symbols, out, len);
    if (rc == 0) rc = partition_run(&t->partition, text, len, parse_special, &parts);
    if (rc == 0) rc = encode_parts(&e, text, &parts);
    free(parts.at);
    words_deinit(&e.words);
    arena_deinit(&e.made);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool add_special, bool parse_special,
                     struct token_list *out) {
    const struct vocabulary *v = &t->vocabulary;
    int rc = 0;
    if (v->kind == VOCABULARY_NONE) return 0;
    if (len >= UINT32_MAX) return ERR_NOMEM;
    if (add_special && v->add_bos && v->bos >= 0) rc = token_list_add(out, (uint32_t)v->bos);
    if (rc == 0 && len > 0) rc = encode_text(t, text, len, parse_special, out);
    if (rc == 0 && add_special && v->kind == VOCABULARY_WORDPIECE && v->add_separator && v->separator >= 0)
        rc = token_list_add(out, (uint32_t)v->separator);
    if (rc == 0 && add_special && v->add_eos && v->eos >= 0) rc = token_list_add(out, (uint32_t)v->eos);
    return rc;
}

/* ---- decoding, questions ---- */

void tokenizer_decode(const struct tokenizer *t, uint32_t id, bool special, bool first, struct text *out) {
    const struct vocabulary *v = &t->vocabulary;
    if (id >= v->count || (!special && !vocabulary_is_plain(v, id))) return;
    struct gguf_string piece = v->pieces[id];
    if (first && v->add_space_prefix && piece.len > 0 && piece.data[0] == ' ') piece.data++, piece.len--;
    text_add(out, piece.data, piece.len);
}

size_t tokenizer_count(const struct tokenizer *t) { return t->vocabulary.count; }

bool tokenizer_ends_generation(const struct tokenizer *t, uint32_t id) {
    return id < t->vocabulary.count && t->vocabulary.flags[id] & VOCABULARY_ENDS;
}

int64_t tokenizer_bos(const struct tokenizer *t) { return t->vocabulary.bos; }

int64_t tokenizer_eos(const struct tokenizer *t) { return t->vocabulary.eos; }

struct gguf_string tokenizer_piece(const struct tokenizer *t, uint32_t id) {
    return id < t->vocabulary.count ? t->vocabulary.texts[id] : (struct gguf_string){"", 0};
}
