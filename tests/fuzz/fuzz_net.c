/* What strangers can send to net/: the bytes of a handshake, a join code, the address of a peer, the headers of an
 * answer. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"
#include "net/fetch/header.h"
#include "net/secret.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody who has not the key gets a server to finish its handshake, in whatever pieces the bytes come. */
static void shake_hands(const uint8_t *data, size_t size) {
    struct secret secret = {{1}};
    struct secret_keyring keys = {0};
    struct tls server;
    struct error error;
    secret_keyring_rotate(&keys, &secret);
    if (tls_init(&server, false, &keys, &error) < 0) abort();
    int rc = ERR_AGAIN;
    while (rc == ERR_AGAIN && size > 0) {
        size_t room, len = size < 100 ? size : 100;
        uint8_t *at = tls_in_room(&server, &room);
        if (room < len) break;
        memcpy(at, data, len);
        server.in_end += len;
        data += len;
        size -= len;
        rc = tls_handshake(&server, &error);
    }
    if (rc == 0) abort();
    tls_deinit(&server);
}

static void read_texts(const uint8_t *data, size_t size) {
    struct secret secret;
    struct error error;
    char address[SECRET_ADDRESS_BYTES], host[ADDRESS_HOST_BYTES], code[SECRET_CODE_BYTES], *text = malloc(size + 1);
    uint16_t port;
    memcpy(text, data, size);
    text[size] = '\0';
    if (address_split(text, host, &port, &error) == 0 && port == 0) abort();
    if (secret_parse(text, &secret, address, &error) == 0) {
        struct secret again;
        secret_code(&secret, address[0] ? address : NULL, code);
        if (secret_parse(code, &again, address, &error) < 0 || memcmp(&again, &secret, sizeof again) != 0) abort();
    }
    free(text);
}

/* Line by line, as a hub's answer comes. */
static void read_headers(const uint8_t *data, size_t size) {
    struct fetch_reply reply = {0};
    bool ranged = false;
    char *text = malloc(size + 1), *rest = text, *line;
    memcpy(text, data, size);
    text[size] = '\0';
    while ((line = strsep(&rest, "\r\n")) != NULL) {
        fetch_take_header(&reply, &ranged, line);
        assert(strlen(reply.hash) == 0 || strlen(reply.hash) == 64);
        assert(ranged ? reply.total == 0 || reply.begin < reply.total : reply.begin == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    switch (data[0] % 4) {
    case 0: read_headers(data + 1, size - 1); break;
    case 2: read_texts(data + 1, size - 1); break;
    default: shake_hands(data + 1, size - 1); break;
    }
    return 0;
}
