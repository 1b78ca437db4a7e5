#include "os/condition.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LINE_BYTES = 256, CORES_MAX = 4096 };

static const char huge_pages_path[] = "/sys/kernel/mm/transparent_hugepage/enabled";

/* The first line of a small file; "" when it cannot be read. */
static void read_line(const char *root, const char *path, char out[LINE_BYTES]) {
    char full[PATH_MAX];
    out[0] = '\0';
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    FILE *f = n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
    if (f == NULL) return;
    if (fgets(out, LINE_BYTES, f) == NULL) out[0] = '\0';
    fclose(f);
    out[strcspn(out, "\n")] = '\0';
}

/* The word in brackets of "always [madvise] never". */
static void read_choice(const char *root, const char *path, char out[CONDITION_WORD_BYTES]) {
    char line[LINE_BYTES];
    read_line(root, path, line);
    const char *open = strchr(line, '['), *close = open ? strchr(open, ']') : NULL;
    size_t len = close ? (size_t)(close - open) - 1 : 0;
    if (len >= CONDITION_WORD_BYTES) len = 0;
    if (len > 0) memcpy(out, open + 1, len);
    out[len] = '\0';
}

static void governor_path(unsigned core, char out[LINE_BYTES]) {
    snprintf(out, LINE_BYTES, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", core);
}

static void read_governor(const char *root, char out[CONDITION_WORD_BYTES]) {
    char path[LINE_BYTES], line[LINE_BYTES];
    governor_path(0, path);
    read_line(root, path, line);
    snprintf(out, CONDITION_WORD_BYTES, "%.*s", CONDITION_WORD_BYTES - 1, line);
}

void condition_read(const char *root, const char *folder, struct condition *out) {
    struct rlimit files;
    struct statvfs disk;
    struct stat status;
    *out = (struct condition){.files_max = UINT64_MAX, .disk_free_bytes = UINT64_MAX};
    read_governor(root, out->governor);
    read_choice(root, huge_pages_path, out->huge_pages);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) out->files_max = files.rlim_max;
    if (statvfs(folder, &disk) == 0) out->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    out->folder_usable =
        stat(folder, &status) == 0 && S_ISDIR(status.st_mode) && access(folder, R_OK | W_OK | X_OK) == 0;
}

bool condition_port_free(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return true;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_free;
}

bool condition_file_shared(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & 077) != 0;
}

static int fail(const char *path, struct error *error) {
    int code = errno == EACCES || errno == EPERM || errno == EROFS ? ERR_DENIED : ERR_IO;
    return error_set(error, code, "%s: %s", path, strerror(errno));
}

static int write_word(const char *root, const char *path, const char *word, struct error *error) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    if (n < 0 || n >= (int)sizeof full) return error_set(error, ERR_LIMIT, "%s: path too long", path);
    FILE *f = fopen(full, "r+e");
    if (f == NULL) return fail(full, error);
    bool written = fputs(word, f) != EOF;
    return fclose(f) == 0 && written ? 0 : fail(full, error);
}

int condition_set_governor(const char *root, const char *name, struct error *error) {
    char path[LINE_BYTES], line[LINE_BYTES];
    for (unsigned core = 0; core < CORES_MAX; core++) {
        governor_path(core, path);
        read_line(root, path, line);
        if (line[0] == '\0') return core > 0 ? 0 : error_set(error, ERR_NOT_FOUND, "%s: there is none", path);
        int code = write_word(root, path, name, error);
        if (code != 0) return code;
    }
    return 0;
}

int condition_set_huge_pages(const char *root, const char *name, struct error *error) {
    return write_word(root, huge_pages_path, name, error);
}

int condition_unshare_file(const char *path, struct error *error) {
    return chmod(path, 0600) == 0 ? 0 : fail(path, error);
}
