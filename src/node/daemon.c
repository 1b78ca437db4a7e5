#include "node/daemon.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "engine/machine.h"
#include "net/address.h"
#include "node/access_log.h"
#include "node/daemon_private.h"
#include "node/downloads.h"
#include "node/events.h"
#include "node/instruments.h"
#include "node/ollama.h"
#include "node/stay.h"
#include "os/clock.h"
#include "os/facts.h"

enum {
    ARITHMETIC_REVISION = 1,
    OLD_KEY_MS = 10 * 60 * 1000,
    MEASURE_AFTER_MS = 200, /* the API answers first */
    BEAT_EVERY_MS = 5000,
    FACTS_EVERY_MS = 5000,
    MEMORY_MOVED_PART = 16, /* worth telling */
    GOODBYE_TURNS = 20,
    HAND_OVER_MS = 3000,
    DRAIN_STEP_MS = 20,
};

/* ---- log ---- */

static void write_log(void *context, enum log_level level, const char *line) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    uint64_t ms = clock_ns() / 1000000;
    fprintf(stderr, "%llu.%03llu %-5s %s\n", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
            names[level], line);
}

/* ---- facts ---- */

/* What the host has to give now. Memory that slices hold is the node's own to subtract. */
static void refresh_memory(struct daemon *d) {
    struct facts_memory memory;
    facts_memory("", &memory);
    uint64_t reserved = d->node ? node_reserved_bytes(d->node) : 0;
    uint64_t budget = facts_memory_budget(&memory, 0) + reserved;
    uint64_t limit = d->options.memory_bytes;
    d->facts.memory_total = limit && limit < budget ? limit : budget;
    d->facts.memory_free = d->facts.memory_total > reserved ? d->facts.memory_total - reserved : 0;
    d->facts.host_free = facts_memory_budget(&memory, 0);
}

/* How long the threads run in each period by the control group's word; none where the quota leaves each a core. */
static struct machine_brake told_brake(const struct daemon *d) {
    struct facts_quota quota;
    facts_quota("", &quota);
    uint64_t run_us = quota.quota_us / d->threads;
    if (quota.period_us == 0 || run_us >= quota.period_us) return (struct machine_brake){0};
    return (struct machine_brake){.run_us = (uint32_t)run_us, .period_us = (uint32_t)quota.period_us};
}

static void first_facts(struct daemon *d) {
    uint8_t boot[FACTS_BOOT_ID_BYTES] = {0};
    (void)facts_boot_id("", boot);
    struct bytes_reader r = bytes_reader(boot, sizeof boot);
    d->facts.host = bytes_u64(&r) ^ bytes_u64(&r);
    d->facts.threads = d->threads;
    snprintf(d->facts.isa, sizeof d->facts.isa, "%s", kern_isa_name(d->isa));
    d->facts.device_count = 1;
    refresh_memory(d);
}

static void tell_facts(struct daemon *d) {
    refresh_memory(d);
    struct wire_facts *f = &d->facts;
    f->devices[0] = (struct wire_device){.kind = WIRE_CPU,
                                         .memory_total = f->memory_total,
                                         .memory_free = f->memory_free,
                                         .read_bandwidth = f->read_bandwidth,
                                         .matmul_rate = f->matmul_rate};
    driver_event(d, &(struct node_event){.type = NODE_FACTS_CHANGED, .facts = f});
}

struct measurement {
    uv_work_t work;
    struct daemon *daemon;
    uint64_t memory_bytes; /* that may be taken for it */
    struct machine_brake brake;
    struct machine_rates rates;
    int code;
};

static void on_pool_measure(uv_work_t *work) {
    struct measurement *m = work->data;
    m->code = machine_measure(m->daemon->threads, m->daemon->isa, &m->brake, m->memory_bytes, &m->rates);
}

static void on_measured(uv_work_t *work, int status) {
    struct measurement *m = work->data;
    struct daemon *d = m->daemon;
    if (m->code == 0) {
        d->facts.read_bandwidth = (uint64_t)m->rates.read_bandwidth;
        d->facts.matmul_rate = (uint64_t)m->rates.matmul_rate;
        d->facts.run_us = m->rates.brake.run_us;
        d->facts.period_us = m->rates.brake.period_us;
    }
    if (!d->stopping) tell_facts(d);
    if (!d->stopping) driver_event(d, &(struct node_event){.type = NODE_MEASURED});
    d->errands--;
    free(m);
}

void daemon_measure(struct daemon *d) {
    struct measurement *m = calloc(1, sizeof *m);
    assert(m != NULL);
    *m = (struct measurement){.daemon = d, .memory_bytes = d->facts.host_free, .brake = told_brake(d)};
    d->told_run_us = m->brake.run_us;
    m->work.data = m;
    d->errands++;
    uv_queue_work(&d->loop, &m->work, on_pool_measure, on_measured);
}

static void on_measure_timer(uv_timer_t *timer) { daemon_measure(timer->data); }

/* Limits change while a node runs, and others on the host take and free memory. What slices have of it is known only
 * once they are loaded, so it is left alone while there are any. */
static void on_facts_timer(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    if (d->slices || d->slices_ending) return;
    uint64_t before = d->facts.memory_total;
    refresh_memory(d);
    uint64_t now = d->facts.memory_total, moved = now > before ? now - before : before - now;
    if (told_brake(d).run_us != d->told_run_us && d->options.measure)
        daemon_measure(d);
    else if (moved > before / MEMORY_MOVED_PART)
        tell_facts(d);
    else
        d->facts.memory_total = before; /* small steps add up */
}

static void on_beat_timer(uv_timer_t *timer) { gateway_beat(timer->data); }

/* ---- the node and its peers ---- */

static uint64_t random_u64(void) {
    uint64_t value = 0;
    gnutls_rnd(GNUTLS_RND_NONCE, &value, sizeof value);
    return value | 1;
}

static int start_node(struct daemon *d, struct error *error) {
    struct node_options options = {.boot = random_u64(),
                                   .seed = random_u64(),
                                   .port = listener_port(d->listener),
                                   .arithmetic = ARITHMETIC_REVISION,
                                   .discovery = d->options.discovery};
    char host[FACTS_NAME_BYTES];
    facts_host_name(host);
    snprintf(options.name, sizeof options.name, "%.63s", d->options.name ? d->options.name : host);
    snprintf(options.version, sizeof options.version, "%s", CARAVAN_VERSION);
    int rc = home_node_id(&d->home, &options.id, error);
    if (rc) return rc;
    d->node = node_new(&options);
    if (d->node == NULL) return error_set(error, ERR_NOMEM, "no memory for the node");
    driver_event(d, &(struct node_event){.type = NODE_START});
    tell_facts(d);
    return 0;
}

struct resolution {
    uv_getaddrinfo_t request;
    struct daemon *daemon;
    uint16_t port;
    char host[ADDRESS_HOST_BYTES];
};

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct resolution *r = request->data;
    struct daemon *d = r->daemon;
    if (status != 0) log_warn(&d->log, "peer %s: %s", r->host, uv_strerror(status));
    for (const struct addrinfo *a = list; a && !d->stopping; a = a->ai_next) {
        struct node_event event = {.type = NODE_PEER_ADD};
        if (!address_from_sockaddr(&event.address, a->ai_addr)) continue;
        event.address.port = r->port;
        driver_event(d, &event);
    }
    uv_freeaddrinfo(list);
    free(r);
}

static int add_peer(struct daemon *d, const char *text, struct error *error) {
    struct resolution *r = calloc(1, sizeof *r);
    assert(r != NULL);
    r->daemon = d;
    r->request.data = r;
    int rc = address_split(text, r->host, &r->port, error);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (rc == 0 && uv_getaddrinfo(&d->loop, &r->request, on_resolved, r->host, NULL, &hints) != 0)
        rc = error_set(error, ERR_INVALID, "peer %s cannot be looked up", text);
    if (rc) free(r);
    return rc;
}

static int add_peers(struct daemon *d, struct error *error) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < DAEMON_LIST_MAX && d->options.peers[i]; i++)
        rc = add_peer(d, d->options.peers[i], error);
    return rc;
}

void daemon_keep_id(struct daemon *d, uint64_t id) {
    struct error error = {0};
    if (home_set_node_id(&d->home, id, &error) != 0)
        log_error(&d->log, "the new id is lost at the end: %s", error.text);
}

/* ---- the secret ---- */

static void set_secret(struct daemon *d, const struct secret *s) {
    d->secret = *s;
    d->keyring.count = 1;
    secret_derive(s, &d->keyring.keys[0]);
}

static int load_secret(struct daemon *d, struct error *error) {
    struct secret s;
    int rc = secret_load(d->home.path, &s, error);
    if (rc == ERR_NOT_FOUND) {
        rc = secret_new(&s, error);
        if (rc == 0) rc = secret_save(d->home.path, &s, error);
    }
    if (rc == 0) set_secret(d, &s);
    return rc;
}

static void on_old_key_ends(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    secret_keyring_expire(&d->keyring);
    control_keys_changed(d);
}

void daemon_keep_secret(struct daemon *d, const uint8_t bytes[SECRET_BYTES]) {
    struct error error = {0};
    memcpy(d->secret.bytes, bytes, SECRET_BYTES);
    if (secret_save(d->home.path, &d->secret, &error) != 0)
        log_error(&d->log, "the new secret is lost at the end: %s", error.text);
    secret_keyring_rotate(&d->keyring, &d->secret);
    control_keys_changed(d);
    uv_timer_start(&d->key_timer, on_old_key_ends, OLD_KEY_MS, 0);
}

int daemon_rotate_secret(struct daemon *d, struct error *error) {
    struct secret fresh;
    int rc = secret_new(&fresh, error);
    if (rc) return rc;
    driver_event(d, &(struct node_event){.type = NODE_NEW_SECRET, .secret = fresh.bytes});
    daemon_keep_secret(d, fresh.bytes);
    return 0;
}

/* Leave the old cluster, then be a fresh node of the new one. */
static int move(struct daemon *d, const struct secret *s, struct error *error) {
    int rc = secret_save(d->home.path, s, error);
    if (rc) return rc;
    driver_event(d, &(struct node_event){.type = NODE_LEAVE});
    gateway_shut(d, "the node moves to another cluster");
    requests_shut(d, "the node moves to another cluster");
    stay_shut(d);
    slices_unload_all(d);
    control_drop_links(d);
    node_free(d->node);
    d->node = NULL;
    set_secret(d, s);
    control_keys_changed(d);
    return start_node(d, error);
}

int daemon_join(struct daemon *d, const char *code, struct error *error) {
    struct secret s;
    char address[SECRET_ADDRESS_BYTES];
    int rc = secret_parse(code, &s, address, error);
    if (rc == 0 && memcmp(s.bytes, d->secret.bytes, SECRET_BYTES) != 0) rc = move(d, &s, error);
    if (rc == 0) rc = add_peers(d, error);
    return rc == 0 && address[0] ? add_peer(d, address, error) : rc;
}

int daemon_leave(struct daemon *d, struct error *error) {
    struct secret s;
    int rc = secret_new(&s, error);
    return rc ? rc : move(d, &s, error);
}

/* ---- life ---- */

static void stop_now(struct daemon *d) {
    driver_event(d, &(struct node_event){.type = NODE_LEAVE});
    d->stopping = true;
    uv_timer_stop(&d->measure_timer);
    uv_timer_stop(&d->facts_timer);
    uv_timer_stop(&d->beat_timer);
    instruments_stop(d);
    gateway_shut(d, "the node stops");
    ollama_shut(d);
    requests_shut(d, "the node stops");
    stay_shut(d);
    events_shut(d);
    slices_unload_all(d);
    uv_stop(&d->loop);
}

static void on_drain_timer(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    bool over = d->jobs == NULL && node_drained(d->node);
    if (!over && clock_us() < (d->jobs ? d->drain_end_us : d->hand_over_end_us)) return;
    uv_timer_stop(timer);
    stop_now(d);
}

/* What is being answered may be answered to its end, if that comes soon, and what runs here for others goes to others;
 * who asks twice has no patience. */
static void on_stop(uv_async_t *async) {
    struct daemon *d = async->data;
    if (d->stopping) return;
    if (d->draining || (d->jobs == NULL && node_drained(d->node))) {
        uv_timer_stop(&d->drain_timer);
        stop_now(d);
        return;
    }
    d->draining = true;
    driver_event(d, &(struct node_event){.type = NODE_DRAIN});
    d->hand_over_end_us = clock_us() + HAND_OVER_MS * 1000ull;
    d->drain_end_us = clock_us() + d->options.grace_s * 1000000ull;
    uv_timer_start(&d->drain_timer, on_drain_timer, DRAIN_STEP_MS, DRAIN_STEP_MS);
}

static int open_loop(struct daemon *d, struct error *error) {
    if (uv_loop_init(&d->loop) != 0) return error_set(error, ERR_NOMEM, "no event loop");
    uv_async_init(&d->loop, &d->stop, on_stop);
    uv_timer_init(&d->loop, &d->tick);
    uv_timer_init(&d->loop, &d->key_timer);
    uv_timer_init(&d->loop, &d->drain_timer);
    uv_timer_init(&d->loop, &d->events_timer);
    uv_timer_init(&d->loop, &d->activity_timer);
    uv_timer_init(&d->loop, &d->measure_timer);
    uv_timer_init(&d->loop, &d->deadline_timer);
    d->deadline_timer.data = d;
    uv_timer_init(&d->loop, &d->facts_timer);
    uv_timer_init(&d->loop, &d->instruments_timer);
    uv_timer_init(&d->loop, &d->beat_timer);
    d->beat_timer.data = d->instruments_timer.data = d;
    d->stop.data = d->tick.data = d->key_timer.data = d->drain_timer.data = d;
    d->events_timer.data = d->activity_timer.data = d->measure_timer.data = d->facts_timer.data = d;
    if (stay_open(d) != 0) return error_set(error, ERR_NOMEM, "no memory for a node");
    return mailbox_init(&d->mailbox, &d->loop) == 0 ? 0 : error_set(error, ERR_NOMEM, "no mailbox");
}

/* Each connection and each link is a descriptor; the usual soft limit of 1024 is for programs that use select(). */
static void raise_file_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void fill_defaults(struct daemon *d) {
    unsigned cores = facts_cores("");
    d->threads = d->options.threads ? d->options.threads : cores;
    d->started_s = (int64_t)time(NULL);
    d->isa = d->options.isa < kern_isa_best() ? d->options.isa : kern_isa_best();
    d->log = (struct log){.write = write_log, .context = d, .level_min = d->options.quiet ? LOG_ERROR : LOG_INFO};
}

int daemon_new(struct daemon **out, const struct daemon_options *options, struct error *error) {
    struct daemon *d = calloc(1, sizeof *d);
    if (d == NULL) return error_set(error, ERR_NOMEM, "no memory for a node");
    d->options = *options;
    fill_defaults(d);
    d->access_log = -1;
    raise_file_limit();
    int rc = open_loop(d, error);
    if (rc) {
        free(d);
        return rc;
    }
    rc = home_open(&d->home, options->home, error);
    if (rc == 0) rc = library_new(&d->library, options->models, options->home, error);
    if (rc == 0) rc = downloads_open(d, error);
    if (rc == 0) rc = load_secret(d, error);
    if (rc == 0) rc = control_open(d, error);
    if (rc == 0) first_facts(d);
    if (rc == 0) rc = start_node(d, error);
    if (rc == 0) rc = web_open(d, error);
    if (rc == 0) rc = add_peers(d, error);
    if (rc) {
        daemon_free(d);
        return rc;
    }
    if (d->options.measure) uv_timer_start(&d->measure_timer, on_measure_timer, MEASURE_AFTER_MS, 0);
    uv_timer_start(&d->facts_timer, on_facts_timer, FACTS_EVERY_MS, FACTS_EVERY_MS);
    uv_timer_start(&d->beat_timer, on_beat_timer, BEAT_EVERY_MS, BEAT_EVERY_MS);
    instruments_start(d);
    *out = d;
    return 0;
}

int daemon_run(struct daemon *d) {
    uv_run(&d->loop, UV_RUN_DEFAULT);
    return 0;
}

void daemon_stop(struct daemon *d) { uv_async_send(&d->stop); }

const char *daemon_url(const struct daemon *d) { return d->url; }

/* What was said last (goodbyes, errors to clients) gets a moment to leave; then everything closes. */
void daemon_free(struct daemon *d) {
    if (d == NULL) return;
    d->stopping = true;
    for (int i = 0; i < GOODBYE_TURNS && d->controls; i++) {
        uv_run(&d->loop, UV_RUN_NOWAIT);
        clock_sleep_ns(1000000);
    }
    gateway_shut(d, "the node stops");
    ollama_shut(d);
    requests_shut(d, "the node stops");
    stay_shut(d);
    events_shut(d);
    slices_unload_all(d);
    while (d->slices_ending || d->jobs || d->requests || d->errands) uv_run(&d->loop, UV_RUN_ONCE);
    web_close(d);
    access_log_close(d->access_log);
    control_shut(d);
    downloads_shut(d);
    stock_free(d->stock); /* its last news are in the mailbox */
    mailbox_close(&d->mailbox);
    uv_close((uv_handle_t *)&d->stop, NULL);
    uv_close((uv_handle_t *)&d->tick, NULL);
    uv_close((uv_handle_t *)&d->key_timer, NULL);
    uv_close((uv_handle_t *)&d->drain_timer, NULL);
    uv_close((uv_handle_t *)&d->events_timer, NULL);
    uv_close((uv_handle_t *)&d->activity_timer, NULL);
    uv_close((uv_handle_t *)&d->measure_timer, NULL);
    uv_close((uv_handle_t *)&d->deadline_timer, NULL);
    uv_close((uv_handle_t *)&d->facts_timer, NULL);
    uv_close((uv_handle_t *)&d->instruments_timer, NULL);
    uv_close((uv_handle_t *)&d->beat_timer, NULL);
    stay_close(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    mailbox_deinit(&d->mailbox);
    node_free(d->node);
    turns_deinit(&d->turns);
    library_free(d->library);
    home_close(&d->home);
    secret_wipe(&d->secret, sizeof d->secret);
    secret_wipe(&d->keyring, sizeof d->keyring);
    free(d);
}
