/* Source text to tokens, with Jinja's white space rules (trim_blocks and lstrip_blocks on). Raises on bad text. */
#pragma once
#include "model/template/value.h"

enum token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
};

struct token {
    enum token_kind kind;
    uint32_t line;
    char op[3];         /* OPERATOR: "==", "|" ... */
    struct value value; /* TEXT, STRING, NAME: a string; INTEGER, FLOAT: a number */
};

struct tokens {
    struct token *items; /* the last one is END */
    size_t count, capacity;
};

struct tokens lexer_tokenize(struct interp *in, const char *source, size_t len);
