#include "api/write.h"

#include <stdlib.h>
#include <string.h>

#include "api/stops.h"

json_t *write_string(const char *text) {
    struct stops none;
    struct text valid = {0};
    stops_init(&none, NULL, 0);
    stops_add(&none, text, strlen(text), &valid);
    json_t *string = json_stringn(text_str(&valid), valid.len);
    stops_deinit(&none);
    text_deinit(&valid);
    return string;
}

void write_json(struct text *out, json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
        text_add_str(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(value);
}

void write_event(struct text *out, json_t *value) {
    text_add_str(out, "data: ");
    write_json(out, value);
    text_add_str(out, "\n\n");
}

void write_line(struct text *out, json_t *value) {
    write_json(out, value);
    text_add_str(out, "\n");
}
