/* Reading files by position: what loading weights needs. No mapping, no shared offset: any number of threads read
 * one open file at the same time. Writing big ones likewise, and replacing small ones as a whole. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct file {
    int fd; /* -1: closed */
    uint64_t bytes;
};

/* A regular file for reading. ERR_NOT_FOUND, ERR_DENIED or ERR_IO with the path in the text. */
int file_open(struct file *f, const char *path, struct error *error);
void file_close(struct file *f);
bool file_is_folder(const char *path);
/* Exactly `len` bytes from `offset`; ERR_IO with the reason, also when the file ends before. */
int file_read_at(const struct file *f, uint64_t offset, void *out, size_t len, struct error *error);
/* Hints: this range is needed soon / not again. */
void file_will_need(const struct file *f, uint64_t offset, uint64_t len);
void file_forget(const struct file *f, uint64_t offset, uint64_t len);

/* A new big file (one of that name is emptied), its `bytes` reserved now, so that a full disk shows before the work and
 * not after it. Written by position, by any number of threads. Errors as file_open's. */
int file_create(struct file *f, const char *path, uint64_t bytes, struct error *error);
int file_write_at(const struct file *f, uint64_t offset, const void *data, size_t len, struct error *error);
/* Begin to bring a range of an open file to the disk, without waiting for it. A hint. */
void file_write_out(int fd, uint64_t offset, uint64_t len);
/* Bring what was written to the disk, close the file and give it its name; on failure it is removed. */
int file_finish(struct file *f, const char *path, const char *name, struct error *error);
/* Close it and remove it. */
void file_abandon(struct file *f, const char *path);

/* Replace (or make) the small file `path`, mode 0600: written beside it and renamed, so that a crash leaves the old or
 * the new one whole. ERR_DENIED, ERR_NOT_FOUND (no such folder) or ERR_IO with the path in the text. */
int file_replace(const char *path, const void *data, size_t len, struct error *error);
