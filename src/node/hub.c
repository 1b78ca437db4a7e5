#include "node/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

enum { PAGE_BYTES_MAX = 64 << 20, PAGES_MAX = 1000, PAGE_TRIES = 6, UNREACHABLE_TRIES = 2 };

void hub_cancel(struct pull *p) {
    if (p->page) fetch_cancel(p->page);
    p->page = NULL;
    p->page_retry_us = 0;
}

const char *hub_token(const struct pull *p) { return p->origin.repo[0] ? p->stock->options.token : NULL; }

/* What to do about an answer of the hub, for people. */
void hub_explain(const struct pull *p, const struct fetch_reply *reply, struct error *error) {
    const char *what = p->origin.repo[0] ? p->origin.repo : p->origin.address;
    struct error plain = *error;
    if (plain.code == ERR_DENIED && hub_token(p) == NULL)
        error_set(error, ERR_DENIED,
                  "%.200s is gated or private (HTTP status %d): accept its terms on the hub's page, "
                  "then set HF_TOKEN to a token of your account and start the node again",
                  what, reply->status);
    else if (plain.code == ERR_DENIED)
        error_set(error, ERR_DENIED,
                  "%.200s is gated or private (HTTP status %d), and HF_TOKEN does not open it: does "
                  "its account have access?",
                  what, reply->status);
    else if (plain.code == ERR_NOT_FOUND)
        error_set(error, ERR_NOT_FOUND, "the hub has no %.200s (HTTP status %d)", what, reply->status);
    else
        error_prefix(error, "%.200s: ", what);
}

/* ---- the hub's list ---- */

static void after_listing(struct pull *p);
static void fetch_page(struct pull *p);

static int on_page_data(void *context, const struct fetch_reply *reply, const void *bytes, size_t len) {
    struct pull *p = context;
    text_add(&p->body, bytes, len);
    return p->body.failed ? ERR_LIMIT : 0;
}

static bool try_again(struct pull *p, const struct fetch_reply *reply, const struct error *error) {
    bool passing = error->code == ERR_BUSY || error->code == ERR_TIMEOUT || error->code == ERR_CLOSED;
    /* Who is not on the network wants to hear it soon. */
    unsigned tries = reply->status ? PAGE_TRIES : UNREACHABLE_TRIES;
    if (!passing || ++p->page_tries > tries) return false;
    uint32_t asked = reply->retry_after_s;
    if (asked > TRANSFER_RETRY_AFTER_S_MAX) asked = TRANSFER_RETRY_AFTER_S_MAX;
    uint64_t pause_us = asked ? asked * 1000000ull : 500000ull << p->page_tries;
    p->page_retry_us = clock_us() + pause_us;
    return true;
}

/* The list goes on where it began, whichever host its link names: the token is for the hub alone, and so is the way to
 * addresses of this network. */
static void turn_page(struct pull *p, const char *next) {
    const char *hub = p->stock->options.hub, *host = strstr(next, "://");
    const char *path = host ? strchr(host + 3, '/') : next[0] == '/' ? next : NULL;
    const char *hub_path = strchr(strstr(hub, "://") + 3, '/');
    struct error why;
    if (path == NULL || ++p->pages == PAGES_MAX) {
        error_set(&why, ERR_INVALID, "%.200s: the hub's list of its files does not end", p->origin.repo);
        pull_fail(p, &why);
        return;
    }
    size_t len = hub_path ? (size_t)(hub_path - hub) : strlen(hub);
    snprintf(p->page_url, sizeof p->page_url, "%.*s%.1500s", (int)(len < 500 ? len : 500), hub, path);
    fetch_page(p);
}

static void on_page_done(void *context, const struct fetch_reply *reply, const struct error *error) {
    struct pull *p = context;
    struct error why = *error;
    p->page = NULL;
    if (why.code && try_again(p, reply, &why)) return;
    if (why.code == ERR_NOT_FOUND && !p->old_form && p->listing.count == 0) {
        struct text url = {0};
        p->old_form = true;
        origin_info_url(&p->origin, p->stock->options.hub, &url);
        snprintf(p->page_url, sizeof p->page_url, "%s", text_str(&url));
        text_deinit(&url);
        fetch_page(p);
        return;
    }
    if (why.code) {
        hub_explain(p, reply, &why);
    } else if (listing_read(&p->listing, text_str(&p->body), p->body.len, &why) == 0 && reply->next[0]) {
        turn_page(p, reply->next);
        return;
    }
    if (why.code == 0 && listing_choose(&p->listing, &p->origin, &why) < 0)
        error_prefix(&why, "%.200s: ", p->origin.repo);
    if (why.code)
        pull_fail(p, &why);
    else
        after_listing(p);
}

static void fetch_page(struct pull *p) {
    struct error why = {0};
    text_clear(&p->body);
    p->body.len_max = PAGE_BYTES_MAX;
    p->paging = true;
    struct fetch_request request = {
        .url = p->page_url, .token = hub_token(p), .data = on_page_data, .done = on_page_done, .context = p};
    if (fetcher_start(p->stock->fetcher, &p->page, &request, &why) < 0) pull_fail(p, &why);
}

/* ---- sizes that the list does not tell ---- */

static int on_probe_data(void *context, const struct fetch_reply *reply, const void *bytes, size_t len) { return 0; }

static void probe(struct pull *p);

static void on_probe_done(void *context, const struct fetch_reply *reply, const struct error *error) {
    struct pull *p = context;
    struct listing_file *f = &p->listing.files[p->probing];
    struct error why = *error;
    p->page = NULL;
    if (why.code && try_again(p, reply, &why)) return;
    if (why.code)
        hub_explain(p, reply, &why);
    else if (reply->total == 0)
        error_set(&why, ERR_UNSUPPORTED, "%.200s: the host does not say how long the file is", f->path);
    if (why.code) {
        pull_fail(p, &why);
        return;
    }
    f->bytes = reply->total;
    f->hashed = f->hashed || listing_sha256(reply->hash, f->sha256);
    if (!p->origin.repo[0]) snprintf(f->etag, sizeof f->etag, "%s", reply->etag);
    after_listing(p);
}

static void probe(struct pull *p) {
    struct text url = {0};
    struct error why = {0};
    p->paging = false;
    origin_file_url(&p->origin, p->stock->options.hub, p->listing.files[p->probing].path, &url);
    struct fetch_request request = {.url = text_str(&url),
                                    .token = hub_token(p),
                                    .len = 1,
                                    .data = on_probe_data,
                                    .done = on_probe_done,
                                    .context = p};
    if (fetcher_start(p->stock->fetcher, &p->page, &request, &why) < 0) pull_fail(p, &why);
    text_deinit(&url);
}

/* A file outside the hub is a list of one. */
static int list_address(struct pull *p, struct error *error) {
    p->listing.files = calloc(1, sizeof *p->listing.files);
    if (p->listing.files == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    p->listing.count = 1;
    origin_address_file(p->origin.address, p->listing.files[0].path);
    return 0;
}

void hub_ask(struct pull *p) {
    struct error why = {0};
    struct text url = {0};
    listing_deinit(&p->listing);
    p->old_form = false;
    p->page_tries = p->pages = 0;
    if (!p->origin.repo[0]) {
        if (list_address(p, &why) < 0)
            pull_fail(p, &why);
        else
            after_listing(p);
        return;
    }
    origin_tree_url(&p->origin, p->stock->options.hub, &url);
    snprintf(p->page_url, sizeof p->page_url, "%s", text_str(&url));
    text_deinit(&url);
    fetch_page(p);
}

static void after_listing(struct pull *p) {
    struct error why;
    if (p->listing.count > MANIFEST_FILES_MAX) {
        error_set(&why, ERR_LIMIT, "%.200s: the model has too many files", p->origin.repo);
        pull_fail(p, &why);
        return;
    }
    for (p->probing = 0; p->probing < p->listing.count; p->probing++)
        if (p->listing.files[p->probing].bytes == 0) {
            probe(p);
            return;
        }
    pull_listed(p);
}

void hub_turn(struct pull *p, uint64_t now_us) {
    if (p->page_retry_us == 0 || now_us < p->page_retry_us) return;
    p->page_retry_us = 0;
    if (p->paging)
        fetch_page(p);
    else
        probe(p);
}
