#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int code_of(int errno_value) {
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR: return ERR_NOT_FOUND;
    case EACCES:
    case EPERM: return ERR_DENIED;
    default: return ERR_IO;
    }
}

int file_open(struct file *f, const char *path, struct error *error) {
    *f = (struct file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a pipe must not block us */
    if (f->fd < 0) return error_set(error, code_of(errno), "%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(f->fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        file_close(f);
        return error_set(error, ERR_IO, "%s: not a regular file", path);
    }
    f->bytes = (uint64_t)status.st_size;
    return 0;
}

void file_close(struct file *f) {
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

bool file_is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int file_read_at(const struct file *f, uint64_t offset, void *out, size_t len, struct error *error) {
    size_t done = 0;
    while (done < len) {
        ssize_t got = pread(f->fd, (char *)out + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_set(error, ERR_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            return error_set(error, ERR_IO, "the file ends at byte %llu", (unsigned long long)(offset + done));
        done += (size_t)got;
    }
    return 0;
}

void file_will_need(const struct file *f, uint64_t offset, uint64_t len) {
    posix_fadvise(f->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

void file_forget(const struct file *f, uint64_t offset, uint64_t len) {
    posix_fadvise(f->fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
}

void file_write_out(int fd, uint64_t offset, uint64_t len) {
    sync_file_range(fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

int file_create(struct file *f, const char *path, uint64_t bytes, struct error *error) {
    *f = (struct file){.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), .bytes = bytes};
    if (f->fd < 0) return error_set(error, code_of(errno), "%s: %s", path, strerror(errno));
    int rc = bytes > 0 ? posix_fallocate(f->fd, 0, (off_t)bytes) : 0;
    if (rc == 0 || rc == EOPNOTSUPP || rc == EINVAL) return 0; /* not every file system can reserve */
    file_abandon(f, path);
    return error_set(error, ERR_IO, "%s: cannot reserve %llu MiB: %s", path, (unsigned long long)(bytes >> 20),
                     strerror(rc));
}

int file_write_at(const struct file *f, uint64_t offset, const void *data, size_t len, struct error *error) {
    size_t done = 0;
    while (done < len) {
        ssize_t put = pwrite(f->fd, (const char *)data + done, len - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return error_set(error, ERR_IO, "cannot write: %s", strerror(errno));
        done += (size_t)put;
    }
    return 0;
}

int file_finish(struct file *f, const char *path, const char *name, struct error *error) {
    if (fsync(f->fd) == 0 && rename(path, name) == 0) {
        file_close(f);
        return 0;
    }
    int rc = error_set(error, code_of(errno), "%s: %s", name, strerror(errno));
    file_abandon(f, path);
    return rc;
}

void file_abandon(struct file *f, const char *path) {
    file_close(f);
    unlink(path);
}

static bool write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t done = write(fd, data, len);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        data += done;
        len -= (size_t)done;
    }
    return fsync(fd) == 0;
}

int file_replace(const char *path, const void *data, size_t len, struct error *error) {
    int rc = 0;
    char *part = NULL;
    if (asprintf(&part, "%s.XXXXXX", path) < 0) return error_set(error, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    int fd = mkostemp(part, O_CLOEXEC); /* mode 0600 */
    bool written = fd >= 0 && write_all(fd, data, len) && rename(part, path) == 0;
    if (!written) {
        rc = error_set(error, code_of(errno), "%s: %s", path, strerror(errno));
        if (fd >= 0) unlink(part);
    }
    if (fd >= 0) close(fd);
    free(part);
    return rc;
}
