#include "node/instruments.h"

#include <assert.h>
#include <stdlib.h>

#include "node/daemon_private.h"
#include "os/readings.h"

enum { EVERY_MS = 1000 };

struct look {
    uv_work_t work;
    struct daemon *daemon;
    struct readings readings;
};

static void on_pool(uv_work_t *work) {
    struct look *look = work->data;
    readings_take("", &look->readings);
}

static uint32_t thousandths(bool known, double value) {
    return known && value > 0 && value < UINT32_MAX / 1000 ? (uint32_t)(value * 1000) : 0;
}

static void take_readings(uv_timer_t *timer);

static void on_back(uv_work_t *work, int status) {
    struct look *look = work->data;
    struct daemon *d = look->daemon;
    const struct readings *r = &look->readings;
    struct wire_readings now = {.temperature_mc = thousandths(r->temperature_known, r->temperature_c),
                                .power_mw = thousandths(r->power_known, r->power_w)};
    if (!d->stopping) driver_event(d, &(struct node_event){.type = NODE_READINGS, .readings = &now});
    if (!d->stopping) uv_timer_start(&d->instruments_timer, take_readings, EVERY_MS, 0);
    d->errands--;
    free(look);
}

static void take_readings(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    struct look *look = calloc(1, sizeof *look);
    assert(look != NULL);
    look->daemon = d;
    look->work.data = look;
    d->errands++;
    uv_queue_work(&d->loop, &look->work, on_pool, on_back);
}

void instruments_start(struct daemon *d) { uv_timer_start(&d->instruments_timer, take_readings, EVERY_MS, 0); }

void instruments_stop(struct daemon *d) { uv_timer_stop(&d->instruments_timer); }
