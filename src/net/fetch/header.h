/* The headers of an answer, read as hostile input. */
#pragma once
#include "net/fetch/fetch.h"

/* One line, without its end. ranged: a Content-Range was among the lines of this answer, and could be read. */
void fetch_take_header(struct fetch_reply *r, bool *ranged, const char *line);
