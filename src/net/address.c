#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t ipv4_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_ipv4(const struct wire_address *a) { return memcmp(a->ip, ipv4_prefix, sizeof ipv4_prefix) == 0; }

bool address_from_sockaddr(struct wire_address *a, const struct sockaddr *from) {
    *a = (struct wire_address){0};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        memcpy(a->ip, ipv4_prefix, sizeof ipv4_prefix);
        memcpy(a->ip + sizeof ipv4_prefix, &in->sin_addr, 4);
        a->port = ntohs(in->sin_port);
        return true;
    }
    if (from->sa_family != AF_INET6) return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
    memcpy(a->ip, &in6->sin6_addr, 16);
    a->port = ntohs(in6->sin6_port);
    a->scope_id = in6->sin6_scope_id;
    return true;
}

socklen_t address_to_sockaddr(const struct wire_address *a, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (is_ipv4(a)) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + sizeof ipv4_prefix, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    in6->sin6_scope_id = a->scope_id;
    memcpy(&in6->sin6_addr, a->ip, 16);
    return sizeof *in6;
}

void address_format(const struct wire_address *a, char text[ADDRESS_TEXT_BYTES]) {
    char ip[INET6_ADDRSTRLEN], name[IF_NAMESIZE], scope[IF_NAMESIZE + 1] = "";
    if (is_ipv4(a)) {
        inet_ntop(AF_INET, a->ip + sizeof ipv4_prefix, ip, sizeof ip);
        snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", ip, a->port);
        return;
    }
    inet_ntop(AF_INET6, a->ip, ip, sizeof ip);
    if (a->scope_id != 0 && if_indextoname(a->scope_id, name))
        snprintf(scope, sizeof scope, "%%%s", name);
    else if (a->scope_id != 0)
        snprintf(scope, sizeof scope, "%%%u", a->scope_id);
    snprintf(text, ADDRESS_TEXT_BYTES, "[%s%s]:%u", ip, scope, a->port);
}

bool address_same_host(const struct wire_address *a, const struct wire_address *b) {
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->scope_id == b->scope_id;
}

static bool ipv4_is_private(const uint8_t ip[4]) {
    return ip[0] == 0 || ip[0] == 10 || ip[0] == 127 || ip[0] >= 224 || (ip[0] == 100 && (ip[1] & 0xc0) == 64) ||
           (ip[0] == 169 && ip[1] == 254) || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168);
}

bool address_is_private(const struct wire_address *a) {
    static const uint8_t compatible[12], nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    const uint8_t *ip = a->ip;
    if (is_ipv4(a) || memcmp(ip, compatible, 12) == 0 || memcmp(ip, nat64, 12) == 0) return ipv4_is_private(ip + 12);
    if (ip[0] == 0x20 && ip[1] == 0x02) return ipv4_is_private(ip + 2); /* 6to4 */
    bool translated = ip[0] == 0; /* 0000::/8: nothing else there is public */
    return translated || (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && ip[1] >= 0x80) || ip[0] == 0xff;
}

static int parse_port(const char *text, uint16_t *port, struct error *error) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > 65535)
        return error_set(error, ERR_INVALID, "\"%.40s\" is not a port (1 to 65535)", text);
    *port = (uint16_t)value;
    return 0;
}

int address_split(const char *text, char host[ADDRESS_HOST_BYTES], uint16_t *port, struct error *error) {
    const char *begin = text, *end = text + strlen(text), *colon = strrchr(text, ':');
    *port = ADDRESS_PORT_DEFAULT;
    if (*text == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return error_set(error, ERR_INVALID, "\"%.80s\" is not [IPV6]:PORT", text);
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (colon && strchr(text, ':') != colon) {
        colon = NULL; /* more than one colon: an IPv6 address without a port */
    } else if (colon) {
        end = colon;
    }
    if (end == begin) return error_set(error, ERR_INVALID, "\"%.80s\" names no host", text);
    if (end - begin >= ADDRESS_HOST_BYTES) return error_set(error, ERR_INVALID, "the name of the host is too long");
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return colon ? parse_port(colon + 1, port, error) : 0;
}
