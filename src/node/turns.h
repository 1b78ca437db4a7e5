/* The latest responses of the OpenAI dialect, for requests that continue them: in memory only, the oldest leave first.
 * Loop thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TURNS_MAX = 256, TURNS_BYTES_MAX = 32 << 20 };

struct turns {
    struct turn {
        char *id, *response, *messages; /* owned; id NULL: free; the others JSON texts */
        size_t bytes;
        uint64_t number; /* in the order of arrival */
    } list[TURNS_MAX];
    size_t bytes;
    uint64_t last_number;
};

/* A zeroed struct is empty. */
void turns_deinit(struct turns *t);
/* messages are taken, the response's text is copied. */
void turns_keep(struct turns *t, const char *id, json_t *messages, const char *response);
/* New reference. */
json_t *turns_messages(const struct turn *turn);
const struct turn *turns_find(const struct turns *t, const char *id); /* NULL: none, or no longer */
bool turns_forget(struct turns *t, const char *id);
