/* What a token mask costs: grammar_bench VOCABULARY.gguf [REPEATS]
 *
 * Each grammar reads a text of its own token by token, with a mask computed before each: in the first reading
 * everything is new to the grammar, in the later ones it is warm, each over other texts than the ones before where the
 * grammar leaves a choice. "mask" is finding the set and writing -INFINITY into a row of logits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/grammar.h"
#include "os/clock.h"
#include "os/file.h"

enum { TOKENS_MAX = 1 << 16, REPEATS = 8 };

static const struct task {
    const char *name;
    enum grammar_kind kind;
    const char *grammar;
    const char *format; /* %d: changes from reading to reading */
} tasks[] = {
    {"any JSON object", GRAMMAR_SCHEMA, "{\"type\":\"object\"}",
     "{\"id\": %d, \"name\": \"Ada Lovelace\", \"tags\": [\"mathematics\", \"writing\", \"engines\"], \"born\": "
     "{\"year\": "
     "1815, \"place\": \"London\"}, \"notes\": \"She wrote the first program, it's said; \\\"poetical science\\\".\", "
     "\"alive\": false, \"scores\": [1.5, 2.25, -3e4, 0, null]}"},
    {"person", GRAMMAR_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"},\"name\":{\"type\":\"string\"},\"mail\":{"
     "\"type\":"
     "\"string\",\"format\":\"email\"},\"role\":{\"enum\":[\"admin\",\"author\",\"reader\"]},\"bio\":{\"type\":"
     "\"string\"},"
     "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150},\"tags\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"string\"}}},\"required\":[\"id\",\"name\",\"mail\",\"role\",\"bio\",\"age\",\"tags\"]}",
     "{\"id\": %d, \"name\": \"Grace Brewster Hopper\", \"mail\": \"grace.hopper@navy.mil\", \"role\": \"author\", "
     "\"bio\": "
     "\"An American computer scientist and rear admiral who wrote one of the first linkers.\", \"age\": 85, \"tags\": "
     "[\"compilers\", \"COBOL\", \"debugging\"]}"},
    {"bounded strings", GRAMMAR_SCHEMA,
     "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\",\"maxLength\":"
     "80},"
     "\"day\":{\"type\":\"string\",\"format\":\"date\"}},\"required\":[\"title\",\"day\"]}}",
     "[{\"title\": \"The %dth annual meeting of people who count things\", \"day\": \"2024-02-11\"}, {\"title\": "
     "\"Nothing happened\", \"day\": \"1999-12-31\"}]"},
    {"tree", GRAMMAR_SCHEMA,
     "{\"$ref\":\"#/$defs/"
     "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"value\":{\"type\":\"string\"},"
     "\"children\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
     "node\"}}},\"required\":[\"value\",\"children\"]}}}",
     "{\"value\":\"root %d\",\"children\":[{\"value\":\"left "
     "side\",\"children\":[{\"value\":\"leaf\",\"children\":[]}]},"
     "{\"value\":\"right side\",\"children\":[]}]}"},
    {"arithmetic (GBNF)", GRAMMAR_GBNF,
     "root ::= sum \"\\n\"\nsum ::= product (\" \"? [-+] \" \"? product)*\nproduct ::= atom ([*/] atom)*\n"
     "atom ::= [0-9]+ | [a-z]+ | \"(\" sum \")\"",
     "(alpha + %d)*(beta - 1200/gamma) + ((delta*epsilon) - 7)*zeta\n"},
    {"free text, then a call", GRAMMAR_TAGS,
     "{\"tags\":[{\"begin\":\"<tool_call>\\n{\\\"name\\\": \\\"weather\\\", \\\"arguments\\\": "
     "\",\"schema\":{\"type\":\"object\","
     "\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]},\"end\":\"}\\n</"
     "tool_call>\"}],\"triggers\":"
     "[\"<tool_call>\"],\"many\":true}",
     "Let me look that up for you, it will take %d seconds.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
     "{\"city\": "
     "\"Reykjavik\"}}\n</tool_call>"},
};

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct times {
    double us[TOKENS_MAX];
    size_t count;
};

static void report(struct times *t, const char *what) {
    double sum = 0;
    for (size_t i = 0; i < t->count; i++) sum += t->us[i];
    qsort(t->us, t->count, sizeof *t->us, compare);
    printf("  %-6s %6zu tokens  mean %7.1f  median %7.1f  p99 %8.1f  most %8.1f us\n", what, t->count,
           sum / (double)t->count, t->us[t->count / 2], t->us[t->count - 1 - t->count / 100], t->us[t->count - 1]);
    t->count = 0;
}

static void read_text(struct grammar *g, const struct tokenizer *tokenizer, const char *text, float *logits,
                      size_t vocab, struct times *t) {
    struct token_list ids = {0};
    struct grammar_state s;
    struct error error = {0};
    tokenizer_encode(tokenizer, text, strlen(text), false, false, &ids);
    grammar_state_init(&s, g);
    for (size_t i = 0; i < ids.count && t->count < TOKENS_MAX; i++) {
        for (size_t k = 0; k < vocab; k++) logits[k] = 1;
        uint64_t begin = clock_ns();
        int rc = grammar_mask(&s, logits, vocab, NULL, 0, &error);
        t->us[t->count++] = (double)(clock_ns() - begin) / 1000;
        if (rc != 0 || logits[ids.ids[i]] != 1 || grammar_accept(&s, ids.ids[i]) != 0) {
            fprintf(stderr, "token %zu of %s is not in the grammar %s\n", i, text, error.text);
            exit(1);
        }
    }
    grammar_state_deinit(&s);
    token_list_deinit(&ids);
}

static void measure(const struct task *task, const struct grammar_vocabulary *v, const struct tokenizer *tokenizer,
                    int repeats) {
    static struct times times;
    size_t vocab = tokenizer_count(tokenizer);
    float *logits = malloc(vocab * sizeof *logits);
    struct grammar *g;
    struct error error = {0};
    uint64_t begin = clock_ns();
    if (grammar_new(&g, task->kind, task->grammar, strlen(task->grammar), v, &error) != 0) {
        fprintf(stderr, "%s: %s\n", task->name, error.text);
        exit(1);
    }
    printf("%s (compiled in %.2f ms)\n", task->name, (double)(clock_ns() - begin) / 1e6);
    for (int i = 0; i <= repeats; i++) {
        struct text text = {0};
        text_printf(&text, task->format, 10 + 37 * i);
        read_text(g, tokenizer, text_str(&text), logits, vocab, &times);
        text_deinit(&text);
        if (i == 0) report(&times, "first");
    }
    report(&times, "warm");
    printf("  memory %.1f MiB\n", (double)grammar_memory(g) / (1 << 20));
    grammar_free(g);
    free(logits);
}

int main(int argc, char **argv) {
    struct file in;
    struct gguf file;
    struct tokenizer *tokenizer;
    struct grammar_vocabulary *v;
    struct error error = {0};
    if (argc < 2 || file_open(&in, argv[1], &error) != 0) {
        fprintf(stderr, "usage: grammar_bench VOCABULARY.gguf [REPEATS] %s\n", error.text);
        return 1;
    }
    uint8_t *data = malloc(in.bytes);
    int rc = data ? file_read_at(&in, 0, data, in.bytes, &error) : ERR_NOMEM;
    if (rc == 0) rc = gguf_parse(&file, data, in.bytes, in.bytes, &error);
    if (rc == 0) rc = tokenizer_new(&tokenizer, &file, &error);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], error.text);
        return 1;
    }
    uint64_t begin = clock_ns();
    if (grammar_vocabulary_new(&v, tokenizer, &error) != 0) return 1;
    printf("vocabulary of %zu tokens: trie in %.0f ms\n", tokenizer_count(tokenizer),
           (double)(clock_ns() - begin) / 1e6);
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        measure(&tasks[i], v, tokenizer, argc > 2 ? atoi(argv[2]) : REPEATS);
    grammar_vocabulary_free(v);
    tokenizer_free(tokenizer);
    gguf_deinit(&file);
    free(data);
    file_close(&in);
    return 0;
}
