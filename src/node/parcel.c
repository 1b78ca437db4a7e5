#include "node/parcel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/gguf_dir.h"
#include "os/dir.h"
#include "os/file.h"

enum { MANIFEST_BYTES_MAX = 16 << 20, RECORDS_AT_ONCE = 64 };

static const uint64_t room_kept = 64ull << 20;

static int code_of_errno(void) {
    switch (errno) {
    case ENOENT: return ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ERR_LIMIT;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_DENIED;
    default: return ERR_IO;
    }
}

static int fail(const char *path, const char *name, struct error *error) {
    return error_set(error, code_of_errno(), "%.300s/%.100s: %s", path, name, strerror(errno));
}

/* ---- maps ---- */

static void map_name(const struct manifest *m, size_t file, char out[ORIGIN_NAME_BYTES + 8]) {
    snprintf(out, ORIGIN_NAME_BYTES + 8, ".%s.map", manifest_file_name(m, file));
}

static int write_at(int fd, const void *data, size_t len, uint64_t offset) {
    for (const char *at = data; len > 0;) {
        ssize_t put = pwrite(fd, at, len, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return code_of_errno();
        at += put;
        offset += (uint64_t)put;
        len -= (size_t)put;
    }
    return 0;
}

static int begin_map(struct parcel *p, uint32_t file, struct error *error) {
    const struct chunks *c = &p->transfer.files[file].chunks;
    uint8_t header[CHUNKS_HEADER_BYTES];
    chunks_write_header(c, header);
    if (ftruncate(p->files[file].map, (off_t)chunks_map_bytes(c)) == 0 &&
        write_at(p->files[file].map, header, sizeof header, 0) == 0)
        return parcel_record(p, file, 0, c->count, error);
    return fail(p->path, "map", error);
}

/* What the map says is here; where there is none, or none that can be believed, nothing is. */
static int read_map(struct parcel *p, uint32_t file, struct error *error) {
    struct transfer_file *f = &p->transfer.files[file];
    size_t len = chunks_map_bytes(&f->chunks);
    uint8_t *map = malloc(len + 1);
    if (map == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    ssize_t got = pread(p->files[file].map, map, len + 1, 0);
    bool read = got >= 0 && chunks_read(&f->chunks, map, (size_t)got, NULL) == 0;
    if (!read && got >= 0) (void)chunks_adopt(&f->chunks, map, (size_t)got);
    int rc = read ? 0 : begin_map(p, file, error);
    free(map);
    f->verified = f->hashed;
    for (uint32_t i = 0; i < f->chunks.count; i++) f->verified &= f->chunks.items[i].state == CHUNK_VERIFIED;
    return rc;
}

int parcel_record(struct parcel *p, uint32_t file, uint32_t chunk, uint32_t count, struct error *error) {
    const struct chunks *c = &p->transfer.files[file].chunks;
    uint8_t records[RECORDS_AT_ONCE * CHUNKS_RECORD_BYTES];
    while (count > 0) {
        uint32_t step = count < RECORDS_AT_ONCE ? count : RECORDS_AT_ONCE;
        for (uint32_t i = 0; i < step; i++) chunks_write_record(c, chunk + i, records + i * CHUNKS_RECORD_BYTES);
        if (write_at(p->files[file].map, records, step * CHUNKS_RECORD_BYTES, chunks_record_offset(chunk)) < 0)
            return fail(p->path, "map", error);
        chunk += step;
        count -= step;
    }
    return 0;
}

/* ---- files ---- */

/* What is another model's as well stays as it is. */
static int open_anew(struct parcel *p, uint32_t file, const char *map, struct error *error) {
    const char *const names[] = {manifest_file_name(&p->manifest, file), map};
    int *const descriptors[] = {&p->files[file].data, &p->files[file].map};
    for (size_t i = 0; i < 2; i++) {
        close(*descriptors[i]);
        unlinkat(p->folder, names[i], 0);
        *descriptors[i] = openat(p->folder, names[i], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (*descriptors[i] < 0) return fail(p->path, names[i], error);
    }
    return 0;
}

static int open_file(struct parcel *p, uint32_t file, struct error *error) {
    const char *name = manifest_file_name(&p->manifest, file);
    char map[ORIGIN_NAME_BYTES + 8];
    struct parcel_file *f = &p->files[file];
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    struct stat st;
    map_name(&p->manifest, file, map);
    f->map = openat(p->folder, map, flags, 0600);
    f->data = openat(p->folder, name, flags, 0644);
    if (f->data < 0 || f->map < 0 || fstat(f->data, &st) < 0) return fail(p->path, name, error);
    if ((uint64_t)st.st_size != p->manifest.files[file].bytes) { /* another file, or none yet */
        if (st.st_nlink > 1 && open_anew(p, file, map, error) < 0) return error->code;
        if (ftruncate(f->data, 0) < 0 || ftruncate(f->data, (off_t)p->manifest.files[file].bytes) < 0) {
            int rc = fail(p->path, name, error);
            unlinkat(p->folder, name, 0);
            unlinkat(p->folder, map, 0);
            return rc;
        }
        return begin_map(p, file, error);
    }
    return read_map(p, file, error);
}

static int open_files(struct parcel *p, struct error *error) {
    int rc = 0;
    p->files = calloc(p->manifest.file_count + 1, sizeof *p->files);
    if (p->files == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < p->manifest.file_count; i++) p->files[i] = (struct parcel_file){-1, -1};
    for (uint32_t i = 0; rc == 0 && i < p->manifest.file_count; i++) rc = open_file(p, i, error);
    return rc;
}

int parcel_open(struct parcel *p, const char *path, struct manifest *m, uint64_t seed, struct error *error) {
    *p = (struct parcel){.folder = -1};
    snprintf(p->path, sizeof p->path, "%s", path);
    int rc = transfer_init(&p->transfer, m, seed, error);
    if (rc < 0) return rc;
    rc = dir_make(path, error);
    if (rc == 0) p->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (rc == 0 && p->folder < 0) rc = fail(path, "", error);
    struct manifest taken = *m;
    p->manifest = taken;
    if (rc == 0) rc = open_files(p, error);
    if (rc == 0) rc = parcel_save(p, error);
    if (rc == 0) {
        *m = (struct manifest){0};
        return 0;
    }
    struct manifest back = p->manifest;
    p->manifest = (struct manifest){.file_count = back.file_count};
    parcel_close(p);
    rmdir(path); /* unless something is in it */
    return rc;
}

void parcel_close(struct parcel *p) {
    for (size_t i = 0; p->files && i < p->manifest.file_count; i++) {
        if (p->files[i].data >= 0) close(p->files[i].data);
        if (p->files[i].map >= 0) close(p->files[i].map);
    }
    free(p->files);
    if (p->folder >= 0) close(p->folder);
    transfer_deinit(&p->transfer);
    manifest_deinit(&p->manifest);
    *p = (struct parcel){.folder = -1};
}

int parcel_sync(struct parcel *p, struct error *error) {
    for (size_t i = 0; i < p->manifest.file_count; i++)
        if (fdatasync(p->files[i].data) < 0 || fdatasync(p->files[i].map) < 0)
            return fail(p->path, manifest_file_name(&p->manifest, i), error);
    return 0;
}

int parcel_save(struct parcel *p, struct error *error) {
    char path[PARCEL_PATH_BYTES + sizeof MANIFEST_NAME];
    struct text json = {0};
    manifest_write(&p->manifest, &json);
    snprintf(path, sizeof path, "%s/" MANIFEST_NAME, p->path);
    int rc = json.failed ? error_set(error, ERR_NOMEM, "out of memory")
                         : file_replace(path, text_str(&json), json.len, error);
    text_deinit(&json);
    return rc;
}

int parcel_write(struct parcel *p, uint32_t file, uint64_t offset, const void *data, size_t len, struct error *error) {
    int rc = write_at(p->files[file].data, data, len, offset);
    if (rc == ERR_LIMIT)
        return error_set(error, rc,
                         "the disk is full: %.200s needs %llu MiB more. What is here is kept: make room and "
                         "pull again",
                         p->path, (unsigned long long)(transfer_missing_bytes(&p->transfer) >> 20) + 1);
    return rc < 0 ? fail(p->path, manifest_file_name(&p->manifest, file), error) : 0;
}

/* ---- folders ---- */

int parcel_manifest(const char *path, struct manifest *out, struct error *error) {
    char file[PARCEL_PATH_BYTES + sizeof MANIFEST_NAME];
    struct file f;
    snprintf(file, sizeof file, "%.4000s/" MANIFEST_NAME, path);
    int rc = file_open(&f, file, error);
    if (rc < 0) return rc;
    char *json = f.bytes <= MANIFEST_BYTES_MAX ? malloc(f.bytes + 1) : NULL;
    rc = json ? file_read_at(&f, 0, json, f.bytes, error) : error_set(error, ERR_LIMIT, "%s is too big", file);
    if (rc == 0) rc = manifest_read(out, json, f.bytes, error);
    free(json);
    file_close(&f);
    return rc;
}

int parcel_manifest_of(const char *path, struct manifest *out, char folder[PARCEL_PATH_BYTES]) {
    snprintf(folder, PARCEL_PATH_BYTES, "%s", path);
    char *slash = file_is_folder(path) ? NULL : strrchr(folder, '/');
    if (slash) *slash = '\0';
    return parcel_manifest(folder, out, NULL);
}

static bool list_plain(void *context, const struct dir_entry *entry) {
    struct listing *l = context;
    static const char *const kept[] = {".json", ".safetensors", ".jinja", ".gguf"};
    const char *dot = strrchr(entry->name, '.');
    bool wanted = false;
    for (size_t i = 0; dot && i < sizeof kept / sizeof *kept; i++) wanted |= strcmp(dot, kept[i]) == 0;
    if (entry->folder || !wanted || l->count == MANIFEST_FILES_MAX || strlen(entry->name) >= ORIGIN_NAME_BYTES)
        return true;
    struct listing_file *f = &l->files[l->count++];
    snprintf(f->path, sizeof f->path, "%s", entry->name);
    f->bytes = entry->bytes;
    return true;
}

static int add_plain_file(struct listing *l, const char *path, struct error *error) {
    struct listing_file *out = &l->files[l->count];
    const char *slash = strrchr(path, '/');
    struct file f;
    int rc = file_open(&f, path, error);
    if (rc < 0) return rc;
    snprintf(out->path, sizeof out->path, "%.500s", slash ? slash + 1 : path);
    out->bytes = f.bytes;
    l->count++;
    file_close(&f);
    return 0;
}

static int list_files(struct listing *l, const char *path, char folder[PARCEL_PATH_BYTES], struct error *error) {
    struct gguf_dir parts;
    snprintf(folder, PARCEL_PATH_BYTES, "%s", path);
    l->files = calloc(MANIFEST_FILES_MAX, sizeof *l->files);
    if (l->files == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    if (file_is_folder(path)) return dir_list(path, list_plain, l);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    int rc = gguf_dir_list(&parts, path, error);
    if (rc == 0 && parts.count > MANIFEST_FILES_MAX) rc = error_set(error, ERR_LIMIT, "the model has too many files");
    for (size_t i = 0; rc == 0 && i < parts.count; i++) rc = add_plain_file(l, parts.paths[i], error);
    gguf_dir_deinit(&parts);
    return rc;
}

int parcel_open_plain(struct parcel *p, const char *path, const char *name, const uint8_t *fingerprint,
                      struct error *error) {
    struct listing l = {0};
    *p = (struct parcel){.folder = -1};
    int rc = list_files(&l, path, p->path, error);
    manifest_add_name(&p->manifest, name);
    p->manifest.known = true;
    memcpy(p->manifest.fingerprint, fingerprint, sizeof p->manifest.fingerprint);
    if (rc == 0) rc = manifest_take_files(&p->manifest, &l, error);
    if (rc == 0) rc = transfer_init(&p->transfer, &p->manifest, 1, error);
    p->files = calloc(p->manifest.file_count + 1, sizeof *p->files);
    if (rc == 0 && p->files == NULL) rc = error_set(error, ERR_NOMEM, "out of memory");
    for (size_t i = 0; p->files && i < p->manifest.file_count; i++) p->files[i] = (struct parcel_file){-1, -1};
    for (size_t i = 0; rc == 0 && i < p->manifest.file_count; i++) {
        char file[PARCEL_PATH_BYTES + ORIGIN_NAME_BYTES];
        struct chunks *c = &p->transfer.files[i].chunks;
        snprintf(file, sizeof file, "%.4000s/%s", p->path, manifest_file_name(&p->manifest, i));
        p->files[i].data = open(file, O_RDONLY | O_CLOEXEC);
        if (p->files[i].data < 0) rc = fail(p->path, manifest_file_name(&p->manifest, i), error);
        for (uint32_t k = 0; k < c->count; k++) {
            chunks_set_have(c, k, chunks_size(c, k));
            chunks_set_state(c, k, CHUNK_HASHED);
        }
    }
    listing_deinit(&l);
    if (rc < 0) parcel_close(p);
    return rc;
}

int parcel_remove(const char *path, struct error *error) {
    struct manifest m;
    char map[ORIGIN_NAME_BYTES + 8];
    int rc = parcel_manifest(path, &m, error);
    if (rc < 0) return rc;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0) rc = fail(path, "", error);
    for (size_t i = 0; rc == 0 && i < m.file_count; i++) {
        const char *name = manifest_file_name(&m, i);
        map_name(&m, i, map);
        unlinkat(folder, map, 0);
        if (unlinkat(folder, name, 0) < 0 && errno != ENOENT) rc = fail(path, name, error);
    }
    if (rc == 0 && unlinkat(folder, MANIFEST_NAME, 0) < 0) rc = fail(path, MANIFEST_NAME, error);
    if (folder >= 0) close(folder);
    if (rc == 0) rmdir(path);
    manifest_deinit(&m);
    return rc;
}

static bool link_one(const char *path, const char *name, const char *other_path, const char *other_name,
                     const char *format) {
    char from[PARCEL_PATH_BYTES + ORIGIN_NAME_BYTES], to[PARCEL_PATH_BYTES + ORIGIN_NAME_BYTES];
    snprintf(from, sizeof from, format, other_path, other_name);
    snprintf(to, sizeof to, format, path, name);
    return link(from, to) == 0;
}

void parcel_link(const char *path, const char *name, const char *other_path, const char *other_name) {
    if (dir_make(path, NULL) == 0 && link_one(path, name, other_path, other_name, "%.4000s/%.500s"))
        link_one(path, name, other_path, other_name, "%.4000s/.%.500s.map");
}

uint64_t parcel_room(const char *path) {
    struct statvfs fs;
    if (statvfs(path, &fs) < 0) return UINT64_MAX;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return room > room_kept ? room - room_kept : 0;
}

static uint64_t used_in(const char *path) {
    uint64_t used = 0;
    DIR *dir = opendir(path);
    const struct dirent *found;
    struct stat st;
    while (dir && (found = readdir(dir)) != NULL)
        if (fstatat(dirfd(dir), found->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            used += (uint64_t)st.st_blocks * 512;
    if (dir) closedir(dir);
    return used;
}

static bool add_used(void *context, const struct dir_entry *entry) {
    if (entry->folder) *(uint64_t *)context += used_in(entry->path);
    return true;
}

uint64_t parcel_used(const char *path) {
    uint64_t used = used_in(path);
    dir_list(path, add_used, &used);
    return used;
}
