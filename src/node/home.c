#include "node/home.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/dir.h"

int home_file(const struct home *h, const char *name, char *out, size_t out_bytes, struct error *error) {
    int n = snprintf(out, out_bytes, "%s/%s", h->path, name);
    if (n < 0 || (size_t)n >= out_bytes) return error_set(error, ERR_LIMIT, "%s/%s: path too long", h->path, name);
    return 0;
}

static int make_subdirectory(const struct home *h, const char *name, struct error *error) {
    char path[HOME_PATH_BYTES];
    int rc = home_file(h, name, path, sizeof path, error);
    return rc ? rc : dir_make(path, error);
}

static int take_lock(struct home *h, struct error *error) {
    char path[HOME_PATH_BYTES], pid[32] = "?";
    int rc = home_file(h, "run/lock", path, sizeof path, error);
    if (rc) return rc;
    h->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (h->lock < 0) return error_set(error, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(h->lock, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(h->lock, pid, sizeof pid - 1);
        if (n > 0) pid[strcspn(pid, "\n")] = '\0';
        return error_set(error, ERR_BUSY, "another node (pid %s) runs on %s: stop it or set CARAVAN_HOME", pid,
                         h->path);
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(h->lock, 0) != 0 || pwrite(h->lock, pid, (size_t)n, 0) != n)
        return error_set(error, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int home_open(struct home *h, const char *path, struct error *error) {
    *h = (struct home){.lock = -1};
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    if (len == 0 || len >= sizeof h->path - 32) return error_set(error, ERR_INVALID, "unusable home '%s'", path);
    memcpy(h->path, path, len);
    int rc = dir_make(h->path, error);
    if (rc == 0) rc = make_subdirectory(h, "run", error);
    if (rc == 0) rc = make_subdirectory(h, "models", error);
    if (rc == 0) rc = take_lock(h, error);
    if (rc) home_close(h);
    return rc;
}

void home_close(struct home *h) {
    if (h->lock >= 0) close(h->lock);
    h->lock = -1;
}

int home_set_node_id(const struct home *h, uint64_t id, struct error *error) {
    char path[HOME_PATH_BYTES], temporary[HOME_PATH_BYTES];
    int rc = home_file(h, "id", path, sizeof path, error);
    if (rc == 0) rc = home_file(h, "id.new", temporary, sizeof temporary, error);
    if (rc) return rc;
    FILE *f = fopen(temporary, "we");
    if (f == NULL) return error_set(error, ERR_IO, "cannot write %s: %s", temporary, strerror(errno));
    bool ok = fprintf(f, "%016" PRIx64 "\n", id) > 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(temporary, path) != 0)
        return error_set(error, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int home_node_id(const struct home *h, uint64_t *id, struct error *error) {
    char path[HOME_PATH_BYTES];
    int rc = home_file(h, "id", path, sizeof path, error);
    if (rc) return rc;
    FILE *f = fopen(path, "re");
    int found = f ? fscanf(f, "%16" SCNx64, id) : 0;
    if (f) fclose(f);
    if (found == 1 && *id != 0) return 0;
    if (gnutls_rnd(GNUTLS_RND_NONCE, id, sizeof *id) != 0) return error_set(error, ERR_IO, "no random numbers");
    *id |= 1; /* 0 means nobody */
    return home_set_node_id(h, *id, error);
}
