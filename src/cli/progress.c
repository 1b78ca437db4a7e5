#include "cli/progress.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/common.h"

enum { BAR_CELLS = 24 };

struct progress progress_new(void) {
    return (struct progress){.terminal = isatty(STDERR_FILENO)};
}

const json_t *progress_find(const json_t *downloads, const char *model) {
    size_t i;
    const json_t *item, *found = NULL;
    json_array_foreach(downloads, i, item) {
        const char *name = json_string_value(json_object_get(item, "model"));
        if (name && strcmp(name, model) == 0) found = item;
    }
    return found;
}

static uint64_t number(const json_t *download, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(download, key));
}

static void show_time(double seconds) {
    unsigned left = (unsigned)seconds + 1;
    if (left < 3600)
        fprintf(stderr, "  %u:%02u", left / 60, left % 60);
    else if (left < 100 * 3600)
        fprintf(stderr, "  %u h %02u min", left / 3600, left / 60 % 60);
}

void progress_show(struct progress *p, const json_t *download) {
    char done[CLI_SIZE_BYTES], total[CLI_SIZE_BYTES], rate[CLI_SIZE_BYTES], bar[BAR_CELLS + 1];
    uint64_t bytes_total = number(download, "bytes_total"), bytes_done = number(download, "bytes_done");
    const json_t *eta = json_object_get(download, "eta_s");
    if (!p->terminal) return;
    p->shown = true;
    if (bytes_total == 0) {
        fprintf(stderr, "\r\033[Kasking the hub");
        return;
    }
    size_t cells = (size_t)((double)bytes_done / (double)bytes_total * BAR_CELLS);
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', cells < BAR_CELLS ? cells : BAR_CELLS);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s of %s  %s/s", bar, 100.0 * (double)bytes_done / (double)bytes_total,
            common_size(bytes_done, done), common_size(bytes_total, total),
            common_size(number(download, "bytes_per_s"), rate));
    if (json_is_number(eta)) show_time(json_number_value(eta));
}

void progress_clear(struct progress *p) {
    if (p->shown) fprintf(stderr, "\r\033[K");
    p->shown = false;
}
