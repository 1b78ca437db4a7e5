#include "node/page.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/size.h"

/* Nothing but the page's own files runs, and nothing is fetched from elsewhere, whatever an answer contains. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                             "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify";

bool page_is_open(const char *path) { return strcmp(path, "/") == 0 || strncmp(path, "/page/", 6) == 0; }

static const struct page_file *find(const char *path) {
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(page_files[i].path, path) == 0) return &page_files[i];
    return NULL;
}

/* RFC 9110, 12.5.3, for the one coding that is here: named and not with weight 0. */
static bool takes_gzip(const char *accepted) {
    const char *at = accepted ? strstr(accepted, "gzip") : NULL;
    if (at == NULL) return false;
    at += strlen("gzip");
    at += strspn(at, " ");
    if (*at != ';') return true;
    at += 1 + strspn(at + 1, " ");
    return strncmp(at, "q=", 2) != 0 || strtod(at + 2, NULL) > 0;
}

static bool inflate_file(const struct page_file *file, unsigned char *out) {
    enum { GZIP = 16 };
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)file->gzip,
                       .avail_in = (unsigned)file->gzip_len,
                       .next_out = out,
                       .avail_out = (unsigned)file->len};
    if (inflateInit2(&stream, MAX_WBITS + GZIP) != Z_OK) return false;
    int rc = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return rc == Z_STREAM_END;
}

static void reply_file(struct http_exchange *x, const struct page_file *file) {
    const struct http_field fields[] = {
        {"Cache-Control", "no-cache"},
        {"ETag", file->etag},
        {"Vary", "Accept-Encoding"},
        {"Content-Security-Policy", policy},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Content-Type", file->type},
        {"Content-Encoding", "gzip"},
    };
    enum { ALL = ARRAY_LEN(fields), ALL_BUT_CODING = ALL - 1, ALL_BUT_CONTENT = ALL - 2 };
    const char *known = http_header(x, "If-None-Match");
    /* Who has no key sees the page that asks for it, under the status that its lack has everywhere. */
    int status = http_keyless(x) && strcmp(file->path, "/") == 0 ? 401 : 200;
    if (status == 401) http_set_header(x, "WWW-Authenticate", "Bearer");
    if (status == 200 && known && strstr(known, file->etag)) {
        http_reply_with(x, 304, fields, ALL_BUT_CONTENT, "", 0);
    } else if (takes_gzip(http_header(x, "Accept-Encoding"))) {
        http_reply_with(x, status, fields, ALL, file->gzip, file->gzip_len);
    } else {
        unsigned char *plain = malloc(file->len);
        bool whole = plain && inflate_file(file, plain);
        http_reply_with(x, whole ? status : 500, fields, ALL_BUT_CODING, plain, whole ? file->len : 0);
        free(plain);
    }
}

bool page_reply(struct http_exchange *x) {
    const struct page_file *file = find(http_path(x));
    if (file) reply_file(x, file);
    return file != NULL;
}
