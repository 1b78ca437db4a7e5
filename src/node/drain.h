/* The drain: what was written to files begins its way to the disk while more comes, some megabytes at a time, so that
 * whoever waits for the disk in the end finds little left to wait for. On a thread of its own: a disk that is slow to
 * take it holds up neither who writes nor who hashes.
 *
 * Only a hint, and no promise: a range that finds no room is left to the end. One giver's thread. */
#pragma once
#include <stdint.h>

#include "base/error.h"

struct drain;

int drain_new(struct drain **out, struct error *error);
void drain_free(struct drain *d); /* NULL is fine */
/* Bytes were written. The file stays open until it is forgotten. */
void drain_give(struct drain *d, int fd, uint64_t offset, uint64_t len);
/* The file is about to be closed. */
void drain_forget(struct drain *d, int fd);
