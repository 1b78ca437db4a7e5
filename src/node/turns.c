#include "node/turns.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct turns *t, struct turn *turn) {
    t->bytes -= turn->bytes;
    free(turn->id);
    free(turn->response);
    free(turn->messages);
    *turn = (struct turn){0};
}

void turns_deinit(struct turns *t) {
    for (size_t i = 0; i < TURNS_MAX; i++) drop(t, &t->list[i]);
}

static struct turn *oldest(struct turns *t) {
    struct turn *found = NULL;
    for (size_t i = 0; i < TURNS_MAX; i++)
        if (t->list[i].id && (found == NULL || t->list[i].number < found->number)) found = &t->list[i];
    return found;
}

static struct turn *free_place(struct turns *t) {
    for (size_t i = 0; i < TURNS_MAX; i++)
        if (t->list[i].id == NULL) return &t->list[i];
    struct turn *place = oldest(t);
    drop(t, place);
    return place;
}

void turns_keep(struct turns *t, const char *id, json_t *messages, const char *response) {
    char *text = json_dumps(messages, JSON_COMPACT);
    size_t bytes = text ? strlen(text) + strlen(response) : SIZE_MAX;
    json_decref(messages);
    if (bytes > TURNS_BYTES_MAX) {
        free(text);
        return;
    }
    while (t->bytes + bytes > TURNS_BYTES_MAX) drop(t, oldest(t));
    struct turn *turn = free_place(t);
    *turn = (struct turn){.id = strdup(id),
                          .response = strdup(response),
                          .messages = text,
                          .bytes = bytes,
                          .number = ++t->last_number};
    t->bytes += bytes;
    if (turn->id == NULL || turn->response == NULL) drop(t, turn);
}

json_t *turns_messages(const struct turn *turn) { return json_loads(turn->messages, 0, NULL); }

const struct turn *turns_find(const struct turns *t, const char *id) {
    for (size_t i = 0; i < TURNS_MAX; i++)
        if (t->list[i].id && strcmp(t->list[i].id, id) == 0) return &t->list[i];
    return NULL;
}

bool turns_forget(struct turns *t, const char *id) {
    struct turn *found = (struct turn *)(uintptr_t)turns_find(t, id);
    if (found) drop(t, found);
    return found != NULL;
}
