#include "api/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Standard alphabet with padding (RFC 4648, section 4). */
static json_t *base64_json(const uint8_t *data, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct text out = {0};
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        if (i + 1 < len) bits |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < len) bits |= data[i + 2];
        for (size_t k = 0; k < 4; k++) text_add_char(&out, i + k > len ? '=' : digits[bits >> (18 - 6 * k) & 63]);
    }
    json_t *text = json_stringn(text_str(&out), out.len);
    text_deinit(&out);
    return text;
}

static float scale_of(const float *vector, uint32_t width) {
    double sum = 0;
    for (uint32_t i = 0; i < width; i++) sum += (double)vector[i] * vector[i];
    return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

json_t *vectors_json(const struct api_job *job, const struct api_answer *a) {
    uint32_t width = job->dimensions > 0 && job->dimensions < a->width ? job->dimensions : a->width;
    float scale = scale_of(a->vector, width), *scaled = calloc(width + 1, sizeof *scaled);
    json_t *json = job->base64 ? NULL : json_array();
    for (uint32_t i = 0; i < width && scaled; i++) {
        scaled[i] = a->vector[i] * scale;
        if (!job->base64) json_array_append_new(json, json_real(scaled[i]));
    }
    if (job->base64 && scaled) json = base64_json((const uint8_t *)scaled, width * sizeof *scaled);
    free(scaled);
    return json;
}
