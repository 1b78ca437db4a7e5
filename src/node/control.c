#include "node/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"
#include "net/dial.h"
#include "node/daemon_private.h"
#include "os/clock.h"
#include "os/interfaces.h"

enum {
    HELLO_MS = 2000,
    LINGER_MS = 500,
    HELLO_BYTES_MAX = 1024,
    FRAME_BYTES_MAX = WIRE_HEADER_BYTES + WIRE_DATA_BYTES_MAX
};

struct control {
    struct control *next;
    struct daemon *daemon;
    struct link *link; /* NULL once it was handed on */
    uint64_t id;       /* as the node knows it */
    uint64_t dial;     /* 0: the peer dialled */
    struct wire_address address;
    struct wire_hello own_hello; /* of a data link that this node dials */
    void (*data_done)(struct daemon *d, const struct wire_hello *hello, struct link *link);
    bool hello_sent, greeted;
    bool lingering; /* closing once everything is written */
    bool closed;
    uv_poll_t poll;
    uv_timer_t timer;
    int handles; /* uv handles still open */
};

static void turn(struct control *c);

/* ---- life and death ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct control *c = handle->data;
    if (--c->handles > 0) return;
    link_free(c->link);
    free(c);
}

/* The descriptor leaves the poller at once; memory follows when libuv is done, so a caller up the stack may still look.
 */
static void close_control(struct control *c) {
    if (c->closed) return;
    c->closed = true;
    for (struct control **at = &c->daemon->controls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void data_done(struct control *c, struct link *link) {
    void (*done)(struct daemon *, const struct wire_hello *, struct link *) = c->data_done;
    c->data_done = NULL;
    if (done)
        done(c->daemon, &c->own_hello, link);
    else
        link_free(link);
}

/* The link is gone without the node having asked for it: tell whoever counts on it. */
static void lose(struct control *c) {
    if (c->closed) return;
    struct daemon *d = c->daemon;
    const struct error *why = link_error(c->link);
    char address[ADDRESS_TEXT_BYTES];
    address_format(&c->address, address);
    if (!c->greeted && c->dial == 0 && c->data_done == NULL)
        log_warn(&d->log, "link from %s refused: %s", address, why->text);
    else
        log_debug(&d->log, "link with %s closed: %s", address, why->text);
    bool lingering = c->lingering;
    close_control(c);
    if (c->data_done)
        data_done(c, NULL);
    else if (lingering)
        return;
    else if (c->greeted)
        driver_event(d, &(struct node_event){.type = NODE_LINK_DOWN, .link = c->id, .text = why->text});
    else if (c->dial)
        driver_event(d, &(struct node_event){.type = NODE_DIAL_FAILED, .dial = c->dial, .text = why->text});
}

/* ---- polling ---- */

static void on_poll(uv_poll_t *poll, int status, int events) { turn(poll->data); }

static void watch(struct control *c) {
    if (c->closed) return;
    uv_poll_start(&c->poll, UV_READABLE | (link_wants_write(c->link) ? UV_WRITABLE : 0), on_poll);
}

static void on_timer(uv_timer_t *timer) {
    struct control *c = timer->data;
    link_pump(c->link);
    lose(c);
}

static struct control *add_control(struct daemon *d, struct link *link, const struct wire_address *address) {
    struct control *c = calloc(1, sizeof *c);
    assert(c != NULL);
    *c = (struct control){.next = d->controls, .daemon = d, .link = link, .id = ++d->next_link, .address = *address};
    d->controls = c;
    uv_poll_init(&d->loop, &c->poll, link_fd(link));
    uv_timer_init(&d->loop, &c->timer);
    c->poll.data = c->timer.data = c;
    c->handles = 2;
    uv_timer_start(&c->timer, on_timer, HELLO_MS, 0);
    uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE,
                  on_poll); /* a link that connects is pumped when it is writable */
    return c;
}

/* ---- hellos ---- */

static void send_message(struct control *c, struct wire_message *m) {
    uint8_t frame[HELLO_BYTES_MAX];
    size_t len = wire_encode(m, frame, sizeof frame);
    struct iovec part = {.iov_base = frame, .iov_len = len};
    link_send(c->link, &part, 1);
}

static void send_hello(struct control *c, const struct wire_hello *hello) {
    struct wire_message m = {.type = WIRE_HELLO, .hello = *hello};
    c->hello_sent = true;
    send_message(c, &m);
}

/* This node's hello, for a data link with the particulars of `about`. */
static struct wire_hello make_hello(struct control *c, const struct wire_hello *about) {
    struct wire_hello hello;
    node_hello(c->daemon->node, driver_now_us(), &hello);
    if (about) {
        hello.kind = about->kind;
        hello.instance = about->instance;
        hello.epoch = about->epoch;
        hello.member_from = about->member_from;
        hello.member_to = about->member_to;
    }
    return hello;
}

/* The link leaves for its worker or a probe, its hello used up: nothing of the loop touches it any more. */
static struct link *hand_over(struct control *c) {
    struct link *link = c->link;
    link_frame_done(link);
    close_control(c);
    c->link = NULL;
    return link;
}

static void greet_data(struct control *c, const struct wire_hello *hello) {
    struct daemon *d = c->daemon;
    if (c->data_done) {
        data_done(c, hand_over(c));
    } else if (hello->kind == WIRE_PROBE && probes_welcome(d)) {
        struct wire_hello answer = make_hello(c, hello);
        send_hello(c, &answer);
        probes_serve(d, hand_over(c));
    } else if (hello->kind == WIRE_STORE) {
        struct wire_hello answer = make_hello(c, hello);
        send_hello(c, &answer);
        stock_take_link(d->stock, hello->id, hand_over(c));
    } else if (node_data_link_wanted(d->node, hello) && slices_want_link(d, hello)) {
        struct wire_hello answer = make_hello(c, hello);
        send_hello(c, &answer);
        slices_take_link(d, hello, hand_over(c));
    } else {
        log_info(&d->log, "data link that nothing here waits for -> closed");
        close_control(c);
    }
}

static void greet_control(struct control *c, const struct wire_hello *hello) {
    if (!c->hello_sent) {
        struct wire_hello answer = make_hello(c, NULL);
        send_hello(c, &answer);
    }
    uv_timer_stop(&c->timer);
    c->greeted = true;
    bool old_key = link_key_id(c->link) != c->daemon->keyring.keys[0].id;
    driver_event(c->daemon, &(struct node_event){.type = NODE_LINK_UP,
                                                 .link = c->id,
                                                 .dial = c->dial,
                                                 .address = c->address,
                                                 .hello = hello,
                                                 .secret = old_key ? c->daemon->secret.bytes : NULL});
}

static void take_hello(struct control *c, const uint8_t *frame, size_t len) {
    struct arena arena = {.used_max = 1 << 16};
    struct wire_message m;
    struct error error = {0};
    int rc = wire_decode(&m, frame, len, &arena, &error);
    if (rc == 0 && m.type != WIRE_HELLO) rc = error_set(&error, ERR_INVALID, "no hello came first");
    if (rc == 0 && m.hello.kind != (c->data_done ? c->own_hello.kind : WIRE_CONTROL) && (c->dial || c->data_done))
        rc = error_set(&error, ERR_INVALID, "a hello of another kind came back");
    if (rc) {
        log_warn(&c->daemon->log, "hello not understood: %s -> link closed", error.text);
        lose(c);
    } else if (m.hello.kind != WIRE_CONTROL) {
        greet_data(c, &m.hello);
    } else {
        greet_control(c, &m.hello);
    }
    arena_deinit(&arena);
}

/* ---- frames ---- */

static void take_frames(struct control *c) {
    size_t len;
    const uint8_t *frame;
    while (!c->closed && !c->lingering && (frame = link_next_frame(c->link, &len))) {
        if (!c->greeted) {
            take_hello(c, frame, len);
            if (c->link == NULL) return;
        } else {
            driver_event(c->daemon, &(struct node_event){
                                        .type = NODE_MESSAGE, .link = c->id, .bytes = frame, .len = (uint32_t)len});
        }
        link_frame_done(c->link);
    }
}

static void turn(struct control *c) {
    if (c->closed) return;
    enum link_state state = link_pump(c->link);
    if (state == LINK_OPEN && !c->hello_sent && (c->dial || c->data_done)) {
        struct wire_hello hello = make_hello(c, c->data_done ? &c->own_hello : NULL);
        send_hello(c, &hello);
    }
    take_frames(c);
    if (c->closed) return;
    if (c->lingering && link_queued_bytes(c->link) == 0)
        close_control(c);
    else if (link_state(c->link) == LINK_CLOSED)
        lose(c);
    else
        watch(c);
}

/* ---- what the node asks for ---- */

static struct control *find_control(struct daemon *d, uint64_t id) {
    for (struct control *c = d->controls; c; c = c->next)
        if (c->id == id) return c;
    return NULL;
}

void control_dial(struct daemon *d, uint64_t number, const struct wire_address *to) {
    struct link *link;
    struct error error = {0};
    if (dial(&link, to, &d->keyring, FRAME_BYTES_MAX, &error) != 0) {
        log_warn(&d->log, "cannot dial: %s", error.text);
        driver_later(d, &(struct node_event){.type = NODE_DIAL_FAILED, .dial = number, .text = error.text});
        return;
    }
    add_control(d, link, to)->dial = number;
}

void control_dial_data(struct daemon *d, const struct wire_address *to, const struct wire_hello *hello,
                       void (*done)(struct daemon *d, const struct wire_hello *hello, struct link *link)) {
    struct link *link;
    struct error error = {0};
    if (dial(&link, to, &d->keyring, FRAME_BYTES_MAX, &error) != 0) {
        log_warn(&d->log, "cannot dial: %s", error.text);
        done(d, hello, NULL);
        return;
    }
    struct control *c = add_control(d, link, to);
    c->own_hello = *hello;
    c->data_done = done;
}

void control_send(struct daemon *d, uint64_t id, const void *frame, uint32_t len) {
    struct control *c = find_control(d, id);
    if (c == NULL) return;
    struct iovec part = {.iov_base = (void *)(uintptr_t)frame, .iov_len = len};
    int rc = link_send(c->link, &part, 1);
    if (rc == ERR_AGAIN) {
        log_warn(&d->log, "peer does not read: %zu bytes wait for it -> link closed", link_queued_bytes(c->link));
        uv_timer_start(&c->timer, on_timer, 0, 0); /* later: the node is in the middle of a step */
        return;
    }
    watch(c); /* a closed link shows at the next poll */
}

void control_close(struct daemon *d, uint64_t id) {
    struct control *c = find_control(d, id);
    if (c == NULL) return;
    c->lingering = true;
    uv_timer_start(&c->timer, on_timer, LINGER_MS, 0);
    if (link_pump(c->link) == LINK_CLOSED || link_queued_bytes(c->link) == 0)
        close_control(c);
    else
        watch(c);
}

void control_drop_links(struct daemon *d) {
    while (d->controls) {
        struct control *c = d->controls;
        link_pump(c->link);
        close_control(c);
        if (c->data_done) data_done(c, NULL);
    }
}

/* ---- listener ---- */

static uint64_t ms_until(uint64_t deadline_ns) {
    uint64_t now = clock_ns();
    return deadline_ns > now ? (deadline_ns - now) / 1000000 + 1 : 0;
}

static void take_visitors(struct daemon *d);

static void on_listener_poll(uv_poll_t *poll, int status, int events) { take_visitors(poll->data); }
static void on_listener_timer(uv_timer_t *timer) { take_visitors(timer->data); }

static void take_visitors(struct daemon *d) {
    struct wire_address from;
    struct link *link;
    while ((link = listener_next(d->listener, &from)) != NULL)
        turn(add_control(d, link, &from)); /* its hello may already be inside */
    uint64_t deadline = listener_deadline_ns(d->listener);
    if (deadline == UINT64_MAX)
        uv_timer_stop(&d->listener_timer);
    else
        uv_timer_start(&d->listener_timer, on_listener_timer, ms_until(deadline), 0);
}

/* ---- discovery ---- */

static void hear_beacons(struct daemon *d) {
    struct discovery_seen seen;
    while (discovery_read(d->discovery, &seen)) {
        struct wire_beacon beacon;
        if (wire_beacon_decode(&beacon, seen.bytes, seen.len, NULL) != 0) continue;
        seen.from.port = beacon.port;
        if (beacon.id != node_id(d->node)) d->beacon_us = clock_us();
        driver_event(d, &(struct node_event){.type = NODE_BEACON_SEEN, .beacon = &beacon, .address = seen.from});
    }
}

static void on_discovery_timer(uv_timer_t *timer);

static void set_discovery_timer(struct daemon *d) {
    uint64_t deadline = discovery_deadline_ns(d->discovery);
    if (deadline == UINT64_MAX)
        uv_timer_stop(&d->discovery_timer);
    else
        uv_timer_start(&d->discovery_timer, on_discovery_timer, ms_until(deadline), 0);
}

static void on_discovery_poll(uv_poll_t *poll, int status, int events) {
    hear_beacons(poll->data);
    set_discovery_timer(poll->data);
}

static void on_discovery_timer(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    discovery_tick(d->discovery);
    set_discovery_timer(d);
}

void control_send_beacon(struct daemon *d, const struct wire_beacon *beacon) {
    if (d->discovery == NULL) return;
    uint8_t bytes[WIRE_BEACON_BYTES_MAX];
    struct wire_beacon signed_beacon = *beacon;
    signed_beacon.key_id = d->keyring.keys[0].id;
    size_t len = wire_beacon_encode(&signed_beacon, bytes, sizeof bytes);
    discovery_send(d->discovery, bytes, len);
    set_discovery_timer(d);
}

/* ---- opening and closing ---- */

static void watch_fd(struct daemon *d, uv_poll_t *poll, uv_timer_t *timer, int fd, uv_poll_cb on_ready) {
    uv_poll_init(&d->loop, poll, fd);
    uv_timer_init(&d->loop, timer);
    poll->data = timer->data = d;
    uv_poll_start(poll, UV_READABLE, on_ready);
}

int control_open(struct daemon *d, struct error *error) {
    uint16_t port = (uint16_t)d->options.cluster_port;
    int rc = listener_open(&d->listener, port, &d->keyring, FRAME_BYTES_MAX, error);
    if (rc) return rc;
    watch_fd(d, &d->listener_poll, &d->listener_timer, listener_fd(d->listener), on_listener_poll);
    if (!d->options.discovery) return 0;
    rc = discovery_open(&d->discovery, DISCOVERY_PORT, &d->keyring, &d->log, error);
    if (rc) return rc;
    watch_fd(d, &d->discovery_poll, &d->discovery_timer, discovery_fd(d->discovery), on_discovery_poll);
    return 0;
}

struct wire_address control_own_address(struct daemon *d) {
    static const uint8_t loopback[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    struct wire_address own = {.port = listener_port(d->listener)};
    unsigned scope_id = 0;
    if (!interfaces_own_address(own.ip, &scope_id)) memcpy(own.ip, loopback, sizeof loopback);
    own.scope_id = scope_id;
    return own;
}

void control_shut(struct daemon *d) {
    control_drop_links(d);
    if (d->listener) {
        uv_close((uv_handle_t *)&d->listener_poll, NULL);
        uv_close((uv_handle_t *)&d->listener_timer, NULL);
    }
    if (d->discovery) {
        uv_close((uv_handle_t *)&d->discovery_poll, NULL);
        uv_close((uv_handle_t *)&d->discovery_timer, NULL);
    }
    listener_close(d->listener);
    discovery_close(d->discovery);
    d->listener = NULL;
    d->discovery = NULL;
}

void control_keys_changed(struct daemon *d) {
    listener_set_keys(d->listener, &d->keyring);
    if (d->discovery) discovery_set_keys(d->discovery, &d->keyring);
}
