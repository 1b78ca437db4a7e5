/* The page that people see: the files of web/dist, embedded, compressed with gzip.
 *
 * index.html is "/", the others lie under "/page/". They hold no data of this node and are the same in every copy of
 * the program, so whoever has no key yet may load them: the page then asks for one. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "net/http/http.h"

struct page_file {
    const char *path, *type, *etag;
    const unsigned char *gzip;
    size_t gzip_len, len; /* compressed, and as it was */
};

/* Made by tools/embed_page. */
extern const struct page_file page_files[];
extern const size_t page_file_count;

/* Is this a path of the page's? */
bool page_is_open(const char *path);
/* Answer with the file of the exchange's path; false: there is none, and the exchange is still the caller's. */
bool page_reply(struct http_exchange *x);
