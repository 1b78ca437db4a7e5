/* The folders of pulled models in a home: where one belongs, and which one is there under a name, with a fingerprint,
 * or with a file of the same bytes. Any thread; no memory is kept. */
#pragma once
#include "node/parcel.h"

struct pulled_search {
    const struct origin *origin;     /* by one of its names; NULL: not by name */
    const uint8_t *fingerprint;      /* or with this one; NULL: none */
    const struct listing_file *file; /* or with this file, hashed and whole; NULL: none */
    /* What was found: the folder, and what the file is called there. */
    char path[PARCEL_PATH_BYTES], name[ORIGIN_NAME_BYTES];
    bool found;
};

void pulled_home(const char *home, char out[PARCEL_PATH_BYTES]);                              /* that all are in */
void pulled_place(const char *home, const struct manifest *m, char out[PARCEL_PATH_BYTES]); /* of this model */
bool pulled_find(const char *home, struct pulled_search *s);
/* Files of the manifest that were pulled with another model are this folder's, too. */
void pulled_adopt(const char *home, const struct manifest *m, const char *path);
