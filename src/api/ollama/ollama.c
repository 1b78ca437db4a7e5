#include "api/ollama/ollama.h"

#include <stdio.h>
#include <string.h>

#include "api/write.h"

void ollama_write_error(const struct api_error *e, struct text *out) {
    write_json(out, json_pack("{s:o}", "error", write_string(e->message)));
}

/* Days since 1970 to a date of the Gregorian calendar (Hinnant: "chrono-compatible low-level date algorithms"). */
const char *ollama_time(int64_t unix_s, char out[OLLAMA_TIME_BYTES]) {
    int64_t days = unix_s / 86400, rest = unix_s % 86400;
    int64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), mp = (5 * of_year + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9), year = (int)(year_of_era + era * 400) + (month <= 2);
    snprintf(out, OLLAMA_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month,
             (int)(of_year - (153 * mp + 2) / 5 + 1), (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    return out;
}

json_t *ollama_name(const char *name) {
    const char *last = strrchr(name, '/');
    return strchr(last ? last : name, ':') ? json_string(name) : json_sprintf("%s:latest", name);
}

static json_t *size_json(uint64_t parameters) {
    if (parameters >= 1000000000) return json_sprintf("%.1fB", (double)parameters / 1e9);
    return json_sprintf("%.2fM", (double)parameters / 1e6);
}

json_t *ollama_details_json(const struct ollama_model *m) {
    return json_pack("{s:s, s:s, s:s, s:[s], s:o, s:s}", "parent_model", "", "format", m->format, "family",
                     m->architecture, "families", m->architecture, "parameter_size", size_json(m->parameters),
                     "quantization_level", m->quantization ? m->quantization : "unknown");
}

json_t *ollama_model_json(const struct ollama_model *m) {
    char time[OLLAMA_TIME_BYTES];
    return json_pack("{s:o, s:o, s:s, s:I, s:s, s:o}", "name", ollama_name(m->name), "model", ollama_name(m->name),
                     "modified_at", ollama_time(m->modified_s, time), "size", (json_int_t)m->bytes, "digest", m->digest,
                     "details", ollama_details_json(m));
}
