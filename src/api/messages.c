#include "api/messages.h"

#include <stdio.h>
#include <string.h>

#include "api/body.h"

static int check_part(const json_t *part, const char *param, struct api_error *e) {
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type && strcmp(type, "text") == 0 && json_is_string(json_object_get(part, "text"))) return 0;
    if (type && strncmp(type, "image", 5) == 0) return body_wrong(e, param, "holds an image: not supported yet");
    return body_wrong(e, param, "must hold parts of {\"type\": \"text\", \"text\": ...}");
}

static int check_content(const json_t *message, const char *param, struct api_error *e) {
    const json_t *content = json_object_get(message, "content"), *part;
    size_t i;
    if (json_is_string(content)) return 0;
    if (json_is_array(content)) {
        json_array_foreach(content, i, part) {
            int status = check_part(part, param, e);
            if (status) return status;
        }
        return 0;
    }
    bool may_lack = json_array_size(json_object_get(message, "tool_calls")) > 0;
    return may_lack ? 0 : body_wrong(e, param, "must be a string or an array of parts");
}

static bool known_role(const char *role) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    for (size_t i = 0; role && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i]) == 0) return true;
    return false;
}

/* Templates look into calls without asking what they are. */
static int check_calls(const json_t *message, const char *param, struct api_error *e) {
    const json_t *calls = body_get(message, "tool_calls"), *call;
    size_t i;
    if (calls && !json_is_array(calls)) return body_wrong(e, param, "must be an array");
    json_array_foreach(calls, i, call) {
        const json_t *function = json_object_get(call, "function");
        if (!json_is_string(json_object_get(function, "name")))
            return body_wrong(e, param, "must hold calls of {\"function\": {\"name\", \"arguments\"}}");
    }
    return 0;
}

static int check_message(const json_t *message, size_t i, struct api_error *e) {
    char param[64];
    snprintf(param, sizeof param, "messages[%zu].role", i);
    if (!known_role(json_string_value(json_object_get(message, "role"))))
        return body_wrong(e, param, "must be system, developer, user, assistant or tool");
    snprintf(param, sizeof param, "messages[%zu].tool_calls", i);
    int status = check_calls(message, param, e);
    if (status) return status;
    snprintf(param, sizeof param, "messages[%zu].content", i);
    return check_content(message, param, e);
}

int messages_read(struct api_job *job, struct api_error *e) {
    const json_t *messages = body_get(job->body, "messages"), *message;
    size_t i;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return body_wrong(e, "messages", "must be an array of at least one message");
    json_array_foreach(messages, i, message) {
        int status = check_message(message, i, e);
        if (status) return status;
    }
    job->messages = messages;
    return 0;
}

bool messages_are_open(const json_t *messages) {
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return role && strcmp(role, "assistant") == 0 && json_object_get(last, "tool_calls") == NULL &&
           json_string_length(json_object_get(last, "content")) > 0;
}
