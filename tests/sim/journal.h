/* What a run leaves behind: a hash of everything that happened, the first rule that was broken, and lines for people.
 *
 * Lines are only made when somebody reads them: ten thousand silent seeds cost no printf. The hash never depends on
 * that. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct world;

enum { JOURNAL_LINE_BYTES = 400, JOURNAL_TAIL_LINES = 60, JOURNAL_NOBODY = -1 };

enum journal_mode {
    JOURNAL_SILENT,
    JOURNAL_TAIL, /* the last lines are kept */
    JOURNAL_ALOUD /* printed as they come */
};

struct journal {
    enum journal_mode mode;
    bool frames; /* a line for every message too */
    uint64_t hash;
    uint64_t again; /* jobs that went on in another attempt */
    bool broken;
    uint64_t broken_us;
    char rule[64], what[JOURNAL_LINE_BYTES]; /* which rule, and how */
    char (*tail)[JOURNAL_LINE_BYTES];        /* JOURNAL_TAIL: owned, the last JOURNAL_TAIL_LINES */
    uint64_t lines;
};

void journal_deinit(struct journal *j);
void journal_mix(struct world *w, uint64_t value);
void journal_mix_text(struct world *w, const char *text);
/* A line; `host` did it, or JOURNAL_NOBODY. */
void journal_line(struct world *w, int host, const char *format, ...) __attribute__((format(printf, 3, 4)));
void journal_print_tail(const struct journal *j);

/* A rule does not hold: the run ends. The first one counts. */
void journal_broken(struct world *w, const char *rule, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define RULE(w, holds, rule, ...)                                                                                      \
    do {                                                                                                               \
        if (!(holds)) journal_broken(w, rule, __VA_ARGS__);                                                            \
    } while (0)
