#include "model/tokenizer/vocabulary.h"

#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/size.h"
#include "model/tokenizer/pre.h"
#include "model/tokenizer/utf8.h"

#define KEY(name) "tokenizer.ggml." name

static int no_memory(struct error *error) { return error_set(error, ERR_NOMEM, "no memory for the vocabulary"); }

/* How much of a name stands in an error. */
static int shown(struct gguf_string name) { return name.len < 64 ? (int)name.len : 64; }

/* ---- what the file says ---- */

/* A field that must be an array with at least one item per token, if it is there. */
static int find_array(const struct vocabulary *v, const struct gguf *g, const char *key, const struct gguf_value **out,
                      struct error *error) {
    *out = gguf_find(g, key);
    if (*out == NULL) return 0;
    if ((*out)->type != GGUF_ARRAY || (*out)->item_type == GGUF_STRING || (*out)->item_type == GGUF_ARRAY)
        return error_set(error, ERR_INVALID, "%s is not an array of numbers", key);
    if ((*out)->count < v->count)
        return error_set(error, ERR_INVALID, "%s has %llu items for %u tokens", key, (unsigned long long)(*out)->count,
                         v->count);
    return 0;
}

static int read_tokens(struct vocabulary *v, const struct gguf *g, struct error *error) {
    const struct gguf_value *tokens = gguf_find(g, KEY("tokens"));
    if (tokens == NULL || tokens->type != GGUF_ARRAY || tokens->item_type != GGUF_STRING)
        return error_set(error, ERR_INVALID, KEY("tokens") " is not an array of texts");
    if (tokens->count == 0 || tokens->count > INT32_MAX)
        return error_set(error, ERR_INVALID, KEY("tokens") " has %llu items", (unsigned long long)tokens->count);
    v->count = (uint32_t)tokens->count;
    v->texts = tokens->strings;
    v->types = arena_alloc(&v->arena, v->count);
    v->flags = arena_alloc(&v->arena, v->count);
    v->scores = arena_array(&v->arena, v->count, sizeof *v->scores);
    v->pieces = arena_array(&v->arena, v->count, sizeof *v->pieces);
    return v->types && v->flags && v->scores && v->pieces ? 0 : no_memory(error);
}

static int read_types(struct vocabulary *v, const struct gguf *g, struct error *error) {
    const struct gguf_value *types;
    int rc = find_array(v, g, KEY("token_type"), &types, error);
    for (uint32_t i = 0; i < v->count && rc == 0; i++) {
        int64_t type = TOKEN_NORMAL;
        if (types && !gguf_item_i64(types, i, &type))
            rc = error_set(error, ERR_INVALID, KEY("token_type") " is not an array of integers");
        v->types[i] = (uint8_t)(type >= TOKEN_NORMAL && type <= TOKEN_BYTE ? type : TOKEN_UNUSED);
    }
    return rc;
}

static int read_scores(struct vocabulary *v, const struct gguf *g, struct error *error) {
    const struct gguf_value *scores;
    int rc = find_array(v, g, KEY("scores"), &scores, error);
    for (uint32_t i = 0; i < v->count && scores && rc == 0; i++)
        if (!gguf_item_f32(scores, i, &v->scores[i]))
            rc = error_set(error, ERR_INVALID, KEY("scores") " is not an array of numbers");
    return rc;
}

static int read_model(struct vocabulary *v, const struct gguf *g, struct error *error) {
    struct gguf_string model = {"none", 4}, pre = {"", 0};
    gguf_str(g, KEY("model"), &model);
    gguf_str(g, KEY("pre"), &pre);
    if (gguf_string_is(model, "none") || gguf_string_is(model, "no_vocab")) {
        v->kind = VOCABULARY_NONE;
    } else if (gguf_string_is(model, "llama")) {
        v->kind = VOCABULARY_SPM;
    } else if (gguf_string_is(model, "t5")) {
        v->kind = VOCABULARY_UNIGRAM;
    } else if (gguf_string_is(model, "bert")) {
        v->kind = VOCABULARY_WORDPIECE;
    } else if (gguf_string_is(model, "gpt2") || gguf_string_is(model, "gemma4")) {
        v->kind = VOCABULARY_BPE;
        v->pre = pre_find(gguf_string_is(model, "gpt2") ? pre : model);
        if (v->pre == NULL)
            return error_set(error, ERR_UNSUPPORTED, "the pre-tokenizer \"%.*s\" is not supported", shown(pre),
                             pre.data);
    } else {
        return error_set(error, ERR_UNSUPPORTED, "the tokenizer \"%.*s\" is not supported", shown(model), model.data);
    }
    return 0;
}

/* ---- tokens with a part to play ---- */

static void set_defaults(struct vocabulary *v) {
    v->bos = v->eos = v->eot = v->eom = v->unknown = v->separator = v->padding = v->mask = -1;
    v->fim_pad = v->fim_rep = v->fim_sep = -1;
    if (v->kind == VOCABULARY_SPM) {
        v->unknown = 0, v->bos = 1, v->eos = 2;
        v->add_bos = v->add_space_prefix = true;
    } else if (v->kind == VOCABULARY_UNIGRAM) {
        v->padding = 0, v->eos = 1, v->unknown = 2;
        v->add_eos = true;
    } else if (v->kind == VOCABULARY_WORDPIECE) {
        v->padding = 0, v->unknown = 100, v->bos = 101, v->separator = 102, v->mask = 103;
        v->add_bos = v->add_separator = v->lower_case = true;
    } else {
        v->eos = 11;
        v->bos = v->pre->no_bos ? -1 : 11;
        v->add_bos = v->pre->add_bos;
    }
}

static void read_id(const struct vocabulary *v, const struct gguf *g, const char *key, int64_t *id) {
    uint64_t given;
    if (*id >= v->count) *id = -1;
    if (gguf_u64(g, key, &given) && given < v->count) *id = (int64_t)given;
}

static void read_special_ids(struct vocabulary *v, const struct gguf *g) {
    read_id(v, g, KEY("bos_token_id"), &v->bos);
    read_id(v, g, KEY("eos_token_id"), &v->eos);
    read_id(v, g, KEY("eot_token_id"), &v->eot);
    read_id(v, g, KEY("eom_token_id"), &v->eom);
    read_id(v, g, KEY("unknown_token_id"), &v->unknown);
    read_id(v, g, KEY("seperator_token_id"), &v->separator);
    read_id(v, g, KEY("padding_token_id"), &v->padding);
    read_id(v, g, KEY("mask_token_id"), &v->mask);
    read_id(v, g, KEY("fim_pad_token_id"), &v->fim_pad);
    read_id(v, g, KEY("fim_rep_token_id"), &v->fim_rep);
    read_id(v, g, KEY("fim_sep_token_id"), &v->fim_sep);
    gguf_bool(g, KEY("add_bos_token"), &v->add_bos);
    gguf_bool(g, KEY("add_eos_token"), &v->add_eos);
    gguf_bool(g, KEY("add_sep_token"), &v->add_separator);
    if (v->kind != VOCABULARY_BPE) gguf_bool(g, KEY("add_space_prefix"), &v->add_space_prefix);
    gguf_bool(g, KEY("normalizer.lowercase"), &v->lower_case);
    v->strip_accents = v->lower_case;
    gguf_bool(g, KEY("normalizer.strip_accents"), &v->strip_accents);
    if (v->pre && v->pre->bos_always) v->add_bos = true;
    v->whole_words = v->pre && v->pre->ignore_merges;
    gguf_bool(g, TOKENIZER_IGNORE_MERGES, &v->whole_words);
    gguf_bool(g, TOKENIZER_SPACE_ONCE, &v->space_once);
    gguf_bool(g, TOKENIZER_SPACE_FIRST, &v->space_first);
}

/* Tokens that end generation by what they say, in whatever file. */
static const char *const ends[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
};

/* Tokens for filling in code: control tokens by what they say. */
static const char *const fillers[] = {
    "<|fim_prefix|>",  "<fim-prefix>",  "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",           "▁<PRE>",
    "<|code_prefix|>", "<|prefix|>",    "<|fim_suffix|>",  "<fim-suffix>",    "<fim_suffix>",    "<｜fim▁hole｜>",
    "<SUF>",           "▁<SUF>",        "<|code_suffix|>", "<|suffix|>",      "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",    "<｜fim▁end｜>", "<MID>",           "▁<MID>",          "<|code_middle|>", "<|middle|>",
};
static const char *const fim_pads[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
static const char *const fim_reps[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"};
static const char *const fim_seps[] = {"<|file_sep|>"};
/* Those of OpenAI's harmony format belong to the text. */
static const char *const spoken[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

static bool is_one_of(struct gguf_string text, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (gguf_string_is(text, names[i])) return true;
    return false;
}

#define IS_ONE_OF(text, names) is_one_of(text, names, ARRAY_LEN(names))

static void find_filler(struct vocabulary *v, uint32_t id, int64_t *known, bool match) {
    if (!match || (*known >= 0 && *known != id)) return;
    *known = id;
    v->types[id] = TOKEN_CONTROL;
}

static void read_text(struct vocabulary *v, uint32_t id) {
    struct gguf_string text = v->texts[id];
    if (IS_ONE_OF(text, ends)) v->flags[id] |= VOCABULARY_ENDS;
    if (IS_ONE_OF(text, ends) || IS_ONE_OF(text, fillers)) v->types[id] = TOKEN_CONTROL;
    find_filler(v, id, &v->fim_pad, IS_ONE_OF(text, fim_pads));
    find_filler(v, id, &v->fim_rep, IS_ONE_OF(text, fim_reps));
    find_filler(v, id, &v->fim_sep, IS_ONE_OF(text, fim_seps));
    if (IS_ONE_OF(text, spoken)) v->types[id] = TOKEN_USER_DEFINED;
}

static int64_t find_text(const struct vocabulary *v, const char *name) {
    for (uint32_t id = v->count; id-- > 0;)
        if (gguf_string_is(v->texts[id], name)) return id;
    return -1;
}

static void withdraw_end(struct vocabulary *v, const char *name, enum token_attribute type) {
    int64_t id = find_text(v, name);
    if (id < 0) return;
    v->flags[id] &= (uint8_t)~VOCABULARY_ENDS;
    v->types[id] = (uint8_t)type;
}

/* Where a family uses the text of an end for something else. */
static void withdraw_false_ends(struct vocabulary *v) {
    bool calls = find_text(v, "<|call|>") >= 0 || find_text(v, "<|calls|>") >= 0;
    if ((find_text(v, "<|return|>") >= 0 && calls) || (find_text(v, "<|flush|>") >= 0 && calls))
        withdraw_end(v, "<|end|>", TOKEN_USER_DEFINED);
    if (find_text(v, "<|tool_response>") >= 0) withdraw_end(v, "</s>", TOKEN_NORMAL);
}

static void find_ends(struct vocabulary *v) {
    for (uint32_t id = 0; id < v->count; id++)
        if (v->texts[id].len > 2 && strchr("<[_\xe2", v->texts[id].data[0])) read_text(v, id);
    const int64_t by_id[] = {v->eos, v->eot, v->eom, v->fim_pad, v->fim_rep, v->fim_sep};
    for (size_t i = 0; i < ARRAY_LEN(by_id); i++)
        if (by_id[i] >= 0) v->flags[by_id[i]] |= VOCABULARY_ENDS;
    withdraw_false_ends(v);
}

/* ---- white space around tokens ---- */

static void set_strip(struct vocabulary *v, const char *name, uint8_t flag) {
    int64_t id = find_text(v, name);
    if (id >= 0) v->flags[id] |= flag;
}

static bool contains(struct gguf_string text, const char *part) {
    for (size_t i = 0; i + strlen(part) <= text.len; i++)
        if (strncasecmp(text.data + i, part, strlen(part)) == 0) return true;
    return false;
}

/* What files of some models do not say, by their names. */
static void guess_strips(struct vocabulary *v, const struct gguf *g) {
    struct gguf_string name = {"", 0}, pre = {"", 0};
    gguf_str(g, "general.name", &name);
    gguf_str(g, KEY("pre"), &pre);
    if (contains(pre, "jina-v2-de") || contains(pre, "jina-v2-es") || contains(pre, "jina-v2-code")) {
        set_strip(v, "<mask>", VOCABULARY_LSTRIP);
    } else if (contains(name, "phi-3") || contains(name, "phi3")) {
        for (uint32_t id = 0; id < v->count; id++)
            if (!vocabulary_is_plain(v, id) || v->types[id] == TOKEN_USER_DEFINED) v->flags[id] |= VOCABULARY_RSTRIP;
        set_strip(v, "</s>", VOCABULARY_RSTRIP);
        static const char *const kept[] = {"<unk>", "<s>", "<|endoftext|>"};
        for (size_t i = 0; i < ARRAY_LEN(kept); i++)
            if (find_text(v, kept[i]) >= 0) v->flags[find_text(v, kept[i])] &= (uint8_t)~VOCABULARY_RSTRIP;
    } else if (contains(name, "modern-bert")) {
        set_strip(v, "[MASK]", VOCABULARY_LSTRIP);
    }
}

static int read_strips(struct vocabulary *v, const struct gguf *g, struct error *error) {
    const struct gguf_value *strips;
    int rc = find_array(v, g, TOKENIZER_STRIPS, &strips, error);
    if (rc < 0 || strips == NULL) return guess_strips(v, g), rc;
    for (uint32_t i = 0; i < v->count; i++) {
        int64_t strip = 0;
        gguf_item_i64(strips, i, &strip);
        if (strip & 1) v->flags[i] |= VOCABULARY_LSTRIP;
        if (strip & 2) v->flags[i] |= VOCABULARY_RSTRIP;
    }
    return 0;
}

/* ---- pieces ---- */

bool vocabulary_is_byte_level(const struct vocabulary *v) { return v->kind == VOCABULARY_BPE && !v->pre->raw; }

/* The byte that a character of byte-level BPE stands for, or -1. */
static int unbyte(uint32_t c) {
    if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff)) return (int)c;
    if (c >= 0x100 && c <= 0x120) return (int)(c - 0x100);
    if (c >= 0x121 && c <= 0x142) return (int)(c - 0x121 + 0x7f);
    return c == 0x143 ? 0xad : -1;
}

uint32_t vocabulary_spell(uint8_t byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte >= 0x7f && byte <= 0xa0) return 0x121u + byte - 0x7f;
    return byte == 0xad ? 0x143 : byte;
}

bool vocabulary_unbyte(const char *text, size_t len, char *out, size_t *out_len) {
    const char *end = text + len;
    *out_len = 0;
    while (text < end) {
        if (utf8_len(text, (size_t)(end - text)) == 0) return false;
        int byte = unbyte(utf8_next(&text));
        if (byte < 0) return false;
        out[(*out_len)++] = (char)byte;
    }
    return true;
}

size_t vocabulary_unescape(const char *text, size_t len, char *out) {
    size_t out_len = 0;
    for (size_t i = 0; i < len;) {
        bool space = len - i >= 3 && memcmp(text + i, VOCABULARY_SPACE, 3) == 0;
        out[out_len++] = space ? ' ' : text[i];
        i += space ? 3 : 1;
    }
    return out_len;
}

bool vocabulary_byte(struct gguf_string text, char *out) {
    return text.len == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>' &&
           hex_read(text.data + 3, (uint8_t *)out, 1);
}

static int make_piece(struct vocabulary *v, uint32_t id, struct error *error) {
    struct gguf_string text = v->texts[id];
    v->pieces[id] = text;
    if (v->types[id] == TOKEN_UNUSED) v->pieces[id].len = 0;
    if (v->types[id] != TOKEN_NORMAL && v->types[id] != TOKEN_BYTE) return 0;
    char *bytes = arena_alloc(&v->arena, text.len + 1);
    if (bytes == NULL) return no_memory(error);
    struct gguf_string piece = {bytes, 1};
    if (v->types[id] == TOKEN_BYTE) {
        if (!vocabulary_byte(text, bytes)) return 0;
    } else if (vocabulary_is_byte_level(v)) {
        if (!vocabulary_unbyte(text.data, text.len, bytes, &piece.len)) return 0;
    } else {
        piece.len = vocabulary_unescape(text.data, text.len, bytes);
    }
    v->pieces[id] = piece;
    return 0;
}

int vocabulary_init(struct vocabulary *v, const struct gguf *g, struct error *error) {
    *v = (struct vocabulary){0};
    int rc = read_model(v, g, error);
    if (rc || v->kind == VOCABULARY_NONE) return rc;
    rc = read_tokens(v, g, error);
    if (rc == 0) rc = read_types(v, g, error);
    if (rc == 0) rc = read_scores(v, g, error);
    if (rc) return rc;
    set_defaults(v);
    read_special_ids(v, g);
    find_ends(v);
    rc = read_strips(v, g, error);
    for (uint32_t id = 0; id < v->count && rc == 0; id++) rc = make_piece(v, id, error);
    return rc;
}

void vocabulary_deinit(struct vocabulary *v) {
    arena_deinit(&v->arena);
    *v = (struct vocabulary){0};
}
