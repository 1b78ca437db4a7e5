/* tokenizer.json and its companions to the vocabulary of a GGUF file.
 *
 * Byte-level BPE stays what it is, its pre-tokenizer known by its expressions (hf_pre.c). BPE over characters with
 * bytes to fall back on is SentencePiece's, whose merges are a score per token: the earlier the first merge that makes
 * it, the higher. Format: https://github.com/huggingface/tokenizers (the code is all there is). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/size.h"
#include "base/text.h"
#include "model/hf_private.h"
#include "model/tokenizer.h"
#include "model/tokenizer/vocabulary.h"

#define KEY(name) "tokenizer.ggml." name

enum { PAD_BYTES = 24, TOKENS_MAX = 1 << 22 };

struct token {
    const char *text; /* the JSON's; NULL: the id has none */
    size_t len;
    uint32_t type; /* enum token_attribute */
    uint8_t strips; /* TOKENIZER_STRIPS */
    float score;
};

struct vocab {
    const struct hf_json *json;
    const json_t *model; /* of tokenizer.json */
    struct gguf_writer *out;
    struct arena arena;
    struct token *tokens;
    uint32_t count;
    struct map ids; /* text -> id */
    bool strips;    /* a token takes white space around it */
};

static int no_memory(struct error *error) { return error_set(error, ERR_NOMEM, "out of memory"); }

static int invalid(struct error *error, const char *what) {
    return error_set(error, ERR_INVALID, "tokenizer.json: %s", what);
}

static bool is_text(const json_t *value, const char *text) {
    const char *found = json_string_value(value);
    return found && strcmp(found, text) == 0;
}

static void write_str(struct gguf_writer *w, const char *key, const char *text) {
    gguf_write_str(w, key, text, strlen(text));
}

/* ---- tokens ---- */

static int set_token(struct vocab *v, const char *text, size_t len, const json_t *id, uint32_t type,
                     struct error *error) {
    if (!text || !json_is_integer(id) || json_integer_value(id) < 0) return invalid(error, "a token has no text or id");
    if (json_integer_value(id) >= v->count) return 0; /* no row of the embedding is for it */
    uint32_t at = (uint32_t)json_integer_value(id);
    v->tokens[at] = (struct token){.text = text, .len = len, .type = type};
    return map_set(&v->ids, text, len, at) == 0 ? 0 : no_memory(error);
}

static int read_tokens(struct vocab *v, bool bytes, struct error *error) {
    const char *text;
    json_t *id, *vocab = json_object_get(v->model, "vocab");
    if (!json_is_object(vocab)) return invalid(error, "its model has no vocab");
    json_object_foreach(vocab, text, id) {
        char byte;
        size_t len = strlen(text);
        uint32_t type = bytes && vocabulary_byte((struct gguf_string){text, len}, &byte) ? TOKEN_BYTE : TOKEN_NORMAL;
        int rc = set_token(v, text, len, id, type, error);
        if (rc < 0) return rc;
    }
    return 0;
}

/* The white space around it that an added token takes. */
static void read_strips(struct vocab *v, const json_t *added) {
    json_int_t id = json_integer_value(json_object_get(added, "id"));
    uint8_t left = json_is_true(json_object_get(added, "lstrip"));
    uint8_t right = json_is_true(json_object_get(added, "rstrip"));
    if (id < v->count) v->tokens[id].strips = (uint8_t)(left | right << 1);
    v->strips |= left || right;
}

static void write_strips(const struct vocab *v) {
    if (!v->strips) return;
    gguf_write_array(v->out, TOKENIZER_STRIPS, GGUF_U8, v->count);
    for (uint32_t i = 0; i < v->count; i++) gguf_write_item_u8(v->out, v->tokens[i].strips);
}

static int read_added(struct vocab *v, struct error *error) {
    size_t i;
    json_t *added;
    json_array_foreach(json_object_get(v->json->tokenizer, "added_tokens"), i, added) {
        const json_t *text = json_object_get(added, "content");
        uint32_t type = json_is_true(json_object_get(added, "special")) ? TOKEN_CONTROL : TOKEN_USER_DEFINED;
        int rc =
            set_token(v, json_string_value(text), json_string_length(text), json_object_get(added, "id"), type, error);
        if (rc < 0) return rc;
        read_strips(v, added);
    }
    return 0;
}

/* Rows of the embedding without a token. */
static int fill_gaps(struct vocab *v, struct error *error) {
    for (uint32_t id = 0; id < v->count; id++) {
        if (v->tokens[id].text) continue;
        char text[PAD_BYTES];
        int len = snprintf(text, sizeof text, "[PAD%u]", id);
        const char *copy = arena_copy(&v->arena, text, (size_t)len);
        if (!copy) return no_memory(error);
        v->tokens[id] = (struct token){.text = copy, .len = (size_t)len, .type = TOKEN_UNUSED};
    }
    return 0;
}

static bool find_id(const struct vocab *v, const char *text, size_t len, uint32_t *id) {
    uint64_t found = 0;
    bool known = map_get(&v->ids, text, len, &found);
    *id = (uint32_t)found;
    return known;
}

static void write_tokens(const struct vocab *v) {
    gguf_write_array(v->out, KEY("tokens"), GGUF_STRING, v->count);
    for (uint32_t i = 0; i < v->count; i++) gguf_write_item_str(v->out, v->tokens[i].text, v->tokens[i].len);
    gguf_write_array(v->out, KEY("token_type"), GGUF_I32, v->count);
    for (uint32_t i = 0; i < v->count; i++) gguf_write_item_u32(v->out, v->tokens[i].type);
}

/* What is done to texts and their spaces. */
static int write_spaces(struct vocab *v, struct error *error) {
    const json_t *tokenizer = v->json->tokenizer;
    int rc = hf_write_normal(tokenizer, true, v->out, error);
    if (rc == 0) rc = hf_write_steps(tokenizer, true, v->out, error);
    gguf_write_bool(v->out, KEY("add_space_prefix"), hf_adds_space(tokenizer));
    if (hf_adds_missing_space(tokenizer)) gguf_write_bool(v->out, TOKENIZER_SPACE_ONCE, true);
    if (hf_adds_first_space(tokenizer)) gguf_write_bool(v->out, TOKENIZER_SPACE_FIRST, true);
    return rc;
}

/* ---- merges ---- */

/* "left right", or ["left", "right"], as one text with the space in `out`; its place in *space. */
static int read_merge(const json_t *merge, struct text *out, size_t *space, struct error *error) {
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    text_clear(out);
    if (json_is_string(merge)) {
        text_add(out, json_string_value(merge), json_string_length(merge));
    } else if (json_is_string(left) && json_is_string(right)) {
        text_printf(out, "%s ", json_string_value(left));
        text_add(out, json_string_value(right), json_string_length(right));
    }
    if (out->failed) return no_memory(error);
    const char *at = out->len > 1 ? memchr(out->data + 1, ' ', out->len - 1) : NULL;
    if (!at) return invalid(error, "a merge is not of two texts");
    *space = (size_t)(at - out->data);
    return 0;
}

/* What a merge makes gets a score by its rank. */
static void score_merge(struct vocab *v, struct text *merge, size_t space, size_t rank) {
    uint32_t id;
    memmove(merge->data + space, merge->data + space + 1, merge->len - space - 1);
    if (find_id(v, merge->data, merge->len - 1, &id) && v->tokens[id].score == 0)
        v->tokens[id].score = -(float)rank - 1;
}

/* No merge makes the token, so it must not come of one. */
static bool is_unmade(const struct token *t) { return t->type == TOKEN_NORMAL && t->score == 0; }

static int each_merge(struct vocab *v, bool scores, struct error *error) {
    size_t i, space = 0;
    json_t *merge;
    struct text text = {0};
    int rc = 0;
    json_array_foreach(json_object_get(v->model, "merges"), i, merge) {
        if ((rc = read_merge(merge, &text, &space, error)) < 0) break;
        if (scores)
            score_merge(v, &text, space, i);
        else
            gguf_write_item_str(v->out, text.data, text.len);
    }
    text_deinit(&text);
    return rc;
}

static int write_byte_level(struct vocab *v, struct error *error) {
    const json_t *tokenizer = v->json->tokenizer;
    const char *suffix = json_string_value(json_object_get(v->model, "end_of_word_suffix"));
    if (suffix && *suffix)
        return error_set(error, ERR_UNSUPPORTED, "tokenizer.json: words that end in \"%.20s\" are not supported",
                         suffix);
    write_str(v->out, KEY("model"), "gpt2");
    int rc = hf_write_pre(tokenizer, v->out, error);
    if (rc == 0) rc = hf_write_normal(tokenizer, false, v->out, error);
    if (rc < 0) return rc;
    gguf_write_bool(v->out, TOKENIZER_IGNORE_MERGES, json_is_true(json_object_get(v->model, "ignore_merges")));
    write_tokens(v);
    gguf_write_array(v->out, KEY("merges"), GGUF_STRING, json_array_size(json_object_get(v->model, "merges")));
    return each_merge(v, false, error);
}

static void write_scores(const struct vocab *v) {
    gguf_write_array(v->out, KEY("scores"), GGUF_F32, v->count);
    for (uint32_t i = 0; i < v->count; i++) gguf_write_item_f32(v->out, v->tokens[i].score);
}

static int write_sentencepiece(struct vocab *v, struct error *error) {
    uint32_t unknown;
    const json_t *name = json_object_get(v->model, "unk_token");
    if (json_is_string(name) && find_id(v, json_string_value(name), json_string_length(name), &unknown)) {
        v->tokens[unknown].type = TOKEN_UNKNOWN;
        gguf_write_u32(v->out, KEY("unknown_token_id"), unknown);
    }
    int rc = each_merge(v, true, error);
    write_str(v->out, KEY("model"), "llama");
    write_str(v->out, KEY("pre"), "default");
    write_tokens(v);
    for (uint32_t i = 0; i < v->count; i++)
        if (is_unmade(&v->tokens[i])) v->tokens[i].score = -1e30f;
    write_scores(v);
    return rc < 0 ? rc : write_spaces(v, error);
}

/* ---- WordPiece ---- */

/* What goes on a word has "##" in front; in GGUF what begins one has U+2581. */
static int respell(struct vocab *v, struct token *t, struct error *error) {
    if (t->type != TOKEN_NORMAL) return 0;
    if (t->len > 2 && memcmp(t->text, "##", 2) == 0) {
        t->text += 2;
        t->len -= 2;
        return 0;
    }
    char *text = arena_alloc(&v->arena, t->len + 4);
    if (!text) return no_memory(error);
    memcpy(text, VOCABULARY_SPACE, 3);
    memcpy(text + 3, t->text, t->len);
    *t = (struct token){.text = text, .len = t->len + 3, .type = t->type};
    return 0;
}

static int write_wordpiece(struct vocab *v, struct error *error) {
    static const struct {
        const char *text, *key;
    } ids[] = {{"[UNK]", KEY("unknown_token_id")},
               {"[CLS]", KEY("bos_token_id")},
               {"[SEP]", KEY("seperator_token_id")},
               {"[MASK]", KEY("mask_token_id")}};
    uint32_t id;
    const json_t *normalizer = json_object_get(v->json->tokenizer, "normalizer");
    bool lower_case = !json_is_false(json_object_get(normalizer, "lowercase"));
    const json_t *strips = json_object_get(normalizer, "strip_accents");
    gguf_write_bool(v->out, KEY("normalizer.lowercase"), lower_case);
    gguf_write_bool(v->out, KEY("normalizer.strip_accents"),
                    json_is_boolean(strips) ? json_is_true(strips) : lower_case);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (find_id(v, ids[i].text, strlen(ids[i].text), &id)) gguf_write_u32(v->out, ids[i].key, id);
    for (uint32_t i = 0; i < v->count; i++)
        if (respell(v, &v->tokens[i], error) < 0) return ERR_NOMEM;
    write_str(v->out, KEY("model"), "bert");
    write_str(v->out, KEY("pre"), "default");
    write_tokens(v);
    return 0;
}

/* ---- unigram ---- */

/* [["text", score], ...] in the order of the ids. */
static int read_scored(struct vocab *v, struct error *error) {
    size_t i;
    json_t *one, *vocab = json_object_get(v->model, "vocab");
    if (!json_is_array(vocab)) return invalid(error, "its model has no vocab");
    json_array_foreach(vocab, i, one) {
        const json_t *text = json_array_get(one, 0), *score = json_array_get(one, 1);
        json_t *id = json_integer((json_int_t)i);
        int rc = id ? set_token(v, json_string_value(text), json_string_length(text), id, TOKEN_NORMAL, error)
                    : no_memory(error);
        json_decref(id);
        if (rc < 0) return rc;
        if (i < v->count) v->tokens[i].score = (float)json_number_value(score);
    }
    return 0;
}

static void write_map(struct vocab *v) {
    size_t len = 0;
    const char *base64 = hf_charsmap(v->json->tokenizer);
    uint8_t *bytes = base64 ? arena_alloc(&v->arena, strlen(base64) + 1) : NULL;
    if (!bytes || !hf_unbase64(base64, bytes, &len)) return;
    gguf_write_array(v->out, KEY("precompiled_charsmap"), GGUF_U8, len);
    for (size_t i = 0; i < len; i++) gguf_write_item_u8(v->out, bytes[i]);
}

static int write_unigram(struct vocab *v, struct error *error) {
    const json_t *unknown = json_object_get(v->model, "unk_id");
    if (json_is_integer(unknown) && json_integer_value(unknown) >= 0 && json_integer_value(unknown) < v->count) {
        v->tokens[json_integer_value(unknown)].type = TOKEN_UNKNOWN;
        gguf_write_u32(v->out, KEY("unknown_token_id"), (uint32_t)json_integer_value(unknown));
    }
    write_str(v->out, KEY("model"), "t5");
    write_str(v->out, KEY("pre"), "default");
    write_tokens(v);
    write_scores(v);
    write_map(v);
    gguf_write_bool(v->out, KEY("remove_extra_whitespaces"), hf_merges_spaces(v->json->tokenizer));
    if (json_is_true(json_object_get(v->model, "byte_fallback")))
        gguf_write_bool(v->out, TOKENIZER_BYTE_FALLBACK, true);
    return write_spaces(v, error);
}

/* ---- tokens with a part to play ---- */

/* "bos_token": a text, or an object with it. */
static bool named_token(const struct vocab *v, const char *key, uint32_t *id) {
    const json_t *name = json_object_get(v->json->tokenizer_config, key);
    if (json_is_object(name)) name = json_object_get(name, "content");
    return json_is_string(name) && find_id(v, json_string_value(name), json_string_length(name), id);
}

/* "bos_token_id": a number, or a list of which the first counts. */
static bool numbered_token(const struct vocab *v, const json_t *config, const char *key, uint32_t *id) {
    const json_t *value = json_object_get(config, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) >= v->count) return false;
    *id = (uint32_t)json_integer_value(value);
    return true;
}

static void write_ids(const struct vocab *v, const json_t *config) {
    static const struct {
        const char *name, *number, *key;
    } ids[] = {{"bos_token", "bos_token_id", KEY("bos_token_id")},
               {"eos_token", "eos_token_id", KEY("eos_token_id")},
               {"pad_token", "pad_token_id", KEY("padding_token_id")}};
    uint32_t id;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (named_token(v, ids[i].name, &id) || numbered_token(v, config, ids[i].number, &id))
            gguf_write_u32(v->out, ids[i].key, id);
    if (numbered_token(v, v->json->generation_config, "eos_token_id", &id))
        gguf_write_u32(v->out, KEY("eot_token_id"), id);
}

/* BERT's and RoBERTa's own kinds of post-processor put a token on either side of every text. */
static bool is_framing(const json_t *processor) {
    const json_t *type = json_object_get(processor, "type");
    return is_text(type, "BertProcessing") || is_text(type, "RobertaProcessing");
}

/* What is put around every text: of the post-processor, which may be a sequence of them. NULL: it does not say. */
static const json_t *find_template(const json_t *processor) {
    size_t i;
    const json_t *one, *found;
    if (is_text(json_object_get(processor, "type"), "TemplateProcessing")) return json_object_get(processor, "single");
    json_array_foreach(json_object_get(processor, "processors"), i,
                       one) if ((found = find_template(one)) != NULL) return found;
    return NULL;
}

static void write_additions(const struct vocab *v) {
    const json_t *processor = json_object_get(v->json->tokenizer, "post_processor");
    const json_t *template = find_template(processor);
    size_t count = json_array_size(template);
    const json_t *config = v->json->tokenizer_config;
    bool bos = is_framing(processor) || json_is_true(json_object_get(config, "add_bos_token"));
    bool eos = is_framing(processor) || json_is_true(json_object_get(config, "add_eos_token"));
    if (count > 0) {
        bos = json_object_get(json_array_get(template, 0), "SpecialToken") != NULL;
        eos = json_object_get(json_array_get(template, count - 1), "SpecialToken") != NULL;
    }
    gguf_write_bool(v->out, KEY("add_bos_token"), bos);
    gguf_write_bool(v->out, KEY("add_eos_token"), eos);
}

/* A file of its own goes before the one in the tokenizer's config, which may be several, by name. */
static void write_template(const struct vocab *v, struct hf_text file) {
    size_t i;
    const json_t *text = json_object_get(v->json->tokenizer_config, "chat_template"), *one;
    if (json_is_array(text)) {
        const json_t *list = text;
        json_array_foreach(list, i, one) if (i == 0 || is_text(json_object_get(one, "name"), "default")) text =
            json_object_get(one, "template");
    }
    if (file.data)
        gguf_write_str(v->out, "tokenizer.chat_template", file.data, file.len);
    else if (json_is_string(text))
        gguf_write_str(v->out, "tokenizer.chat_template", json_string_value(text), json_string_length(text));
}

/* ---- all of it ---- */

enum kind { BYTE_LEVEL, SENTENCEPIECE, UNIGRAM, WORDPIECE };

static int find_kind(const struct vocab *v, enum kind *out, struct error *error) {
    const json_t *type = json_object_get(v->model, "type");
    bool bytes = json_is_true(json_object_get(v->model, "byte_fallback"));
    *out = is_text(type, "Unigram")     ? UNIGRAM
           : is_text(type, "WordPiece") ? WORDPIECE
           : bytes                      ? SENTENCEPIECE
                                        : BYTE_LEVEL;
    if (*out == UNIGRAM || *out == WORDPIECE || is_text(type, "BPE") ||
        (!type && json_is_array(json_object_get(v->model, "merges"))))
        return 0;
    return error_set(error, ERR_UNSUPPORTED, "tokenizer.json: its model is of the type %.40s, which is not supported",
                     json_is_string(type) ? json_string_value(type) : "(none)");
}

static int write_vocab(struct vocab *v, const struct hf_model *m, struct hf_text template, struct error *error) {
    enum kind kind;
    int rc = find_kind(v, &kind, error);
    if (rc == 0) rc = kind == UNIGRAM ? read_scored(v, error) : read_tokens(v, kind == SENTENCEPIECE, error);
    if (rc == 0) rc = read_added(v, error);
    if (rc == 0) rc = fill_gaps(v, error);
    if (rc < 0) return rc;
    rc = kind == UNIGRAM         ? write_unigram(v, error)
         : kind == WORDPIECE     ? write_wordpiece(v, error)
         : kind == SENTENCEPIECE ? write_sentencepiece(v, error)
                                 : write_byte_level(v, error);
    if (rc < 0) return rc;
    write_strips(v);
    if (kind != WORDPIECE) write_ids(v, m->text);
    if (kind != WORDPIECE) write_additions(v);
    write_template(v, template);
    return 0;
}

int hf_write_vocab(const struct hf_model *m, const struct hf_json *json, struct hf_text chat_template,
                   struct hf_result *out, struct error *error) {
    if (!json->tokenizer) {
        write_str(&out->writer, KEY("model"), "none");
        return 0;
    }
    if (m->vocab > TOKENS_MAX) return error_set(error, ERR_INVALID, "config.json: vocab_size is %u", m->vocab);
    struct vocab v = {
        .json = json, .model = json_object_get(json->tokenizer, "model"), .out = &out->writer, .count = m->vocab};
    v.tokens = arena_array(&v.arena, v.count + 1, sizeof *v.tokens);
    int rc = v.tokens ? write_vocab(&v, m, chat_template, error) : no_memory(error);
    map_deinit(&v.ids);
    arena_deinit(&v.arena);
    return rc;
}
