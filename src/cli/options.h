/* Options and words of a verb: `--name VALUE`, `--name=VALUE`, flags, and the rest in order.
 *
 * A verb describes its options in a table that points at its variables; what is not given stays as it was. `--` ends
 * the options, `--help` prints the verb's usage. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_COUNT,  /* int64_t, min..max */
    OPTION_BYTES,  /* int64_t, min..max; K, M, G, T multiply by powers of 1024 */
    OPTION_NUMBER, /* double, min..max */
    OPTION_LIST,   /* const char *[max + 1], NULL-terminated; given more than once */
};

struct option_spec {
    const char *name; /* "--port"; NULL ends the table */
    enum option_kind kind;
    void *target;
    double min, max;
};

enum { OPTION_WORDS_MAX = 8 };

struct option_words {
    const char *at[OPTION_WORDS_MAX]; /* NULL from count on */
    int count;
};

enum { OPTIONS_OK = 0, OPTIONS_WRONG = -1, OPTIONS_HELP = 1 };

/* Fill the targets and `words`. OPTIONS_WRONG: the reason and the verb's usage are on stderr; OPTIONS_HELP: the usage
 * was asked for and is on stdout. Strings are views into argv. */
int options_parse(int argc, char **argv, const struct option_spec *specs, int words_min, int words_max,
                  struct option_words *words);

/* The exit status for what options_parse returned, if it was not OPTIONS_OK. */
int options_status(int result);
