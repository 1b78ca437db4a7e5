/* A file that does not exist yet, as what it is made of: runs of rows, and where they come from. Plain data. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { PART_OF_MEMORY = UINT32_MAX };

/* Rows that lie one behind the other in a file (or in memory) and in the result. */
struct part {
    uint32_t file;     /* number of the file; PART_OF_MEMORY: `values` */
    uint32_t from, to; /* types */
    uint64_t rows, cols;
    uint64_t from_offset; /* in that file */
    uint64_t to_offset;   /* in the result, header included */
    const float *values;  /* rows x cols of them */
    float added;          /* to every value */
    uint32_t head;        /* rows of a head whose halves are to be interleaved: row 2 i is its i, row 2 i + 1 its
                           * head / 2 + i; 0: rows stay in their order */
};

struct parts {
    struct part *items; /* owned, free() */
    size_t count, capacity;
};

/* 0 or ERR_NOMEM. */
int parts_add(struct parts *p, struct part part);
