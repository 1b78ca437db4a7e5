#include "net/fetch/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What stands behind "name:" in the line; NULL: another header. */
static const char *value_of(const char *line, const char *name) {
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':') return NULL;
    line += len + 1;
    return line + strspn(line, " \t");
}

static void take_hash(struct fetch_reply *r, const char *value) {
    char hash[sizeof r->hash];
    if (strncmp(value, "W/", 2) == 0) value += 2;
    if (*value == '"') value++;
    size_t len = strspn(value, "0123456789abcdefABCDEF");
    if (len != 64) return;
    snprintf(hash, sizeof hash, "%.64s", value);
    snprintf(r->hash, sizeof r->hash, "%s", hash);
}

static void take_next(struct fetch_reply *r, const char *value) {
    const char *end = strchr(value, '>');
    if (*value != '<' || end == NULL || strstr(end, "rel=\"next\"") == NULL) return;
    if ((size_t)(end - value) < sizeof r->next)
        snprintf(r->next, sizeof r->next, "%.*s", (int)(end - value - 1), value + 1);
}

void fetch_take_header(struct fetch_reply *r, bool *ranged, const char *line) {
    const char *value;
    uint64_t begin, end, total;
    if ((value = value_of(line, "X-Linked-Etag")) != NULL) {
        take_hash(r, value);
    } else if ((value = value_of(line, "ETag")) != NULL) {
        if (strlen(value) < sizeof r->etag) memcpy(r->etag, value, strlen(value) + 1);
    } else if ((value = value_of(line, "Retry-After")) != NULL) {
        r->retry_after_s = (uint32_t)strtoul(value, NULL, 10);
    } else if ((value = value_of(line, "Link")) != NULL) {
        take_next(r, value);
    } else if ((value = value_of(line, "Content-Range")) != NULL) {
        if (!fetch_content_range(value, &begin, &end, &total)) return;
        *ranged = true;
        r->begin = begin;
        r->total = total;
    } else if ((value = value_of(line, "Content-Length")) != NULL && !*ranged) {
        r->total = strtoull(value, NULL, 10);
    }
}
