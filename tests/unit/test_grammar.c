/* Grammars: what texts they match, whether masks say the same as reading each token would, and that hostile ones cost
 * an error. Whole schemas are compared with an independent validator in tests/golden/test_schema_suite.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/size.h"
#include "base/text.h"
#include "model/gguf_write.h"
#include "model/grammar.h"

/* A vocabulary of all bytes, some words, control tokens, and an end. */
enum { END = 0, CALL = 1, FIRST_BYTE = 2, FIRST_WORD = FIRST_BYTE + 256 };
static const char *const words[] = {"{\"",    "\":",   "\": ", "\",",  "\", \"",   "\"}",      "true",   "false",
                                    "null",   "12",    "123",  "abc",  "ab",       "a\"",      "}}",     "]",
                                    "],",     "[[",    "  ",   "\n  ", "\xe2\x82", "\xc3\xa9", "\xa9\"", "name\"",
                                    "<tool>", "\\u00", "\\n",  "-1",   "0.5",      "\"}\n"};
enum { TOKENS = FIRST_WORD + (int)ARRAY_LEN(words) };

static struct gguf_writer writer;
static uint8_t *header;
static struct gguf file;
static struct tokenizer *tokenizer;
static struct grammar_vocabulary *vocabulary;
static struct error error;

static void put_token(uint32_t id, char text[32]) {
    if (id == END)
        snprintf(text, 32, "</s>");
    else if (id == CALL)
        snprintf(text, 32, "[CALL]");
    else if (id < FIRST_WORD)
        snprintf(text, 32, "<0x%02X>", id - FIRST_BYTE);
    else
        snprintf(text, 32, "%s", words[id - FIRST_WORD]);
}

static int setup(void **state) {
    size_t len;
    char text[32];
    gguf_write_str(&writer, "tokenizer.ggml.model", "llama", 5);
    gguf_write_array(&writer, "tokenizer.ggml.tokens", GGUF_STRING, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++) put_token(i, text), gguf_write_item_str(&writer, text, strlen(text));
    gguf_write_array(&writer, "tokenizer.ggml.token_type", GGUF_I32, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++)
        gguf_write_item_u32(&writer, i < FIRST_BYTE ? TOKEN_CONTROL : i < FIRST_WORD ? TOKEN_BYTE : TOKEN_NORMAL);
    gguf_write_array(&writer, "tokenizer.ggml.scores", GGUF_F32, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++) gguf_write_item_f32(&writer, 0);
    assert_int_equal(gguf_writer_take(&writer, &header, &len, NULL), 0);
    assert_int_equal(gguf_parse(&file, header, len, len, &error), 0);
    assert_int_equal(tokenizer_new(&tokenizer, &file, &error), 0);
    assert_int_equal(grammar_vocabulary_new(&vocabulary, tokenizer, &error), 0);
    return 0;
}

static int teardown(void **state) {
    grammar_vocabulary_free(vocabulary);
    tokenizer_free(tokenizer);
    gguf_deinit(&file);
    free(header);
    gguf_writer_deinit(&writer);
    return 0;
}

static struct grammar *make(enum grammar_kind kind, const char *text) {
    struct grammar *g;
    error = (struct error){0};
    if (grammar_new(&g, kind, text, strlen(text), vocabulary, &error) != 0) fail_msg("%s\n%s", text, error.text);
    return g;
}

/* How much of the text can be read, byte by byte; *ends: and whether it may end there. */
static size_t readable(struct grammar *g, const char *text, bool *ends) {
    struct grammar_state s;
    size_t at = 0;
    grammar_state_init(&s, g);
    while (text[at] && grammar_accept(&s, FIRST_BYTE + (uint8_t)text[at]) == 0) at++;
    *ends = grammar_may_end(&s);
    grammar_state_deinit(&s);
    return at;
}

static bool matches(struct grammar *g, const char *text) {
    bool ends;
    return readable(g, text, &ends) == strlen(text) && ends;
}

static void expect(enum grammar_kind kind, const char *grammar, const char *const *good, const char *const *bad) {
    struct grammar *g = make(kind, grammar);
    for (; good && *good; good++)
        if (!matches(g, *good)) fail_msg("%s\nshould match: %s", grammar, *good);
    for (; bad && *bad; bad++)
        if (matches(g, *bad)) fail_msg("%s\nshould not match: %s", grammar, *bad);
    grammar_free(g);
}
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_error(enum grammar_kind kind, const char *grammar, int code, const char *word) {
    struct grammar *g = NULL;
    int rc = grammar_new(&g, kind, grammar, strlen(grammar), vocabulary, &error);
    if (rc != code || strstr(error.text, word) == NULL)
        fail_msg("%.300s\ngave %d (%s), not %d with \"%s\"", grammar, rc, rc ? error.text : "", code, word);
}

/* ---- GBNF ---- */

static void gbnf_notation(void **state) {
    expect(GRAMMAR_GBNF, "root ::= \"a\" | \"b\" c\nc ::= [0-9]+ # digits\n", TEXTS("a", "b1", "b123"),
           TEXTS("", "b", "c", "a1", "b1x"));
    expect(GRAMMAR_GBNF, "root ::= (\"x\" | \"y\"){2,3} \"z\"? .", TEXTS("xyz!", "xxa", "xyxz\xc3\xa9"),
           TEXTS("xz", "x", "xyxyxy", "xy\xff"));
    expect(GRAMMAR_GBNF, "root ::=\n  \"a\"\n  | \"\\x41\\u00e9\\U0001F600\"\n  | [^\\]\\\\a-y]\n\n# end",
           TEXTS("a", "A\xc3\xa9\xf0\x9f\x98\x80", "z", "\xe2\x82\xac"), TEXTS("]", "\\", "b", "AA"));
    expect(GRAMMAR_GBNF, "root ::= item*\nitem ::= \"[\" root \"]\"", TEXTS("", "[]", "[[][]]"), TEXTS("[", "[]]"));
    expect(GRAMMAR_GBNF, "root ::= a b a\na ::= \"x\"?\nb ::= \"y\"?", TEXTS("", "x", "xx", "xyx", "yx"),
           TEXTS("xxx", "yy"));
    expect(GRAMMAR_GBNF, "root ::= \"a\"{3} \"b\"{2,} \"c\"", TEXTS("aaabbc", "aaabbbbc"), TEXTS("aabbc", "aaabc"));
}

static void gbnf_errors(void **state) {
    expect_error(GRAMMAR_GBNF, "a ::= \"x\"", ERR_INVALID, "root");
    expect_error(GRAMMAR_GBNF, "root ::= nothing", ERR_INVALID, "nothing");
    expect_error(GRAMMAR_GBNF, "root ::= \"a", ERR_INVALID, "line 1");
    expect_error(GRAMMAR_GBNF, "root ::= \"a\"\nb : x", ERR_INVALID, "line 2");
    expect_error(GRAMMAR_GBNF, "root ::= root \"a\" | \"b\"", ERR_INVALID, "left-recursive");
    expect_error(GRAMMAR_GBNF, "root ::= n root \"a\" | \"b\"\nn ::= \"x\"?", ERR_INVALID, "left-recursive");
    expect_error(GRAMMAR_GBNF, "root ::= \"a\" root", ERR_INVALID, "no text");
    expect_error(GRAMMAR_GBNF, "root ::= (((\"a\"{1000}){1000}){1000}){1000}", ERR_LIMIT, "too");
    expect_error(GRAMMAR_GBNF, "root ::= (((\"\"{1000}){1000}){1000}){1000}", ERR_LIMIT, "too");
    expect_error(GRAMMAR_GBNF, "root ::= [z-a]", ERR_INVALID, "backwards");
    expect_error(GRAMMAR_GBNF, "root ::= <[99999]>", ERR_INVALID, "token");
    expect_error(GRAMMAR_GBNF, "root ::= \"a\"\nroot ::= \"b\"", ERR_INVALID, "already");
}

/* ---- schemas ---- */

static void schema_types(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"type\":\"string\"}", TEXTS("\"\"", "\"a\\n\\u00e9\\ud83d\\ude00\xc3\xa9\""),
           TEXTS("\"", "\"\n\"", "\"\\ud83d\"", "\"\\u0000\"", "\"\\x\"", "1", "\"\xff\""));
    expect(GRAMMAR_SCHEMA, "{\"type\":[\"boolean\",\"null\"]}", TEXTS("true", "false", "null"),
           TEXTS("1", "tru", "\"\""));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\"}", TEXTS("0", "-7", "1234567890123456"),
           TEXTS("01", "1.0", "-", "12345678901234567"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"number\"}", TEXTS("0", "-0.5", "1e5", "2.5E-10"),
           TEXTS(".5", "1.", "1e", "1e100", "NaN"));
    expect(GRAMMAR_SCHEMA, "true", TEXTS("{}", "[1, {\"a\": null}]", "{\"a\":{\"a\":{}}}", "[\n  1,\n  2\n]"),
           TEXTS("", "[1,]", "{\"a\"}", "[  1]"));
    expect(GRAMMAR_SCHEMA, "{\"enum\":[\"a\",\"ab\",\"abc\",1,null,{\"x\":[1]}]}",
           TEXTS("\"a\"", "\"abc\"", "1", "null", "{\"x\": [1]}"), TEXTS("\"abcd\"", "\"\"", "2", "{}"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"string\",\"enum\":[\"a\",1]}", TEXTS("\"a\""), TEXTS("1"));
    expect(GRAMMAR_SCHEMA, "{\"const\":\"q\\\"\\n\"}", TEXTS("\"q\\\"\\n\""), TEXTS("\"q\""));
}

static void schema_numbers(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":305}",
           TEXTS("-12", "-9", "-1", "0", "9", "10", "99", "100", "299", "305"),
           TEXTS("-13", "306", "400", "1000", "-0", "00"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"exclusiveMinimum\":5,\"exclusiveMaximum\":7}", TEXTS("6"),
           TEXTS("5", "7", "66"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"minimum\":20,\"maximum\":41,\"multipleOf\":7}",
           TEXTS("21", "28", "35"), TEXTS("20", "42", "14"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"number\",\"minimum\":0.5,\"maximum\":12.25}",
           TEXTS("0.5", "0.51", "1", "1.0", "12", "12.2", "12.25", "12.249", "0.500", "11.999999"),
           TEXTS("0.4", "0", "0.49", "12.26", "12.251", "13", "-1", "1e0"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"number\",\"exclusiveMinimum\":0.5,\"exclusiveMaximum\":1}",
           TEXTS("0.6", "0.501", "0.99999"), TEXTS("0.5", "0.50", "1", "1.0", "0.500"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"number\",\"maximum\":-1.5}", TEXTS("-1.5", "-2", "-1.51", "-100"),
           TEXTS("-1.4", "0", "1", "-1"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"number\",\"minimum\":-1,\"maximum\":1}", TEXTS("-1", "0", "0.5", "-0.5", "1"),
           TEXTS("-1.1", "1.5", "2"));
}

static void schema_multiples(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"multipleOf\":0.01}", TEXTS("0", "19.99", "-3.5", "7", "0.10"), TEXTS("0.001", "1e2"));
    expect(GRAMMAR_SCHEMA, "{\"multipleOf\":0.01,\"minimum\":0.005,\"maximum\":1000}",
           TEXTS("0.01", "19.99", "1000", "999.9", "1"), TEXTS("0", "0.001", "1000.01", "-1", "0.00"));
    expect(GRAMMAR_SCHEMA, "{\"multipleOf\":0.25}", TEXTS("0", "0.25", "0.5", "-0.75", "3.0", "12"),
           TEXTS("0.3", "0.26", "1.2"));
    expect(GRAMMAR_SCHEMA, "{\"multipleOf\":1.5,\"maximum\":4,\"exclusiveMinimum\":-1.5}", TEXTS("0", "1.5", "3"),
           TEXTS("-1.5", "1", "4.5", "4"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":7}", TEXTS("0", "7", "-14", "1001"),
           TEXTS("1", "8", "7.0", "00"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":0.5}", TEXTS("0", "3"), TEXTS("0.5"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"multipleOf\":5,\"exclusiveMinimum\":0}", TEXTS("5", "100"),
           TEXTS("0", "-5", "3"));
}

static void schema_strings(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", TEXTS("\"ab\"", "\"\\n\xc3\xa9z\""),
           TEXTS("\"a\"", "\"abcd\""));
    expect(GRAMMAR_SCHEMA, "{\"pattern\":\"^[A-Z]{2}-\\\\d+(\\\\.x)?$\"}", TEXTS("\"AB-1\"", "\"AB-12.x\""),
           TEXTS("\"AB-\"", "\"aB-1\"", "\"AB-1xx\""));
    expect(GRAMMAR_SCHEMA, "{\"pattern\":\"b|^c$\"}", TEXTS("\"abc\"", "\"b\"", "\"c\""), TEXTS("\"a\"", "\"cc\""));
    expect(GRAMMAR_SCHEMA, "{\"pattern\":\"^[a-z]+$\",\"maxLength\":3}", TEXTS("\"a\"", "\"abc\""),
           TEXTS("\"\"", "\"abcd\""));
    expect(GRAMMAR_SCHEMA, "{\"pattern\":\"^[^a\\\\n]\\\\\\\\\\\"$\"}", TEXTS("\"b\\\\\\\"\""), TEXTS("\"a\\\\\\\"\""));
    expect(GRAMMAR_SCHEMA, "{\"format\":\"date\"}", TEXTS("\"2024-02-28\"", "\"1999-12-31\""),
           TEXTS("\"2024-02-30\"", "\"2024-13-01\""));
    expect(GRAMMAR_SCHEMA, "{\"format\":\"ipv4\"}", TEXTS("\"1.20.255.0\""), TEXTS("\"1.2.3\"", "\"256.1.1.1\""));
}

static void schema_strings_of_several(void **state) {
    expect(GRAMMAR_SCHEMA,
           "{\"allOf\":[{\"pattern\":\"[A-Z]\"},{\"pattern\":\"\\\\d\"},{\"minLength\":3}],\"maxLength\":4}",
           TEXTS("\"A1x\"", "\"..1A\"", "\"1A\xc3\xa9\xe2\x82\xac\"", "\"\\nA\\\"1\""),
           TEXTS("\"A1\"", "\"Abc\"", "\"123\"", "\"A1xyz\"", "\"1\xe2\x82\"", "\"A1\\u00\""));
    expect(GRAMMAR_SCHEMA, "{\"format\":\"date\",\"pattern\":\"^2024-\"}", TEXTS("\"2024-02-28\""),
           TEXTS("\"2023-02-28\"", "\"2024-02-30\"", "\"2024-\""));
    expect(GRAMMAR_SCHEMA, "{\"pattern\":\"^[a-z]+(-[a-z]+)*$\",\"minLength\":4,\"maxLength\":5}",
           TEXTS("\"abcd\"", "\"a-bcd\"", "\"a-b-c\""), TEXTS("\"abc\"", "\"abc-\"", "\"abcdef\"", "\"-abc\""));
    expect(GRAMMAR_SCHEMA, "{\"format\":\"ipv4\",\"allOf\":[{\"format\":\"hostname\"},{\"format\":\"no such\"}]}",
           TEXTS("\"10.0.0.1\""), TEXTS("\"a.b\"", "\"10.0.0.256\""));
    expect(GRAMMAR_SCHEMA, "{\"enum\":[\"ab\",\"b\",1,\"ab1\"],\"type\":\"string\",\"pattern\":\"^a\",\"maxLength\":2}",
           TEXTS("\"ab\""), TEXTS("\"b\"", "\"ab1\"", "1"));
    expect(GRAMMAR_SCHEMA, "{\"enum\":[\"2024-01-02\",\"x\"],\"pattern\":\"^2\",\"format\":\"date\"}",
           TEXTS("\"2024-01-02\""), TEXTS("\"x\""));
    expect(GRAMMAR_SCHEMA,
           "{\"properties\":{\"a\":{\"pattern\":\"^a\",\"allOf\":[{\"pattern\":\"^b\"}]},\"c\":{\"const\":1}}}",
           TEXTS("{}", "{\"c\":1}"), TEXTS("{\"a\":\"a\"}", "{\"a\":\"b\"}"));
    expect(GRAMMAR_SCHEMA,
           "{\"type\":\"object\",\"additionalProperties\":true,"
           "\"propertyNames\":{\"pattern\":\"^[a-z]+(_[a-z]+)*$\",\"maxLength\":4}}",
           TEXTS("{}", "{\"a_bc\":1}"), TEXTS("{\"a_bcd\":1}", "{\"A\":1}"));
    expect_error(GRAMMAR_SCHEMA, "{\"items\":{\"format\":\"date\",\"maxLength\":9}}", ERR_UNSUPPORTED,
                 "/items: no text");
    expect_error(GRAMMAR_SCHEMA, "{\"pattern\":\"(a|b)*a(a|b){20}$\",\"maxLength\":30}", ERR_LIMIT, "states");
    expect_error(GRAMMAR_SCHEMA, "{\"pattern\":\"^(ab)*$\",\"maxLength\":100000}", ERR_LIMIT, "states");
    expect_error(GRAMMAR_SCHEMA, "{\"pattern\":\"a\",\"allOf\":[{\"pattern\":\"^(?=a)b$\"}]}", ERR_UNSUPPORTED,
                 "look-around");
    expect_error(GRAMMAR_SCHEMA, "{\"pattern\":\"a\",\"allOf\":[{\"pattern\":[\"b\"]}]}", ERR_INVALID, "'pattern'");
}

/* What two patterns let pass together is what each of them does: all texts of up to four letters are compared. */
static void meeting_is_exact(void **state) {
    static const char *const patterns[] = {"^(a|bc?)*$", "b.*b", "^[^a]*(a[^a]*a[^a]*)*$", "(ab|c?\xc3\xa9)$",
                                           "^.{2,3}$"};
    static const char *const letters[] = {"", "a", "b", "c", "\xc3\xa9"};
    enum { PATTERNS = ARRAY_LEN(patterns), TEXTS_COUNT = 5 * 5 * 5 * 5 };
    for (int pair = 0; pair < PATTERNS * PATTERNS; pair++) {
        struct grammar *three[3];
        const char *x = patterns[pair / PATTERNS], *y = patterns[pair % PATTERNS];
        const char *const forms[3][2] = {{x, ".*"}, {y, ".*"}, {x, y}};
        for (int i = 0; i < 3; i++) {
            char schema[200];
            snprintf(schema, sizeof schema, "{\"allOf\":[{\"pattern\":\"%s\"},{\"pattern\":\"%s\"}]}", forms[i][0],
                     forms[i][1]);
            three[i] = make(GRAMMAR_SCHEMA, schema);
        }
        for (int n = 0; n < TEXTS_COUNT; n++) {
            char text[16];
            snprintf(text, sizeof text, "\"%s%s%s%s\"", letters[n % 5], letters[n / 5 % 5], letters[n / 25 % 5],
                     letters[n / 125]);
            if (matches(three[2], text) != (matches(three[0], text) && matches(three[1], text)))
                fail_msg("%s and %s: %s", x, y, text);
        }
        for (int i = 0; i < 3; i++) grammar_free(three[i]);
    }
}

static void schema_objects(void **state) {
    expect(
        GRAMMAR_SCHEMA,
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"},\"c\":true},"
        "\"required\":[\"b\"]}",
        TEXTS("{\"b\":null}", "{\"a\": 1, \"b\": null}", "{\"b\":null,\"c\":[]}", "{\n  \"a\": 1,\n  \"b\": null\n}"),
        TEXTS("{}", "{\"a\":1}", "{\"b\":null,\"a\":1}", "{\"b\":null,\"d\":1}", "{\"b\":null,}"));
    expect(GRAMMAR_SCHEMA, "{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}}}",
           TEXTS("{}", "{\"b\":2}", "{\"a\":1,\"b\":2}"), TEXTS("{,\"b\":2}"));
    expect(GRAMMAR_SCHEMA,
           "{\"properties\":{\"ab\":false,\"abc\":{\"const\":1}},\"additionalProperties\":{\"type\":\"integer\"}}",
           TEXTS("{}", "{\"abc\":1}", "{\"a\":5}", "{\"abcd\":5,\"b\":6}", "{\"x\\n\":1}"),
           TEXTS("{\"ab\":1}", "{\"abc\":2}", "{\"\\u0061b\":1}", "{\"a\":\"x\"}"));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"object\"}", TEXTS("{}", "{\"a\":{}}"), TEXTS("[]", "1"));
    expect(GRAMMAR_SCHEMA,
           "{\"additionalProperties\":{\"type\":\"null\"},\"propertyNames\":{\"pattern\":\"^x\"},\"minProperties\":1}",
           TEXTS("{\"xy\":null}"), TEXTS("{}", "{\"y\":null}"));
}

static void schema_arrays(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"items\":{\"type\":\"null\"},\"minItems\":1,\"maxItems\":2}",
           TEXTS("[null]", "[null, null]"), TEXTS("[]", "[null,null,null]", "[1]"));
    expect(GRAMMAR_SCHEMA, "{\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":{\"const\":3}}",
           TEXTS("[]", "[1]", "[1,2]", "[1,2,3,3]"), TEXTS("[2]", "[1,3]"));
    expect(GRAMMAR_SCHEMA, "{\"prefixItems\":[{\"const\":1}],\"minItems\":1}", TEXTS("[1]"), TEXTS("[]", "[1,2]"));
}

static void schema_counted_elements(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"items\":{\"type\":\"integer\"},\"contains\":{\"const\":5}}",
           TEXTS("[5]", "[1,5]", "[5,5,1]", "[1, 2, 5, 3]"), TEXTS("[]", "[1,2]", "[null,5]"));
    expect(GRAMMAR_SCHEMA, "{\"contains\":{\"type\":\"null\"},\"minContains\":2,\"maxContains\":3,\"maxItems\":4}",
           TEXTS("[null,null]", "[1,null,2,null]", "[null,null,null,\"a\"]"),
           TEXTS("[null]", "[null,null,null,null]", "[1,1,1,null,null]", "[]"));
    expect(GRAMMAR_SCHEMA,
           "{\"contains\":{\"minimum\":3},\"minContains\":0,\"maxContains\":1,\"items\":{\"type\":\"integer\"}}",
           TEXTS("[]", "[1,2]", "[1,3]"), TEXTS("[3,4]"));
    expect(GRAMMAR_SCHEMA, "{\"allOf\":[{\"contains\":{\"const\":1},\"items\":{\"enum\":[1,2]}},{\"minContains\":0}]}",
           TEXTS("[1]", "[2,1]"), TEXTS("[]", "[2]"));
}

static void schema_different_elements(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true,\"minItems\":1}",
           TEXTS("[\"a\"]", "[\"a\",\"c\"]", "[\"c\", \"a\",\"b\"]", "[\"b\"]"),
           TEXTS("[]", "[\"a\",\"a\"]", "[\"c\",\"a\",\"c\"]", "[\"a\",]"));
    expect(GRAMMAR_SCHEMA,
           "{\"items\":{\"enum\":[1,1.0,2,\"x\"],\"type\":\"number\"},\"uniqueItems\":true,\"maxItems\":2}",
           TEXTS("[]", "[1,2]", "[2,1]"), TEXTS("[1,1.0]", "[\"x\"]", "[1,2,2]"));
    expect(GRAMMAR_SCHEMA, "{\"items\":{\"type\":[\"boolean\",\"null\"]},\"uniqueItems\":true,\"minItems\":2}",
           TEXTS("[false,true]", "[null,true,false]"), TEXTS("[true]", "[true,true]", "[null,true,null]"));
    expect(
        GRAMMAR_SCHEMA,
        "{\"items\":{\"type\":\"integer\",\"minimum\":1,\"exclusiveMaximum\":50},\"uniqueItems\":true,\"minItems\":3}",
        TEXTS("[1,2,3]", "[7,30,49]"), TEXTS("[1,2]", "[1,2,2]", "[30,7,49]", "[1,2,50]"));
    expect(GRAMMAR_SCHEMA,
           "{\"items\":{\"anyOf\":[{\"const\":\"a\"},{\"type\":\"integer\",\"minimum\":0,\"maximum\":1},{\"enum\":[0.0,"
           "\"b\"]}]},"
           "\"uniqueItems\":true}",
           TEXTS("[]", "[\"b\",0,\"a\",1]"), TEXTS("[0,0.0]", "[\"a\",\"a\"]", "[2]"));
    expect_error(GRAMMAR_SCHEMA, "{\"properties\":{\"a\":{\"uniqueItems\":true}}}", ERR_UNSUPPORTED,
                 "/properties/a: 'uniqueItems'");
    expect_error(GRAMMAR_SCHEMA, "{\"items\":{\"type\":\"string\"},\"uniqueItems\":true}", ERR_UNSUPPORTED,
                 "known values");
    expect_error(GRAMMAR_SCHEMA,
                 "{\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":256},\"uniqueItems\":true}",
                 ERR_UNSUPPORTED, "uniqueItems");
    expect_error(GRAMMAR_SCHEMA, "{\"items\":{\"anyOf\":[{\"const\":1},{\"type\":\"string\"}]},\"uniqueItems\":true}",
                 ERR_UNSUPPORTED, "uniqueItems");
    expect_error(GRAMMAR_SCHEMA,
                 "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"uniqueItems\":true,\"items\":{\"anyOf\":[{\"$ref\":"
                 "\"#/$defs/a\"}]}}}}",
                 ERR_UNSUPPORTED, "uniqueItems");
}

static void schema_anchors(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"$ref\":\"#n\",\"$defs\":{\"x\":{\"$anchor\":\"n\",\"const\":1}}}", TEXTS("1"),
           TEXTS("2"));
    expect_error(GRAMMAR_SCHEMA, "{\"$ref\":\"#n\",\"$defs\":{\"x\":{\"$id\":\"y\",\"$anchor\":\"n\",\"const\":1}}}",
                 ERR_UNSUPPORTED, "'$ref'");
    expect_error(GRAMMAR_SCHEMA, "{\"$ref\":\"#n\",\"enum\":[{\"$anchor\":\"n\"}]}", ERR_UNSUPPORTED, "'$ref'");
}

static void schema_choices(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}",
           TEXTS("1", "\"a\""), TEXTS("null", "\"ab\""));
    expect(GRAMMAR_SCHEMA,
           "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},\"anyOf\":[{\"required\":[\"a\"]},{"
           "\"properties\":{\"b\":{\"const\":2}},\"required\":[\"b\"]}]}",
           TEXTS("{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"), TEXTS("{}"));
    expect(GRAMMAR_SCHEMA, "{\"allOf\":[{\"minimum\":3},{\"type\":\"integer\",\"maximum\":5}]}", TEXTS("3", "5"),
           TEXTS("2", "6", "4.5"));
    expect(GRAMMAR_SCHEMA,
           "{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"null\"}},\"required\":[\"k\"]},{"
           "\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}],\"type\":\"object\"}",
           TEXTS("{\"k\":\"a\",\"x\":null}", "{\"k\":\"b\"}"), TEXTS("{\"k\":\"b\",\"x\":null}"));
    expect(GRAMMAR_SCHEMA,
           "{\"$ref\":\"#/$defs/"
           "n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"const\":1},\"n\":{\"$ref\":\"#/$defs/"
           "n\"}},\"required\":[\"v\"]}}}",
           TEXTS("{\"v\":1}", "{\"v\":1,\"n\":{\"v\":1,\"n\":{\"v\":1}}}"), TEXTS("{\"v\":1,\"n\":{}}"));
    expect(GRAMMAR_SCHEMA,
           "{\"$ref\":\"#/$defs/a~1b%25\",\"maximum\":3,\"$defs\":{\"a/b%\":{\"type\":\"integer\",\"minimum\":2}}}",
           TEXTS("2", "3"), TEXTS("1", "4"));
}

static void schema_opposites(void **state) {
    expect(GRAMMAR_SCHEMA, "{\"not\":{\"type\":[\"object\",\"array\",\"string\",\"null\"]}}", TEXTS("1", "true"),
           TEXTS("null", "{}", "\"\""));
    expect(GRAMMAR_SCHEMA, "{\"type\":\"integer\",\"not\":{\"minimum\":3,\"maximum\":5}}", TEXTS("2", "6", "-1"),
           TEXTS("3", "4", "5"));
    expect(GRAMMAR_SCHEMA, "{\"enum\":[1,2,3],\"not\":{\"const\":2}}", TEXTS("1", "3"), TEXTS("2"));
    expect(GRAMMAR_SCHEMA, "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", TEXTS("1", "-7", "null"),
           TEXTS("2", "10"));
    expect(GRAMMAR_SCHEMA,
           "{\"oneOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},"
           "{\"properties\":{\"b\":{\"type\":\"null\"}},\"required\":[\"b\"]}]}",
           TEXTS("{\"a\":1}", "{\"b\":null}"), TEXTS("{}", "{\"a\":1,\"b\":null}"));
    expect(GRAMMAR_SCHEMA,
           "{\"properties\":{\"k\":{\"enum\":[\"x\",\"y\"]},\"v\":true},\"required\":[\"k\"],"
           "\"if\":{\"properties\":{\"k\":{\"const\":\"x\"}}},\"then\":{\"required\":[\"v\"]},"
           "\"else\":{\"properties\":{\"v\":false}}}",
           TEXTS("{\"k\":\"x\",\"v\":1}"), TEXTS("{\"k\":\"x\"}", "{\"k\":\"y\",\"v\":1}"));
    expect(GRAMMAR_SCHEMA,
           "{\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"dependentRequired\":{\"a\":[\"b\"]}}",
           TEXTS("{}", "{\"b\":2}", "{\"a\":1,\"b\":2}"), TEXTS("{\"a\":1}"));
}

static void schema_patterns_of_names(void **state) {
    static const char beside[] = "{\"properties\":{\"a\":{\"const\":1}},\"patternProperties\":{\"^x-\":{\"const\":2}}}";
    expect(GRAMMAR_SCHEMA, beside, TEXTS("{}", "{\"a\":1}", "{\"a\":1,\"x-b\":2}", "{\"x-a\":2,\"x-b\":2}"),
           TEXTS("{\"a\":2}", "{\"x-b\":1}", "{\"b\":2}", "{\"x-b\":2,\"a\":1}"));
    expect(GRAMMAR_SCHEMA,
           "{\"required\":[\"id\"],\"additionalProperties\":{\"const\":3},"
           "\"patternProperties\":{\"^x$\":{\"const\":2}}}",
           TEXTS("{\"id\":3}", "{\"id\":3,\"x\":2}"), TEXTS("{}", "{\"id\":2}", "{\"id\":3,\"x\":3}"));
    expect_error(GRAMMAR_SCHEMA, "{\"properties\":{\"a\":true,\"bx\":{}},\"patternProperties\":{\"x\":true}}",
                 ERR_UNSUPPORTED, "may match the property \"bx\"");
    expect_error(GRAMMAR_SCHEMA, "{\"properties\":{\"\xc3\xa9\":true},\"patternProperties\":{\"^a\":true}}",
                 ERR_UNSUPPORTED, "patternProperties");
    expect_error(GRAMMAR_SCHEMA, "{\"patternProperties\":{\"^a\":true,\"^b\":true}}", ERR_UNSUPPORTED, "several");
    expect_error(GRAMMAR_SCHEMA, "{\"patternProperties\":{\"^a\":true},\"propertyNames\":{\"maxLength\":1}}",
                 ERR_UNSUPPORTED, "propertyNames");
    expect_error(GRAMMAR_SCHEMA, "{\"allOf\":[{\"patternProperties\":{\"^a\":true}},{\"additionalProperties\":false}]}",
                 ERR_UNSUPPORTED, "patternProperties");
}

static void schema_dynamic_references(void **state) {
    expect(GRAMMAR_SCHEMA,
           "{\"$dynamicAnchor\":\"node\",\"properties\":{\"v\":{\"const\":1},\"of\":{\"$dynamicRef\":\"#node\"}}}",
           TEXTS("{}", "{\"v\":1,\"of\":{\"of\":{\"v\":1}}}"), TEXTS("{\"of\":1}", "{\"of\":{\"v\":2}}"));
    expect(GRAMMAR_SCHEMA,
           "{\"$dynamicRef\":\"#n\",\"maximum\":3,\"$defs\":{\"n\":{\"$dynamicAnchor\":\"n\",\"enum\":[2,5]}}}",
           TEXTS("2"), TEXTS("5", "1"));
    expect_error(GRAMMAR_SCHEMA, "{\"items\":{\"$dynamicRef\":\"#none\"}}", ERR_UNSUPPORTED, "/items: '$dynamicRef'");
    expect_error(GRAMMAR_SCHEMA,
                 "{\"$dynamicRef\":\"#n\",\"$defs\":{\"n\":{\"$id\":\"other\",\"$dynamicAnchor\":\"n\"}}}",
                 ERR_UNSUPPORTED, "$dynamicRef");
    expect_error(GRAMMAR_SCHEMA, "{\"$dynamicAnchor\":\"n\",\"$dynamicRef\":\"#n\"}", ERR_LIMIT, "circle");
}

static void schema_errors(void **state) {
    expect_error(GRAMMAR_SCHEMA, "{\"not\":{\"pattern\":\"a\"}}", ERR_UNSUPPORTED, "'not'");
    expect_error(GRAMMAR_SCHEMA, "{\"oneOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", ERR_UNSUPPORTED, "oneOf/0");
    expect_error(GRAMMAR_SCHEMA, "{\"type\":\"strange\"}", ERR_INVALID, "'type'");
    expect_error(GRAMMAR_SCHEMA, "{\"$ref\":\"#\"}", ERR_INVALID, "no text");
    expect_error(GRAMMAR_SCHEMA, "{\"allOf\":[{\"$ref\":\"#\"}]}", ERR_LIMIT, "circle");
    expect_error(GRAMMAR_SCHEMA, "{\"$ref\":\"http://x/y\"}", ERR_UNSUPPORTED, "$ref");
    expect_error(GRAMMAR_SCHEMA, "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", ERR_INVALID,
                 "no text");
    expect_error(GRAMMAR_SCHEMA, "{\"pattern\":\"^(?=a)b$\"}", ERR_UNSUPPORTED, "look-around");
    expect_error(GRAMMAR_SCHEMA, "{\"minLength\":-1}", ERR_INVALID, "minLength");
    expect_error(GRAMMAR_SCHEMA, "{\"type\":\"string\",\"maxLength\":4000000000}", ERR_LIMIT, "too");
    expect_error(GRAMMAR_SCHEMA, "{", ERR_INVALID, "JSON");
    expect_error(GRAMMAR_SCHEMA, "false", ERR_INVALID, "no text");
    expect_error(GRAMMAR_SCHEMA, "3", ERR_INVALID, "object or a boolean");
}

/* ---- masks ---- */

/* A walk of random tokens: at every step the mask and an attempt to read each token must agree. */
static void walk(struct grammar *g, uint64_t seed) {
    const uint32_t stop = END;
    struct grammar_state s;
    float logits[TOKENS + 3];
    grammar_state_init(&s, g);
    for (int step = 0; step < 40; step++) {
        uint32_t allowed[TOKENS], count = 0;
        memset(logits, 0, sizeof logits);
        if (grammar_mask(&s, logits, TOKENS + 3, &stop, 1, &error) != 0) fail_msg("%s", error.text);
        assert_int_equal(logits[END] == 0, grammar_may_end(&s));
        for (uint32_t t = TOKENS; t < TOKENS + 3; t++) assert_true(logits[t] == -INFINITY);
        for (uint32_t t = 1; t < TOKENS; t++) {
            struct grammar_state tried;
            grammar_state_clone(&tried, &s);
            bool readable_token = grammar_accept(&tried, t) == 0;
            if (readable_token != (logits[t] == 0)) fail_msg("token %u: mask and reading differ", t);
            assert_int_equal(readable_token, grammar_allows(&s, t));
            if (readable_token) allowed[count++] = t;
            grammar_state_deinit(&tried);
        }
        assert_int_equal(grammar_must_end(&s), count == 0);
        if (count == 0) break;
        assert_int_equal(grammar_accept(&s, allowed[prng_below(&seed, count)]), 0);
    }
    grammar_state_deinit(&s);
}

static void masks_agree_with_reading(void **state) {
    static const struct {
        enum grammar_kind kind;
        const char *text;
    } all[] = {
        {GRAMMAR_SCHEMA, "true"},
        {GRAMMAR_SCHEMA, "{\"type\":\"object\"}"},
        {GRAMMAR_SCHEMA, "{\"properties\":{\"name\":{\"type\":\"string\"},\"ab\":{\"enum\":[\"abc\",\"ab\",true]},"
                         "\"n\":{\"type\":\"number\"}},\"required\":[\"ab\"]}"},
        {GRAMMAR_SCHEMA, "{\"items\":{\"items\":{\"type\":\"integer\"}},\"minItems\":2}"},
        {GRAMMAR_SCHEMA, "{\"type\":\"string\",\"maxLength\":5}"},
        {GRAMMAR_SCHEMA, "{\"anyOf\":[{\"type\":\"string\"},{\"pattern\":\"^a+\\\"?$\"},{\"type\":\"null\"}]}"},
        {GRAMMAR_SCHEMA, "{\"items\":{\"pattern\":\"^[ab\\n]+c?$\",\"minLength\":2,\"maxLength\":5}}"},
        {GRAMMAR_GBNF, "root ::= (\"a\" | \"ab\" | \"abc\" | [^\\n])* \"\\n\"?"},
        {GRAMMAR_GBNF,
         "root ::= e\ne ::= \"[\" e \"]\" | \"[\" e | \"ab\" e \"ab\" | \"1\" | \"12\" | e2\ne2 ::= \"{\" e \"}\""},
        {GRAMMAR_GBNF, "root ::= <[1]> \"ab\" | \"true\" root"},
        {GRAMMAR_TAGS, "{\"tags\":[{\"begin\":\"[CALL]\",\"schema\":{\"type\":\"object\"},\"end\":\"]\"},{\"begin\":\"<"
                       "tool>{\",\"schema\":{\"const\":1},\"end\":\"}}\"}],"
                       "\"triggers\":[\"[CALL]\",\"<tool>\"],\"many\":true}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct grammar *g = make(all[i].kind, all[i].text);
        for (uint64_t seed = 0; seed < 12; seed++) walk(g, seed);
        grammar_free(g);
    }
}

/* Many ways to read one text: the sets stay small. */
static void ambiguity_is_bounded(void **state) {
    struct grammar *g =
        make(GRAMMAR_GBNF, "root ::= e\ne ::= \"(\" e \")\" | \"(\" e \"]\" | \"(\" e | \"x\" | \"x\" e \"y\"");
    struct grammar_state s;
    grammar_state_init(&s, g);
    for (int i = 0; i < 400; i++) assert_int_equal(grammar_accept(&s, FIRST_BYTE + '('), 0);
    assert_int_equal(grammar_accept(&s, FIRST_BYTE + 'x'), 0);
    for (int i = 0; i < 400; i++) assert_int_equal(grammar_accept(&s, FIRST_BYTE + (i % 2 ? ']' : ')')), 0);
    assert_true(grammar_may_end(&s));
    grammar_state_deinit(&s);
    grammar_free(g);
}

/* What was learnt is forgotten when it gets too much, and nobody notices. */
static void memory_is_bounded(void **state) {
    struct grammar *g = make(GRAMMAR_SCHEMA, "true");
    struct grammar_state deep, other;
    float logits[TOKENS];
    size_t most = 0;
    grammar_state_init(&deep, g);
    grammar_state_init(&other, g);
    assert_int_equal(grammar_accept(&other, FIRST_BYTE + '{'), 0);
    for (int i = 0; i < 20000; i++) {
        memset(logits, 0, sizeof logits);
        assert_int_equal(grammar_accept(&deep, FIRST_BYTE + '['), 0);
        assert_int_equal(grammar_mask(&deep, logits, TOKENS, NULL, 0, &error), 0);
        if (grammar_memory(g) > most) most = grammar_memory(g);
    }
    assert_true(most < 24 << 20);
    for (int i = 0; i < 20000; i++) assert_int_equal(grammar_accept(&deep, FIRST_BYTE + ']'), 0);
    assert_true(grammar_must_end(&deep));
    assert_int_equal(grammar_accept(&other, FIRST_BYTE + '}'), 0);
    assert_true(grammar_must_end(&other));
    grammar_state_deinit(&deep);
    grammar_state_deinit(&other);
    grammar_free(g);
}

static void tags_begin_at_their_triggers(void **state) {
    struct grammar *g =
        make(GRAMMAR_TAGS,
             "{\"tags\":[{\"begin\":\"[CALL]f\",\"schema\":{\"const\":12},\"end\":\"!\"}],\"triggers\":[\"[CALL]\"]}");
    struct grammar_state s;
    grammar_state_init(&s, g);
    for (const char *c = "any [CALL]text"; *c; c++) assert_int_equal(grammar_accept(&s, FIRST_BYTE + (uint8_t)*c), 0);
    assert_true(grammar_may_end(&s));
    assert_int_equal(grammar_accept(&s, CALL), 0); /* the token, not its text */
    assert_false(grammar_may_end(&s));
    assert_int_equal(grammar_accept(&s, FIRST_BYTE + 'g'), ERR_INVALID);
    for (const char *c = "f12!"; *c; c++) assert_int_equal(grammar_accept(&s, FIRST_BYTE + (uint8_t)*c), 0);
    assert_true(grammar_must_end(&s));
    grammar_state_deinit(&s);
    grammar_free(g);
    expect(GRAMMAR_TAGS,
           "{\"tags\":[{\"begin\":\"<a>\",\"schema\":true,\"end\":\"</a>\"},{\"begin\":\"<b>\",\"gbnf\":\"root ::= "
           "[0-9]+\",\"end\":\"\"}],\"many\":true,\"separator\":\";\"}",
           TEXTS("<a>{}</a>", "<b>12;<a>1</a>;<b>3"), TEXTS("", "x", "<a>{}</a>;", "<b>"));
    expect_error(GRAMMAR_TAGS, "{\"tags\":[{\"begin\":\"a\",\"schema\":true,\"end\":\"\"}],\"triggers\":[\"b\"]}",
                 ERR_INVALID, "trigger");
    expect_error(GRAMMAR_TAGS, "{\"tags\":[]}", ERR_INVALID, "tags");
}

static void tags_of_many_kinds(void **state) {
    expect(GRAMMAR_TAGS,
           "{\"thoughts\":{\"open\":\"<t>\",\"close\":\"</"
           "t>\"},\"tags\":[{\"begin\":\"\",\"schema\":{\"const\":1},\"end\":\"\"}]}",
           TEXTS("1", "<t>any<t></t>\n\n1", "<t></t>1"), TEXTS("", "<t>1", "x1", "<t></t>", "</t>1"));
    expect(GRAMMAR_TAGS,
           "{\"thoughts\":{\"open\":\"<t>\",\"close\":\"</"
           "t>\",\"opened\":true},\"tags\":[{\"begin\":\"\",\"gbnf\":\"root ::= [a-c]\",\"end\":\".\"}]}",
           TEXTS("hm</t>a.", "</t>\nb."), TEXTS("a.", "hm</t>"));
    expect(GRAMMAR_TAGS,
           "{\"tags\":[{\"begin\":\"{f \",\"schema\":{\"const\":1},\"end\":\"}\"},{\"begin\":\"{g "
           "\",\"schema\":{\"const\":2},\"end\":\"}\"}],"
           "\"begin\":\"<\",\"end\":\">\",\"separator\":\", \",\"triggers\":[\"<{\"],\"many\":true,\"required\":true}",
           TEXTS("<{f 1}>", "so<<{g 2}, {f 1}> and <{f 1}> end"), TEXTS("", "so", "<{f 2}>", "<{f 1}", "<{f 1}>,<{"));
    expect(GRAMMAR_TAGS,
           "{\"tags\":[{\"begin\":\"<f>\",\"arguments\":{\"properties\":{\"q\":{\"type\":\"string\"},\"n\":{\"type\":"
           "\"integer\"},"
           "\"u\":{\"type\":\"string\",\"enum\":[\"C\",\"F\"]}},\"required\":[\"q\",\"u\"]},"
           "\"style\":{\"begin\":\"<p \",\"middle\":\">\",\"end\":\"</p>\"},\"end\":\"</f>\"}]}",
           TEXTS("<f><p q>any \" text</p><p u>C</p></f>", "<f><p q></p><p n>12</p><p u>F</p></f>"),
           TEXTS("<f></f>", "<f><p q>x</p><p n>y</p><p u>C</p></f>", "<f><p q>x</p><p u>D</p></f>"));
    expect_error(GRAMMAR_TAGS, "{\"tags\":[{\"begin\":\"\",\"end\":\"\"}]}", ERR_INVALID, "neither");
    expect_error(GRAMMAR_TAGS, "{\"thoughts\":1,\"tags\":[{\"begin\":\"\",\"schema\":true,\"end\":\"\"}]}", ERR_INVALID,
                 "thoughts");
}

/* Schemas that are small and mean much: each costs an error, or is read in little time. */
static void bombs_are_harmless(void **state) {
    struct text t = {0};
    for (int i = 0; i < 65536; i++) text_printf(&t, "%s\"e%d\"", i ? "," : "{\"enum\":[", i);
    text_add_str(&t, "]}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_LIMIT, "bytes");
    text_clear(&t);
    for (int i = 0; i < 16000; i++) text_printf(&t, "%s\"e%d\"", i ? "," : "{\"enum\":[", i);
    text_add_str(&t, "]}");
    grammar_free(make(GRAMMAR_SCHEMA, text_str(&t)));
    text_clear(&t);
    text_add_str(&t, "{\"uniqueItems\":true,\"items\":{\"$ref\":\"#/$defs/d0\"},\"$defs\":{\"d40\":{\"enum\":[]}");
    for (int i = 0; i < 40; i++)
        text_printf(&t, ",\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]}", i, i + 1,
                    i + 1);
    text_add_str(&t, "}}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_LIMIT, "combinations");
    text_clear(&t);
    for (int i = 0; i < 16000; i++) text_printf(&t, "%s\"a%d\"", i ? "," : "{\"enum\":[", i);
    text_add_str(&t, "],\"pattern\":\"^((a|b){0,100}){0,900}c?[0-9]*$\"}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_UNSUPPORTED, "checked");
    text_clear(&t);
    for (int i = 0; i < 200; i++) text_add_str(&t, "{\"items\":");
    text_add_str(&t, "true");
    for (int i = 0; i < 200; i++) text_add_str(&t, "}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_LIMIT, "deeper");
    text_clear(&t);
    text_add_str(&t, "{\"$defs\":{");
    for (int i = 0; i < 30; i++)
        text_printf(&t, "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i, i + 1,
                    i + 1);
    text_add_str(&t, "\"d30\":{\"type\":\"null\"}},\"$ref\":\"#/$defs/d0\"}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_LIMIT, "too many");
    text_clear(&t);
    text_add_str(&t, "{\"properties\":{");
    for (int i = 0; i < 2000; i++) text_printf(&t, "%s\"p%d\":{}", i ? "," : "", i);
    text_add_str(&t, "},\"anyOf\":[");
    for (int i = 0; i < 200; i++) text_printf(&t, "%s{\"required\":[\"p%d\"]}", i ? "," : "", i);
    text_add_str(&t, "]}");
    expect_error(GRAMMAR_SCHEMA, text_str(&t), ERR_LIMIT, "more than");
    text_clear(&t);
    text_add_str(&t, "root ::= r0\n");
    for (int i = 0; i < 6000; i++) text_printf(&t, "r%d ::= \"a\"? r%d\n", i, i + 1);
    text_add_str(&t, "r6000 ::= \"b\"\n");
    grammar_free(make(GRAMMAR_GBNF, text_str(&t)));
    text_deinit(&t);
    expect_error(GRAMMAR_SCHEMA, "{\"minItems\":100000000}", ERR_LIMIT, "too");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gbnf_notation),
        cmocka_unit_test(gbnf_errors),
        cmocka_unit_test(schema_types),
        cmocka_unit_test(schema_numbers),
        cmocka_unit_test(schema_strings),
        cmocka_unit_test(schema_strings_of_several),
        cmocka_unit_test(meeting_is_exact),
        cmocka_unit_test(schema_objects),
        cmocka_unit_test(schema_multiples),
        cmocka_unit_test(schema_arrays),
        cmocka_unit_test(schema_counted_elements),
        cmocka_unit_test(schema_different_elements),
        cmocka_unit_test(schema_anchors),
        cmocka_unit_test(schema_choices),
        cmocka_unit_test(schema_opposites),
        cmocka_unit_test(schema_patterns_of_names),
        cmocka_unit_test(schema_dynamic_references),
        cmocka_unit_test(schema_errors),
        cmocka_unit_test(masks_agree_with_reading),
        cmocka_unit_test(ambiguity_is_bounded),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(tags_begin_at_their_triggers),
        cmocka_unit_test(tags_of_many_kinds),
        cmocka_unit_test(bombs_are_harmless),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
