#include "os/memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/size.h"

/* The address space is locked while it is populated: with all at once the other threads would stand still for as long
 * as it takes, and the node with them would be taken for dead. */
enum { HUGE_PAGE_BYTES = 2 << 20, POPULATED_AT_ONCE_BYTES = 16 << 20 };

/* Cut an over-long mapping down to `bytes` that begin on a huge page. */
static void *align_mapping(char *start, size_t mapped_bytes, size_t bytes) {
    char *aligned = (char *)size_round_up((uintptr_t)start, HUGE_PAGE_BYTES);
    size_t before = (size_t)(aligned - start), after = mapped_bytes - before - bytes;
    if (before > 0) munmap(start, before);
    if (after > 0) munmap(aligned + bytes, after);
    return aligned;
}

/* Kernels before 5.14 cannot populate on demand; there the pages come when they are first touched. */
static bool populate_pages(char *data, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
    for (size_t at = 0; at < bytes; at += POPULATED_AT_ONCE_BYTES) {
        size_t left = bytes - at, piece = left < POPULATED_AT_ONCE_BYTES ? left : POPULATED_AT_ONCE_BYTES;
        if (madvise(data + at, piece, MADV_POPULATE_WRITE) < 0) return errno == EINVAL;
    }
#endif
    return true;
}

int memory_reserve(struct memory *m, size_t bytes, bool populate) {
    *m = (struct memory){0};
    if (bytes == 0) return 0;
    if (bytes > SIZE_MAX / 2) return ERR_NOMEM;
    size_t wanted = size_round_up(bytes, HUGE_PAGE_BYTES), mapped_bytes = wanted + HUGE_PAGE_BYTES;
    void *start = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return ERR_NOMEM;
    m->data = align_mapping(start, mapped_bytes, wanted);
    m->bytes = wanted;
    madvise(m->data, m->bytes, MADV_HUGEPAGE); /* only a wish: without huge pages it is slower, not wrong */
    if (populate && !populate_pages(m->data, m->bytes)) {
        memory_release(m);
        return ERR_NOMEM;
    }
    return 0;
}

void memory_release(struct memory *m) {
    if (m->data) munmap(m->data, m->bytes);
    *m = (struct memory){0};
}
