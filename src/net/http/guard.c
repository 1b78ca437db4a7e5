#include "net/http/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "os/facts.h"

static const char *header(struct MHD_Connection *c, const char *name) {
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* Length of "name" in "name:port", "[v6]:port" with the brackets, or all of it. */
static size_t host_length(const char *text) {
    const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
    if (text[0] == '[') return end ? (size_t)(end - text) + 1 : strlen(text);
    return end ? (size_t)(end - text) : strlen(text);
}

static bool same(const char *name, const char *text, size_t len) {
    return strlen(name) == len && strncasecmp(name, text, len) == 0;
}

/* The address of this machine that the client has connected to, as Host writes it. */
static void local_address(struct MHD_Connection *c, char out[INET6_ADDRSTRLEN + 2]) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    out[0] = '\0';
    if (info == NULL || getsockname(info->connect_fd, (void *)&address, &len) != 0) return;
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&address)->sin_addr, out, INET6_ADDRSTRLEN);
        return;
    }
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)&address)->sin6_addr;
    char text[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(v6))
        inet_ntop(AF_INET, v6->s6_addr + 12, out, INET6_ADDRSTRLEN);
    else if (inet_ntop(AF_INET6, v6, text, sizeof text))
        snprintf(out, INET6_ADDRSTRLEN + 2, "[%s]", text);
}

/* "machine" or "machine.local". */
static bool own_name(const char *text, size_t len) {
    char name[FACTS_NAME_BYTES];
    facts_host_name(name);
    static const char suffix[] = ".local";
    size_t suffix_len = sizeof suffix - 1;
    if (len > suffix_len && strncasecmp(text + len - suffix_len, suffix, suffix_len) == 0) len -= suffix_len;
    return same(name, text, len);
}

static bool good_host(const struct http_options *o, struct MHD_Connection *c, const char *text) {
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    char address[INET6_ADDRSTRLEN + 2];
    size_t len = host_length(text);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (same(own[i], text, len)) return true;
    for (const char *const *h = o->hosts; h && *h; h++)
        if (same(*h, text, len)) return true;
    local_address(c, address);
    return same(address, text, len) || (o->own_name && own_name(text, len));
}

static bool listed_origin(const struct http_options *o, const char *origin) {
    for (const char *const *at = o->origins; at && *at; at++)
        if (strcmp(*at, "*") == 0 || strcasecmp(*at, origin) == 0) return true;
    return false;
}

/* A page of this server itself: by any of its names, at the port that Host names. */
static bool own_origin(const struct http_options *o, struct MHD_Connection *c, const char *origin, const char *host) {
    size_t scheme = strncasecmp(origin, "http://", 7) == 0 ? 7 : strncasecmp(origin, "https://", 8) == 0 ? 8 : 0;
    const char *place = origin + scheme;
    return scheme && good_host(o, c, place) && strcmp(place + host_length(place), host + host_length(host)) == 0;
}

const char *guard_key(struct MHD_Connection *c) {
    const char *bearer = header(c, "Authorization");
    return bearer && strncasecmp(bearer, "Bearer ", 7) == 0 ? bearer + 7 : header(c, "x-api-key");
}

static bool good_key(const struct http_options *o, struct MHD_Connection *c) {
    const char *key = guard_key(c);
    return key && o->check_key && o->check_key(o->context, key, strlen(key));
}

struct guard_verdict guard_check(const struct http_options *o, struct MHD_Connection *c, const char *path, bool local,
                                 bool *keyless) {
    if (local) return (struct guard_verdict){0};
    const char *host = header(c, "Host"), *origin = header(c, "Origin");
    if (host == NULL || !good_host(o, c, host))
        return (struct guard_verdict){403, "this Host is not allowed here: `caravan serve --allow-host` allows it"};
    if (origin && !own_origin(o, c, origin, host) && !listed_origin(o, origin))
        return (struct guard_verdict){403, "this Origin is not allowed here: `caravan serve --allow-origin` allows it"};
    bool preflight = origin && header(c, "Access-Control-Request-Method");
    *keyless = o->require_key && strcmp(path, "/health") != 0 && !preflight && !good_key(o, c);
    if (*keyless && !(o->is_open && o->is_open(path)))
        return (struct guard_verdict){401,
                                      "an API key is needed: send it as `Authorization: Bearer KEY`; make one with "
                                      "`caravan key add`"};
    return (struct guard_verdict){0};
}

void guard_add_cors(const struct http_options *o, struct MHD_Connection *c, struct MHD_Response *r) {
    const char *origin = header(c, "Origin");
    if (origin == NULL || !listed_origin(o, origin)) return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
    const char *wanted = header(c, "Access-Control-Request-Headers");
    MHD_add_response_header(r, "Access-Control-Allow-Headers",
                            wanted ? wanted : "authorization, content-type, x-api-key");
    MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
    MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    if (header(c, "Access-Control-Request-Private-Network"))
        MHD_add_response_header(r, "Access-Control-Allow-Private-Network", "true");
    MHD_add_response_header(r, "Access-Control-Expose-Headers", "x-request-id, retry-after");
    MHD_add_response_header(r, "Vary", "Origin");
}
