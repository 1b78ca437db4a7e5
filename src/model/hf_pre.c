/* How tokenizer.json prepares a text, as the names that GGUF has for it. What has none is steps (hf_steps.c). */
#include <jansson.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "model/hf_private.h"

/* The parts that expressions have in common. */
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define PREFIX      "[^\\r\\n\\p{L}\\p{N}]?"
#define SPACES      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS       " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
#define SIGNS_SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|"
#define UPPER       "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define KANA        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
#define ASCII_SIGNS "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"

/* Expressions of the steps, each behind a line end. Rough: what the name means in GGUF is not quite the same. */
static const struct known {
    const char *expressions, *name;
    bool rough;
} known[] = {
    {"\n" GPT2, "gpt-2"},
    {"\ndigits\n" GPT2, "smollm"},
    {"\n" CONTRACTION "|" PREFIX "\\p{L}+|\\p{N}{1,3}|" SIGNS SPACES, "llama-bpe"},
    {"\n" CONTRACTION "|" PREFIX "\\p{L}+|\\p{N}|" SIGNS SPACES, "qwen2"},
    {"\n" CONTRACTION "|" PREFIX "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES, "qwen35"},
    {"\n" PREFIX UPPER "*" LOWER "+" CONTRACTION "?|" PREFIX UPPER "+" LOWER "*" CONTRACTION
     "?|\\p{N}{1,3}|" SIGNS_SLASH SPACES,
     "gpt-4o", true},
    {"\n" PREFIX UPPER "*" LOWER "+|" PREFIX UPPER "+" LOWER "*|\\p{N}|" SIGNS_SLASH SPACES, "tekken", true},
    {"\n\\p{N}{1,3}\n" KANA "\n" ASCII_SIGNS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
     "[\\r\\n]*|" SPACES,
     "deepseek-v3"},
    {"\n[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+\ndigits", "deepseek-coder"},
};

static const struct {
    const char *from, *to;
} spellings[] = {{"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", CONTRACTION},
                 {"'(?i:[sdmt]|ll|ve|re)", CONTRACTION},
                 {"(?i:'s|'t|'re|'ve|'m|'d|'ll)", CONTRACTION}};

bool hf_is_type(const json_t *step, const char *type) {
    const char *found = json_string_value(json_object_get(step, "type"));
    return found && strcmp(found, type) == 0;
}

/* The expression with one spelling of what can be spelt in several ways. */
static void add_expression(struct text *out, const char *at) {
    text_printf(out, "\n");
    while (*at) {
        size_t i = 0;
        while (i < ARRAY_LEN(spellings) && strncmp(at, spellings[i].from, strlen(spellings[i].from)) != 0) i++;
        text_printf(out, "%.*s", i < ARRAY_LEN(spellings) ? 1000 : 1, i < ARRAY_LEN(spellings) ? spellings[i].to : at);
        at += i < ARRAY_LEN(spellings) ? strlen(spellings[i].from) : 1;
    }
}

static void list_step(const json_t *step, struct text *out) {
    size_t i;
    const json_t *one, *pattern = json_object_get(step, "pattern");
    const char *expression = json_string_value(json_object_get(pattern, "Regex"));
    json_array_foreach(json_object_get(step, "pretokenizers"), i,
                       one) if (hf_is_type(one, "Split") || hf_is_type(one, "Digits") || hf_is_type(one, "ByteLevel"))
        list_step(one, out);
    if (hf_is_type(step, "Split") && expression) add_expression(out, expression);
    if (hf_is_type(step, "Digits") && json_is_true(json_object_get(step, "individual_digits")))
        text_printf(out, "\ndigits");
    if (hf_is_type(step, "ByteLevel") && !json_is_false(json_object_get(step, "use_regex"))) add_expression(out, GPT2);
}

bool hf_has_step(const json_t *step, const char *type) {
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(step, "pretokenizers"), i, one) if (hf_has_step(one, type)) return true;
    return hf_is_type(step, type);
}

/* Steps that the names do not tell of. */
static bool has_more(const json_t *pre) {
    static const char *const types[] = {"Punctuation", "Whitespace", "WhitespaceSplit"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (hf_has_step(pre, types[i])) return true;
    return false;
}

int hf_write_pre(const json_t *tokenizer, struct gguf_writer *w, struct error *error) {
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    const struct known *found = NULL;
    struct text all = {0};
    if (!hf_has_step(pre, "ByteLevel"))
        return error_set(error, ERR_UNSUPPORTED,
                         "tokenizer.json: its tokens are neither of bytes nor does it fall back on bytes");
    list_step(pre, &all);
    for (size_t i = 0; i < ARRAY_LEN(known) && !has_more(pre) && !found; i++)
        if (strcmp(text_str(&all), known[i].expressions) == 0) found = &known[i];
    text_deinit(&all);
    const char *name = found ? found->name : "tokenizer.json";
    gguf_write_str(w, "tokenizer.ggml.pre", name, strlen(name));
    return found && !found->rough ? 0 : hf_write_steps(tokenizer, false, w, error);
}

/* Prepend and Metaspace say it, each in its way; either may be one step of many. */
static bool adds_space(const json_t *step) {
    size_t i;
    const json_t *one;
    const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    json_array_foreach(json_object_get(step, "normalizers"), i, one) if (adds_space(one)) return true;
    json_array_foreach(json_object_get(step, "pretokenizers"), i, one) if (adds_space(one)) return true;
    if (hf_is_type(step, "Prepend")) return true;
    if (!hf_is_type(step, "Metaspace")) return false;
    return scheme ? strcmp(scheme, "never") != 0 : !json_is_false(json_object_get(step, "add_prefix_space"));
}

static const json_t *find_metaspace(const json_t *step) {
    size_t i;
    const json_t *one, *found = hf_is_type(step, "Metaspace") ? step : NULL;
    json_array_foreach(json_object_get(step, "pretokenizers"), i, one) if (!found) found = find_metaspace(one);
    return found;
}

bool hf_adds_missing_space(const json_t *tokenizer) {
    return !adds_space(json_object_get(tokenizer, "normalizer")) &&
           find_metaspace(json_object_get(tokenizer, "pre_tokenizer"));
}

bool hf_adds_first_space(const json_t *tokenizer) {
    const json_t *metaspace = find_metaspace(json_object_get(tokenizer, "pre_tokenizer"));
    const char *scheme = json_string_value(json_object_get(metaspace, "prepend_scheme"));
    return hf_adds_missing_space(tokenizer) && scheme && strcmp(scheme, "first") == 0;
}

bool hf_adds_space(const json_t *tokenizer) {
    return adds_space(json_object_get(tokenizer, "normalizer")) ||
           adds_space(json_object_get(tokenizer, "pre_tokenizer"));
}

static bool merges_spaces(const json_t *step) {
    size_t i;
    const json_t *one;
    const char *pattern = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    json_array_foreach(json_object_get(step, "normalizers"), i, one) if (merges_spaces(one)) return true;
    json_array_foreach(json_object_get(step, "pretokenizers"), i, one) if (merges_spaces(one)) return true;
    return hf_is_type(step, "WhitespaceSplit") ||
           (hf_is_type(step, "Replace") && pattern && strcmp(pattern, " {2,}") == 0);
}

bool hf_merges_spaces(const json_t *tokenizer) {
    return merges_spaces(json_object_get(tokenizer, "normalizer")) ||
           merges_spaces(json_object_get(tokenizer, "pre_tokenizer"));
}

static const char *find_charsmap(const json_t *step) {
    size_t i;
    const json_t *one;
    const char *found = json_string_value(json_object_get(step, "precompiled_charsmap"));
    json_array_foreach(json_object_get(step, "normalizers"), i, one) if (!found) found = find_charsmap(one);
    return found;
}

const char *hf_charsmap(const json_t *tokenizer) { return find_charsmap(json_object_get(tokenizer, "normalizer")); }

bool hf_unbase64(const char *text, uint8_t *out, size_t *len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, count = 0;
    *len = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit) return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out[(*len)++] = (uint8_t)(bits >> count);
    }
    return true;
}
