#include "api/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char request_error[] = "invalid_request_error";

int body_wrong(struct api_error *e, const char *param, const char *what) {
    return api_error_set(e, 400, request_error, NULL, param, "'%s' %s", param, what);
}

/* jansson counts nesting by recursion and spends a hundred bytes and more on a value that is written in two, so both
 * are looked at before it is let loose. */
static const char *excess(const char *body, size_t len) {
    int depth = 0, values = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = body[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        if (c == '{' || c == '[' || c == ',') values++;
        if (depth > BODY_DEPTH_MAX) return "nests deeper than 64";
        if (values > BODY_VALUES_MAX) return "holds more than 400000 values";
    }
    return NULL;
}

int body_parse(struct api_job *job, const char *body, size_t len, struct api_error *e) {
    json_error_t why;
    const char *too_much = excess(body, len);
    if (too_much) return api_error_set(e, 400, request_error, NULL, "", "the body %s", too_much);
    job->body = json_loadb(body, len, JSON_REJECT_DUPLICATES, &why);
    enum json_error_code code = job->body ? json_error_unknown : json_error_code(&why);
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return api_error_set(e, 400, request_error, NULL, "", "the body holds the character \\u0000: leave it out");
    if (job->body == NULL)
        return api_error_set(e, 400, request_error, NULL, "", "the body is not valid JSON: %s (line %d, column %d)",
                             why.text, why.line, why.column);
    if (!json_is_object(job->body))
        return api_error_set(e, 400, request_error, NULL, "", "the body must be a JSON object");
    return 0;
}

const json_t *body_get(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int body_float(const json_t *object, const char *key, double min, double max, float *out, struct api_error *e) {
    const json_t *value = body_get(object, key);
    if (value == NULL) return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || number < min || number > max)
        return api_error_set(e, 400, request_error, NULL, key, "'%s' must be a number from %g to %g", key, min, max);
    *out = (float)number;
    return 0;
}

int body_count(const json_t *object, const char *key, uint32_t min, uint32_t *out, struct api_error *e) {
    const json_t *value = body_get(object, key);
    if (value == NULL) return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || number < min || number != floor(number))
        return api_error_set(e, 400, request_error, NULL, key, "'%s' must be a whole number, %u or more", key, min);
    *out = number < (double)UINT32_MAX ? (uint32_t)number : UINT32_MAX;
    return 0;
}

int body_bool(const json_t *object, const char *key, bool *out, struct api_error *e) {
    const json_t *value = body_get(object, key);
    if (value == NULL) return 0;
    if (!json_is_boolean(value)) return body_wrong(e, key, "must be true or false");
    *out = json_is_true(value);
    return 0;
}

int body_model(struct api_job *job, struct api_error *e) {
    const char *model = json_string_value(json_object_get(job->body, "model"));
    if (model == NULL || model[0] == '\0') return body_wrong(e, "model", "must be a string");
    job->model = model;
    return 0;
}

static int read_seed(struct api_job *job, const json_t *object, struct api_error *e) {
    const json_t *seed = body_get(object, "seed");
    if (seed == NULL) return 0;
    if (!json_is_integer(seed)) return body_wrong(e, "seed", "must be a whole number");
    job->has_seed = true;
    job->seed = (uint64_t)json_integer_value(seed);
    return 0;
}

int body_sampling(struct api_job *job, const json_t *object, struct api_error *e) {
    int status = body_float(object, "temperature", 0, 2, &job->temperature, e);
    if (status == 0) status = body_float(object, "top_p", 0, 1, &job->top_p, e);
    if (status == 0) status = body_float(object, "min_p", 0, 1, &job->min_p, e);
    if (status == 0) status = body_count(object, "top_k", 0, &job->top_k, e);
    if (status == 0) status = body_float(object, "repeat_penalty", 0.01, 10, &job->repetition_penalty, e);
    if (status == 0) status = body_float(object, "repetition_penalty", 0.01, 10, &job->repetition_penalty, e);
    if (status == 0) status = body_float(object, "presence_penalty", -2, 2, &job->presence_penalty, e);
    if (status == 0) status = body_float(object, "frequency_penalty", -2, 2, &job->frequency_penalty, e);
    return status ? status : read_seed(job, object, e);
}

static bool take_stop(struct api_job *job, const json_t *item) {
    if (!json_is_string(item)) return false;
    if (json_string_length(item) > 0) job->stops[job->stop_count++] = json_string_value(item);
    return true;
}

int body_stops(struct api_job *job, const json_t *object, const char *key, struct api_error *e) {
    const json_t *stop = body_get(object, key), *item;
    size_t i;
    if (stop == NULL || take_stop(job, stop)) return 0;
    bool good = json_is_array(stop) && json_array_size(stop) <= API_STOPS_MAX;
    json_array_foreach(stop, i, item) good = good && take_stop(job, item);
    return good ? 0 : body_wrong(e, key, "must be a string or an array of at most 16 strings");
}

const json_t *body_make(struct api_job *job, const char *key, json_t *value) {
    if (job->made == NULL) job->made = json_object();
    json_object_set_new(job->made, key, value);
    return json_object_get(job->made, key);
}

/* ---- prompts ---- */

static bool is_ids(const json_t *array) {
    size_t i;
    const json_t *id;
    bool good = json_array_size(array) > 0;
    json_array_foreach(array, i, id) good =
        good && json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < UINT32_MAX;
    return good;
}

int body_prompts(struct api_job *job, const char *key, struct api_error *e) {
    const json_t *given = body_get(job->body, key), *item;
    size_t i;
    bool good = json_array_size(given) > 0;
    if (json_is_string(given) || is_ids(given)) {
        job->prompts = body_make(job, "prompts", json_pack("[O]", given));
        return 0;
    }
    json_array_foreach(given, i, item) good = good && (json_is_string(item) || is_ids(item));
    if (!good) return body_wrong(e, key, "must be a text, an array of texts, or arrays of token ids");
    if (json_array_size(given) > API_PROMPTS_MAX) return body_wrong(e, key, "holds more than 2048 texts");
    job->prompts = given;
    return 0;
}

int body_biases(struct api_job *job, const char *key, struct api_error *e) {
    const json_t *object = body_get(job->body, key), *bias;
    const char *token;
    if (object == NULL) return 0;
    if (!json_is_object(object)) return body_wrong(e, key, "must be an object of token ids and biases");
    if (json_object_size(object) > API_BIASES_MAX) return body_wrong(e, key, "holds more than 1024 tokens");
    job->biases = calloc(json_object_size(object) + 1, sizeof *job->biases);
    json_object_foreach((json_t *)(uintptr_t)object, token, bias) {
        char *end;
        unsigned long long id = strtoull(token, &end, 10);
        double value = json_number_value(bias);
        if (*end || end == token || token[0] == '-' || id >= UINT32_MAX)
            return body_wrong(e, key, "must name tokens by their ids");
        if (!json_is_number(bias) || !(value >= -100 && value <= 100))
            return body_wrong(e, key, "must hold biases from -100 to 100");
        if (job->biases) job->biases[job->bias_count++] = (struct api_bias){(uint32_t)id, (float)value};
    }
    return 0;
}

/* ---- variables of the template ---- */

/* A word: nothing that could be read as a special token. */
static bool is_plain(const json_t *value) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ";
    if (!json_is_string(value)) return json_is_boolean(value) || json_is_number(value);
    return strspn(json_string_value(value), letters) == json_string_length(value);
}

void body_variable(struct api_job *job, const char *key, json_t *value) {
    if (job->variables == NULL) job->variables = body_make(job, "variables", json_object());
    json_object_set_new((json_t *)(uintptr_t)job->variables, key, value);
}

int body_variables(struct api_job *job, const char *key, struct api_error *e) {
    const json_t *object = body_get(job->body, key);
    json_t *value;
    const char *name;
    if (object && !json_is_object(object)) return body_wrong(e, key, "must be an object");
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        if (!is_plain(value)) return body_wrong(e, key, "must hold true, false, numbers and words");
        body_variable(job, name, json_incref(value));
    }
    return 0;
}
