#include "store/origin.h"

#include <ctype.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "store/catalog.h"

static bool begins(const char *text, const char *with) { return strncasecmp(text, with, strlen(with)) == 0; }

/* A component of a path: the hub's repositories have narrower names, its files wider ones. */
static bool plain(const char *name, size_t len, bool narrow) {
    if (len == 0 || name[0] == '.' || len > 200) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f || strchr("/\\:*?\"<>|", c) != NULL) return false;
        if (narrow && !isalnum(c) && strchr("._-", c) == NULL) return false;
    }
    return true;
}

bool origin_plain_name(const char *name) { return plain(name, strlen(name), false); }

static bool plain_path(const char *path) {
    for (const char *at = path;;) {
        size_t len = strcspn(at, "/");
        if (!plain(at, len, false)) return false;
        if (at[len] == '\0') return true;
        at += len + 1;
    }
}

static int invalid(const char *name, struct error *error) {
    return error_set(error, ERR_INVALID, "\"%.200s\" is no name of a repository or of a file in one", name);
}

static int set(char *out, size_t bytes, const char *text, size_t len, const char *name, struct error *error) {
    if (len >= bytes) return invalid(name, error);
    memcpy(out, text, len);
    out[len] = '\0';
    return 0;
}

/* "org/repo" at the start of `text`; *rest is what follows. */
static int take_repo(struct origin *o, const char *text, const char **rest, struct error *error) {
    size_t org = strcspn(text, "/:");
    if (text[org] != '/') return invalid(text, error);
    size_t repo = strcspn(text + org + 1, "/:");
    if (!plain(text, org, true) || !plain(text + org + 1, repo, true)) return invalid(text, error);
    *rest = text + org + 1 + repo;
    return set(o->repo, sizeof o->repo, text, org + 1 + repo, text, error);
}

static int take_quant(struct origin *o, const char *text, struct error *error) {
    size_t len = strlen(text);
    if (!plain(text, len, true) || len >= sizeof o->quant) return invalid(text, error);
    for (size_t i = 0; i <= len; i++) o->quant[i] = (char)toupper((unsigned char)text[i]);
    return 0;
}

/* "resolve/REVISION/file", as a browser shows it, or the file alone. */
static int take_file(struct origin *o, const char *text, struct error *error) {
    static const char *const views[] = {"resolve/", "blob/"};
    for (size_t i = 0; i < 2; i++) {
        if (!begins(text, views[i])) continue;
        const char *revision = text + strlen(views[i]);
        size_t len = strcspn(revision, "/");
        if (revision[len] != '/' || !plain(revision, len, true)) return invalid(text, error);
        int rc = set(o->revision, sizeof o->revision, revision, len, text, error);
        if (rc < 0) return rc;
        text = revision + len + 1;
        break;
    }
    size_t len = strcspn(text, "?#");
    int rc = set(o->file, sizeof o->file, text, len, text, error);
    return rc == 0 && !plain_path(o->file) ? invalid(text, error) : rc;
}

static int take_hub(struct origin *o, const char *text, bool files, struct error *error) {
    const char *rest = text;
    int rc = take_repo(o, text, &rest, error);
    if (rc < 0 || *rest == '\0' || strcmp(rest, "/") == 0) return rc;
    if (*rest == ':') return take_quant(o, rest + 1, error);
    return files ? take_file(o, rest + 1, error) : invalid(text, error);
}

void origin_address_file(const char *address, char out[ORIGIN_NAME_BYTES]) {
    size_t end = strcspn(address, "?#"), begin = end;
    while (begin > 0 && address[begin - 1] != '/') begin--;
    snprintf(out, ORIGIN_NAME_BYTES, "%.*s", (int)(end - begin), address + begin);
}

static int take_address(struct origin *o, const char *name, struct error *error) {
    char file[ORIGIN_NAME_BYTES];
    origin_address_file(name, file);
    size_t len = strlen(file);
    if (strpbrk(name, " \t\r\n") != NULL || !origin_plain_name(file)) return invalid(name, error);
    if (len < 6 || strcasecmp(file + len - 5, ".gguf") != 0)
        return error_set(error, ERR_INVALID, "%.200s is no address of a GGUF file", name);
    return set(o->address, sizeof o->address, name, strlen(name), name, error);
}

/* What follows the hub's own name in an address; NULL: another host. */
static const char *behind_hub(const char *name) {
    static const char *const hosts[] = {"hf.co/", "huggingface.co/", "www.huggingface.co/"};
    if (begins(name, "https://")) name += strlen("https://");
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (begins(name, hosts[i])) return name + strlen(hosts[i]);
    return NULL;
}

int origin_parse(struct origin *o, const char *name, struct error *error) {
    const struct catalog_entry *known = catalog_find(name);
    const char *in_hub = known ? known->hub : behind_hub(name);
    *o = (struct origin){.revision = "main"};
    if (in_hub) return take_hub(o, in_hub, true, error);
    if (begins(name, "https://") || begins(name, "http://")) return take_address(o, name, error);
    const char *slash = strchr(name, '/');
    bool relative = name[0] == '/' || name[0] == '.' || name[0] == '~';
    if (slash == NULL || relative || strstr(name, "://") != NULL || strchr(slash + 1, '/') != NULL)
        return error_set(error, ERR_NOT_FOUND, "\"%.200s\" names no model of a hub", name);
    return take_hub(o, name, false, error);
}

bool origin_same(const struct origin *a, const struct origin *b) {
    return strcasecmp(a->repo, b->repo) == 0 && strcmp(a->revision, b->revision) == 0 &&
           strcmp(a->file, b->file) == 0 && strcmp(a->quant, b->quant) == 0 && strcmp(a->address, b->address) == 0;
}

static uint64_t hash_of(const struct origin *o) {
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    uint64_t value = 0;
    sha256_init(&sha);
    const char *const parts[] = {o->repo, o->revision, o->file, o->quant, o->address};
    for (size_t i = 0; i < 5; i++) sha256_update(&sha, strlen(parts[i]) + 1, (const uint8_t *)parts[i]);
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < 8; i++) value = value << 8 | digest[i];
    return value;
}

/* A slash becomes two dashes: what has some already could be taken for another's. */
static bool looks_like_slash(const char *text) {
    return strstr(text, "--") != NULL || strstr(text, "-/") != NULL || strstr(text, "/-") != NULL;
}

void origin_folder(const struct origin *o, char out[ORIGIN_FOLDER_BYTES]) {
    char plain_text[ORIGIN_FOLDER_BYTES];
    char file[ORIGIN_NAME_BYTES];
    origin_address_file(o->address, file);
    int len = o->repo[0] ? snprintf(plain_text, sizeof plain_text, "%s%s%s", o->repo, *o->quant || *o->file ? "=" : "",
                                    *o->file ? o->file : o->quant)
                         : snprintf(plain_text, sizeof plain_text, "%.200s", file);
    bool exact = o->repo[0] && len < 160 && strcmp(o->revision, "main") == 0 && !looks_like_slash(plain_text);
    size_t at = 0;
    for (const char *c = plain_text; *c && at < 160; c++) {
        bool kept = isalnum((unsigned char)*c) || strchr("._-=", *c) != NULL;
        if (*c == '/') out[at++] = '-';
        out[at] = kept && (at > 0 || *c != '.') ? *c : '-';
        at++;
        exact &= kept || *c == '/';
    }
    out[at] = '\0';
    if (!exact) snprintf(out + at, ORIGIN_FOLDER_BYTES - at, "-%016llx", (unsigned long long)hash_of(o));
}

/* ---- addresses ---- */

static void add_escaped(struct text *out, const char *path) {
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;
        if (isalnum(c) || strchr("-._~/", c) != NULL)
            text_add_char(out, (char)c);
        else
            text_printf(out, "%%%02X", c);
    }
}

void origin_tree_url(const struct origin *o, const char *hub, struct text *out) {
    text_printf(out, "%s/api/models/%s/tree/%s?recursive=true", hub, o->repo, o->revision);
}

void origin_info_url(const struct origin *o, const char *hub, struct text *out) {
    text_printf(out, "%s/api/models/%s?blobs=true", hub, o->repo);
}

void origin_file_url(const struct origin *o, const char *hub, const char *path, struct text *out) {
    if (!o->repo[0]) {
        text_add_str(out, o->address);
        return;
    }
    text_printf(out, "%s/%s/resolve/%s/", hub, o->repo, o->revision);
    add_escaped(out, path);
}
