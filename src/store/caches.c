#include "store/caches.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "store/listing.h"

bool caches_ollama_digest(const char *json, size_t len, char out[CACHES_DIGEST_BYTES]) {
    static const char model[] = "application/vnd.ollama.image.model", sha256[] = "sha256:";
    json_t *manifest = json_loadb(json, len, 0, NULL);
    const json_t *layer;
    const char *digest = NULL;
    size_t i, models = 0;
    uint8_t hash[LISTING_SHA256_BYTES];
    json_array_foreach(json_object_get(manifest, "layers"), i, layer) {
        const char *type = json_string_value(json_object_get(layer, "mediaType"));
        if (type == NULL || strcmp(type, model) != 0) continue;
        digest = json_string_value(json_object_get(layer, "digest"));
        models++;
    }
    bool good = models == 1 && digest && strncmp(digest, sha256, strlen(sha256)) == 0 &&
                listing_sha256(digest + strlen(sha256), hash);
    if (good) snprintf(out, CACHES_DIGEST_BYTES, "%s", digest + strlen(sha256));
    json_decref(manifest);
    return good;
}

bool caches_llamacpp_name(const char *file, char repo[ORIGIN_NAME_BYTES], char name[ORIGIN_NAME_BYTES]) {
    char org[128], rest[128], tag[64];
    struct origin o;
    int end = 0;
    if (sscanf(file, "manifest=%127[^=]=%127[^=]=%63[^=.].json%n", org, rest, tag, &end) != 3 || file[end] != '\0' ||
        end == 0)
        return false;
    snprintf(repo, ORIGIN_NAME_BYTES, "%s/%s", org, rest);
    snprintf(name, ORIGIN_NAME_BYTES, strcmp(tag, "latest") == 0 ? "%s" : "%s:%s", repo, tag);
    return origin_parse(&o, name, NULL) == 0;
}

bool caches_llamacpp_file(const char *json, size_t len, const char *repo, char out[2 * ORIGIN_NAME_BYTES]) {
    json_t *manifest = json_loadb(json, len, 0, NULL);
    const char *file = json_string_value(json_object_get(json_object_get(manifest, "ggufFile"), "rfilename"));
    bool good = file && strlen(file) < ORIGIN_NAME_BYTES;
    if (good) snprintf(out, 2 * ORIGIN_NAME_BYTES, "%s_%s", repo, file);
    for (char *c = out; good && *c; c++)
        if (*c == '/') *c = '_';
    json_decref(manifest);
    return good && origin_plain_name(out);
}

void caches_quant(const char *stem, char out[CACHES_QUANT_BYTES]) {
    static const char *const kinds[] = {"Q", "IQ", "TQ", "F16", "F32", "BF16", "MXFP"};
    const char *at = stem + strlen(stem);
    while (at > stem && at[-1] != '-' && at[-1] != '.') at--;
    out[0] = '\0';
    if (at == stem || strlen(at) >= CACHES_QUANT_BYTES) return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i]);
        if (strncasecmp(at, kinds[i], len) != 0) continue;
        bool number = isdigit((unsigned char)kinds[i][len - 1]) || isdigit((unsigned char)at[len]);
        if (number) snprintf(out, CACHES_QUANT_BYTES, "%s", at);
    }
    for (char *c = out; *c; c++) *c = (char)toupper((unsigned char)*c);
}
