#include "engine/pace.h"

#include <stdbool.h>

enum { FIRST_ROWS = 16, BRIEF_ROWS = 512, CROWD = 8 /* answers */, CROWD_STEPS = 4 /* in a row with prompts */ };

/* Of the time of a step that only decodes: what prompts may take beside answers, and between their steps in a ring. */
static const double beside = 1.0, in_crowd = 0.75, between = 0.8;
static const double brief_us = 25000; /* a step beside few, where all prompts together are brief: nobody sees that */
static const double weight = 0.2;     /* of what was seen last */
static const double rows_max = 512;

static double most_us(const struct pace *p, uint32_t answers, uint32_t decode_rows) {
    return p->decode_us * (decode_rows == 0 ? between : answers < CROWD ? beside : in_crowd);
}

/* Many more, or fewer, decode than when it was measured. */
static bool has_changed(const struct pace *p, uint32_t decode_rows) {
    return decode_rows > 2 * p->decode_rows || 2 * decode_rows < p->decode_rows;
}

uint32_t pace_rows(const struct pace *p, uint32_t answers, uint32_t decode_rows, uint32_t waiting, uint32_t most) {
    bool crowd = answers >= CROWD, brief = waiting <= BRIEF_ROWS && !crowd;
    bool rests = p->with >= (crowd ? CROWD_STEPS : 1);
    if (answers == 0) return most;
    if (decode_rows > 0 && !brief && (rests || p->decode_us <= 0 || has_changed(p, decode_rows))) return 0;
    double rows = p->rows > 0 ? p->rows : FIRST_ROWS, us = most_us(p, answers, decode_rows);
    if (brief && us > 0 && us < brief_us) rows *= brief_us / us;
    return rows < 1 ? 1 : rows < most ? (uint32_t)rows : most;
}

static void blend(double *value, double seen) { *value = *value > 0 ? *value + weight * (seen - *value) : seen; }

/* Lead the rows to where they take the time that they may, by not too much at once. */
static void lead(struct pace *p, uint32_t prompt_rows, double took_us, double may_us) {
    double factor = took_us > 0 ? may_us / took_us : 2;
    if (factor > 1.5) factor = 1.5;
    if (factor < 0.5) factor = 0.5;
    p->rows = (p->rows > 0 ? p->rows + prompt_rows * factor : 2 * prompt_rows * factor) / 2;
    if (p->rows < 1) p->rows = 1;
    if (p->rows > rows_max) p->rows = rows_max;
}

void pace_learn(struct pace *p, uint32_t answers, uint32_t decode_rows, uint32_t prompt_rows, uint64_t us) {
    if (decode_rows > 0) p->with = prompt_rows > 0 ? p->with + 1 : 0;
    if (answers == 0 || decode_rows + prompt_rows == 0) return;
    if (prompt_rows == 0) {
        if (has_changed(p, decode_rows)) p->decode_us = 0;
        blend(&p->decode_us, (double)us);
        p->decode_rows = decode_rows;
        return;
    }
    bool cut_short = prompt_rows < p->rows / 2; /* the prompt's end */
    if (p->decode_us > 0 && !cut_short)
        lead(p, prompt_rows, (double)us - (decode_rows > 0 ? p->decode_us : 0), most_us(p, answers, decode_rows));
}
