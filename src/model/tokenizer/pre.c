#include "model/tokenizer/pre.h"

#include <string.h>

#include "base/size.h"
#include "model/tokenizer/splitter.h"

/* The expressions are those of the models' tokenizer.json, as llama.cpp applies them: it is the measure for this file
 * format, and where it departs from the original so do we. Most of all, it does not tell upper from lower case outside
 * ASCII: a letter that may be upper case is "not a-z", one that may be lower case "not A-Z". */
#define CONTRACTION    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SPACES         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define PREFIX         "[^\\r\\n\\p{L}\\p{N}]?"
#define WORDS          PREFIX "\\p{L}+"
#define MARKED_WORDS   PREFIX "[\\p{L}\\p{M}]+"
#define SIGNS          " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SIGNS_SLASH    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define CASED(letters) PREFIX "[" letters "&&[^a-z]]*[" letters "&&[^A-Z]]+"
#define UPPER(letters) PREFIX "[" letters "&&[^a-z]]+[" letters "&&[^A-Z]]*"
#define GPT2           "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define LLAMA3         CONTRACTION "|" WORDS "|\\p{N}{1,3}|" SIGNS "|" SPACES
#define QWEN2          CONTRACTION "|" WORDS "|\\p{N}|" SIGNS "|" SPACES
#define GPT4O(letters)                                                                                                 \
    CASED(letters) CONTRACTION "?|" UPPER(letters) CONTRACTION "?|\\p{N}{1,3}|" SIGNS_SLASH "|" SPACES
#define ASCII_SIGNS "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define DEEPSEEK    ASCII_SIGNS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define KANA        "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
#define HANGUL      "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
#define BLOOM       " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"
#define HAN                                                                                                            \
    "\u4E00-\u9FFF\u3400-\u4DBF\U00020000-\U0002A6DF\U0002A700-\U0002B73F\U0002B740-\U0002B81F\U0002B820-\U0002CEAF"   \
    "\U0002CEB0-\U0002EBEF\uF900-\uFAFF\U0002F800-\U0002FA1F"
#define LINES "[^\\n]+|[\\n]+"

static const char *const gpt2[] = {GPT2, NULL};
static const char *const digits_gpt2[] = {"\\p{N}", GPT2, NULL};
static const char *const llama3[] = {LLAMA3, NULL};
static const char *const qwen2[] = {QWEN2, NULL};
static const char *const by_default[] = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]", NULL};
static const char *const falcon[] = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]", NULL};
static const char *const gpt4o[] = {GPT4O("\\p{L}"), NULL};
static const char *const granite_embedding[] = {GPT4O("\\p{L}\\p{M}"), NULL};
static const char *const bloom[] = {BLOOM, NULL};
static const char *const viking[] = {BLOOM, "\\p{N}", NULL};
static const char *const lines[] = {LINES, NULL};
static const char *const laguna[] = {LINES, QWEN2, NULL};
static const char *const superbpe[] = {"\\p{N}+", SPLITTER_THREES, NULL};
static const char *const tekken[] = {CASED("\\p{L}") "|" UPPER("\\p{L}") "|\\p{N}|" SIGNS_SLASH "|" SPACES, NULL};
static const char *const qwen35[] = {
    CONTRACTION "|" MARKED_WORDS "|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES, NULL};
static const char *const tiny_aya[] = {SPLITTER_THREES_BEHIND,
                                       MARKED_WORDS CONTRACTION "?|\\p{N}{1,3}|" SIGNS_SLASH "|" SPACES, NULL};
static const char *const youtu[] = {
    "[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-\u303F"
    "\uFE30-\uFE4F]+|[\u3105-\u312F]+|" KANA,
    MARKED_WORDS CONTRACTION "?|\\p{N}|" SIGNS_SLASH "|" SPACES, NULL};
static const char *const minicpm5[] = {"\\p{N}{1,3}", CONTRACTION "|" WORDS "|\\p{N}+|" SIGNS "|" SPACES, NULL};
static const char *const seed_coder[] = {CONTRACTION "|" WORDS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES, NULL};
static const char *const ufakzeka[] = {WORDS "|\\p{N}|" SIGNS "|" SPACES, NULL};
static const char *const bailing[] = {CONTRACTION "|" WORDS "|\\p{N}|" SIGNS "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", NULL};
static const char *const exaone_moe[] = {
    CONTRACTION "|" PREFIX "\\p{L}(?:[\\p{L}\\p{M}]| (?=\\p{L}))*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|"
                "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL};
static const char *const jais2[] = {
    CONTRACTION "|" WORDS "|\\p{N}{1,3}|" SIGNS "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|"
                "\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s",
    NULL};
static const char *const kimi_k2[] = {
    "[" HAN "]+|" PREFIX "[\\p{L}&&[^" HAN "]]+" CONTRACTION "?|\\p{N}{1,3}|" SIGNS "|" SPACES, NULL};
static const char *const chameleon[] = {
    "<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", "[\\t\\n]|    |  ", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2, NULL};
static const char *const deepseek_v3[] = {"\\p{N}{1,3}", KANA, DEEPSEEK "[\\r\\n]*|" SPACES, NULL};
static const char *const spark[] = {"\\p{N}{1,3}", KANA, DEEPSEEK "|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}", NULL};
static const char *const afmoe[] = {
    SPLITTER_THREES_BEHIND,
    "[\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F"
    "\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+",
    DEEPSEEK "[\\r\\n]*|" SPACES, NULL};
static const char *const deepseek_coder[] = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HANGUL, "\\p{N}", NULL};
/* The signs do not begin with U+3000: it counts as white space alone. */
static const char *const deepseek_llm[] = {
    "[\\r\\n]",
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376"
    "\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F"
    "\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
    "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A"
    "\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+",
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3001\u3002]+",
    "\\s+$",
    HANGUL,
    "\\p{N}+",
    NULL};

static const struct pre_tokenizer pre_tokenizers[] = {
    {"default", by_default},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", llama3, .ignore_merges = true,
     .add_bos = true},
    {"dbrx smaug-bpe", llama3},
    {"chatglm-bpe", llama3, .no_bos = true},
    {"glm4 glm5", llama3, .no_bos = true, .ignore_merges = true},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", qwen2},
    {"gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v2-code jina-v1-en roberta-bpe gigachat a.x-4.0 mellum "
     "modern-bert mpt olmo jais trillion granite-docling exaone4",
     gpt2},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", digits_gpt2},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", gpt4o},
    {"tekken", tekken, .ignore_merges = true, .add_bos = true},
    {"deepseek-v3 hunyuan-dense hy_v4 joyai-llm", deepseek_v3},
    {"deepseek-llm", deepseek_llm},
    {"deepseek-coder", deepseek_coder},
    {"falcon", falcon},
    {"qwen35", qwen35},
    {"kimi-k2", kimi_k2, .no_merges = true},
    {"bloom poro-chat gpt3-finnish", bloom},
    {"viking", viking},
    {"superbpe", superbpe},
    {"tiny_aya cohere2moe", tiny_aya},
    {"bailingmoe bailingmoe2 llada-moe", bailing},
    {"exaone-moe", exaone_moe},
    {"seed-coder", seed_coder},
    {"minicpm5", minicpm5, .ignore_merges = true},
    {"youtu", youtu, .ignore_merges = true},
    {"jais-2", jais2},
    {"chameleon", chameleon, .add_bos = true},
    {"granite-embed-multi-97m", granite_embedding, .ignore_merges = true},
    {"gemma4 granite-embed-multi-311m", lines, .raw = true, .line_ends = true, .add_bos = true, .bos_always = true},
    {"sarvam-moe", lines, .raw = true},
    {"afmoe", afmoe},
    {"laguna", laguna},
    {"spark2_5", spark},
    {"ufakzeka", ufakzeka},
    {"tokenizer.json", gpt2}, /* the file has steps of its own */
};

/* Is the name one of the words? */
static bool is_among(const char *names, struct gguf_string name) {
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (len == name.len && memcmp(at, name.data, len) == 0) return true;
        at += len;
    }
    return false;
}

const struct pre_tokenizer *pre_find(struct gguf_string name) {
    if (name.len == 0) return &pre_tokenizers[0];
    for (size_t i = 0; i < ARRAY_LEN(pre_tokenizers); i++)
        if (is_among(pre_tokenizers[i].names, name)) return &pre_tokenizers[i];
    return NULL;
}
