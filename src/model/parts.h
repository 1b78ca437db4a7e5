/* A file that does not exist yet, as what it is made of: runs of rows, and where they come from. Plain data. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PART_OF_MEMORY = UINT32_MAX };

/* Rows that lie one behind the other in the result, and in some order in a file (or in memory). */
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
    uint64_t row_step, column_step; /* values from one row to the next, and within a row, where they do not lie one
                                     * behind the other; both 0: they do */
    bool scales_apart;              /* MXFP4 as gpt-oss has it: the blocks' scales, a byte each, lie elsewhere, and two
                                     * values that follow each other share a byte */
    uint32_t scales_file;
    uint64_t scales_offset;
};

struct parts {
    struct part *items; /* owned, free() */
    size_t count, capacity;
};

/* 0 or ERR_NOMEM. */
int parts_add(struct parts *p, struct part part);
