#include "journal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "world.h"

void journal_deinit(struct journal *j) { free(j->tail); }

void journal_mix(struct world *w, uint64_t value) { w->journal.hash = prng_mix(w->journal.hash ^ value); }

void journal_mix_text(struct world *w, const char *text) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    journal_mix(w, hash);
}

static char *next_line(struct journal *j, char *own) {
    if (j->mode != JOURNAL_TAIL) return own;
    if (!j->tail) j->tail = calloc(JOURNAL_TAIL_LINES, sizeof *j->tail);
    assert(j->tail);
    return j->tail[j->lines % JOURNAL_TAIL_LINES];
}

void journal_line(struct world *w, int host, const char *format, ...) {
    struct journal *j = &w->journal;
    if (j->mode == JOURNAL_SILENT) return;
    char own[JOURNAL_LINE_BYTES], *line = next_line(j, own);
    const char *who = host == JOURNAL_NOBODY ? "world" : w->hosts[host].name;
    int used = snprintf(line, JOURNAL_LINE_BYTES, "%10.6f %-5s ", (double)w->now_us / 1e6, who);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, JOURNAL_LINE_BYTES - (size_t)used, format, args);
    va_end(args);
    j->lines++;
    if (j->mode == JOURNAL_ALOUD) puts(line);
}

void journal_print_tail(const struct journal *j) {
    uint64_t first = j->lines > JOURNAL_TAIL_LINES ? j->lines - JOURNAL_TAIL_LINES : 0;
    for (uint64_t i = first; j->tail && i < j->lines; i++) puts(j->tail[i % JOURNAL_TAIL_LINES]);
}

void journal_broken(struct world *w, const char *rule, const char *format, ...) {
    struct journal *j = &w->journal;
    if (j->broken) return;
    j->broken = true;
    j->broken_us = w->now_us;
    snprintf(j->rule, sizeof j->rule, "%s", rule);
    va_list args;
    va_start(args, format);
    vsnprintf(j->what, sizeof j->what, format, args);
    va_end(args);
    journal_line(w, JOURNAL_NOBODY, "BROKEN %s: %s", j->rule, j->what);
}
