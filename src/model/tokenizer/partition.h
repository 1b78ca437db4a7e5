/* Finds the tokens that a text is cut at before anything else: special ones, and those that users added.
 *
 * As llama.cpp does it: longer tokens come first, wherever they stand, and what one token has taken no other gets.
 * Built once, then immutable: any thread. */
#pragma once
#include "model/tokenizer/trie.h"
#include "model/tokenizer/vocabulary.h"

struct partition {
    const struct vocabulary *vocabulary;
    struct trie tokens; /* text -> id */
    bool first[256];    /* some token begins with this byte */
};

struct partition_part {
    size_t begin, len;
    int64_t token; /* -1: text */
};

struct partition_parts {
    struct partition_part *at; /* owned, free() */
    size_t count, capacity;
};

/* 0 or ERR_NOMEM; deinit is due in any case. */
int partition_init(struct partition *p, const struct vocabulary *v);
void partition_deinit(struct partition *p);

/* The parts of a text in order, none of them empty. parse_special: special tokens are looked for, not only those that
 * are part of text. 0 or ERR_NOMEM. */
int partition_run(const struct partition *p, const char *text, size_t len, bool parse_special,
                  struct partition_parts *out);
