#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cluster/internal.h"

enum { LOG_LINE_BYTES = 512 };

struct mail {
    struct mail *next;
    struct wire_message message;
};

void node_effects_clear(struct node_effects *effects) {
    arena_deinit(&effects->arena);
    memset(effects, 0, sizeof *effects);
}

void *node__alloc(struct node *n, size_t size) {
    void *memory = arena_alloc(&n->effects->arena, size);
    assert(memory);
    return memory;
}

struct node_effect *node__emit(struct node *n, enum node_effect_type type) {
    struct node_effect *effect = node__alloc(n, sizeof *effect);
    effect->type = type;
    if (n->effects->last)
        n->effects->last->next = effect;
    else
        n->effects->first = effect;
    n->effects->last = effect;
    return effect;
}

static const char *format_text(struct node *n, const char *format, va_list args) {
    char line[LOG_LINE_BYTES];
    vsnprintf(line, sizeof line, format, args);
    char *copy = arena_copy(&n->effects->arena, line, strlen(line));
    assert(copy);
    return copy;
}

const char *node__text(struct node *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = format_text(n, format, args);
    va_end(args);
    return text;
}

void node__log(struct node *n, enum log_level level, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = format_text(n, format, args);
    va_end(args);
    struct node_effect *effect = node__emit(n, NODE_LOG);
    effect->level = level;
    effect->text = text;
}

void node__changed(struct node *n) {
    for (struct node_effect *e = n->effects->first; e; e = e->next)
        if (e->type == NODE_CHANGED) return;
    node__emit(n, NODE_CHANGED);
}

static void send_on(struct node *n, uint64_t link, struct wire_message *m) {
    size_t len = wire_size(m);
    uint8_t *frame = node__alloc(n, len);
    wire_encode(m, frame, len);
    struct node_effect *effect = node__emit(n, NODE_SEND);
    effect->link = link;
    effect->bytes = frame;
    effect->len = (uint32_t)len;
}

bool node__tell(struct node *n, uint64_t to, struct wire_message *m) {
    if (to == n->id) {
        struct mail *mail = node__alloc(n, sizeof *mail);
        mail->message = *m;
        if (n->mail_last)
            n->mail_last->next = mail;
        else
            n->mail_first = mail;
        n->mail_last = mail;
        return true;
    }
    struct peer *p = peers_find(n, to);
    if (!p || p->link_count == 0) return false;
    send_on(n, p->links[0].id, m);
    return true;
}

void node__tell_all(struct node *n, struct wire_message *m) {
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].link_count > 0) send_on(n, n->peers[i].links[0].id, m);
}

struct wire_message *node__mail(struct node *n) {
    struct mail *mail = n->mail_first;
    if (!mail) return NULL;
    n->mail_first = mail->next;
    if (!n->mail_first) n->mail_last = NULL;
    return &mail->message;
}

void node__reply(struct node *n, uint64_t request, int code, uint64_t instance, const char *text,
                 const struct placement_result *result) {
    struct node_effect *effect = node__emit(n, NODE_REPLY);
    effect->request = request;
    effect->code = code;
    effect->instance = instance;
    effect->text = text;
    effect->result = result;
}
