/* The tokens of a vocabulary as a trie of their bytes, in the order in which a walk meets its nodes.
 *
 * Control tokens stand under a byte that no text has, so that no text is mistaken for one: TOKEN_TRIE_CONTROL and three
 * bytes of their number. Tokens with bytes that are in no UTF-8 text are left out. Immutable once made. Pure. */
#pragma once
#include "model/grammar.h"

enum { TOKEN_TRIE_CONTROL = 0xff, TOKEN_TRIE_KEY_BYTES = 4, TOKEN_TRIE_DEPTH_MAX = 1024 };
#define TOKEN_TRIE_NONE UINT32_MAX

struct token_trie_node {
    uint32_t end;   /* the first node behind its subtree */
    uint32_t token; /* whose bytes end here, or NONE; others of the same bytes follow by `same` */
    uint16_t depth; /* bytes up to here; 1 is the first */
    uint8_t byte;
};

struct grammar_vocabulary {
    const struct tokenizer *tokenizer;
    uint32_t token_count;
    struct token_trie_node *nodes;
    uint32_t node_count;
    uint32_t *same;  /* [token] the next one of the same bytes, or NONE */
    uint8_t *bytes;  /* the keys of all tokens, one behind the other */
    uint32_t *begin; /* [token_count + 1] into bytes; nothing: the token is in no text */
    uint32_t *controls, control_count;
};

/* The key of a control token. That of an ordinary one is its bytes. */
void token_trie_control_key(uint32_t token, uint8_t key[TOKEN_TRIE_KEY_BYTES]);
/* The control token with the longest text that `text` begins with; NONE. */
uint32_t token_trie_control_at(const struct grammar_vocabulary *v, const char *text, size_t len, size_t *token_len);
