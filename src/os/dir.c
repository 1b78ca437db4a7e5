#include "os/dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int code_of_errno(void) {
    if (errno == ENOENT || errno == ENOTDIR) return ERR_NOT_FOUND;
    return errno == EACCES ? ERR_DENIED : ERR_IO;
}

/* False when the visitor wants no more. */
static bool visit_one(const char *folder, const char *name, bool (*visit)(void *, const struct dir_entry *),
                      void *context) {
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0) return true;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return true;
    struct dir_entry entry = {name, path, S_ISDIR(st.st_mode), (uint64_t)st.st_size};
    return visit(context, &entry);
}

int dir_list(const char *path, bool (*visit)(void *context, const struct dir_entry *entry), void *context) {
    DIR *dir = opendir(path);
    if (dir == NULL) return code_of_errno();
    const struct dirent *found;
    while ((found = readdir(dir)) != NULL)
        if (found->d_name[0] != '.' && !visit_one(path, found->d_name, visit, context)) break;
    closedir(dir);
    return 0;
}

int dir_make(const char *path, struct error *error) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) return error_set(error, ERR_INVALID, "the path is empty or too long");
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return error_set(error, code_of_errno(), "cannot make the folder %s: %s", part, strerror(errno));
        part[i] = kept;
    }
    return 0;
}
