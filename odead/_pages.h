/* Memory in large pages, where Linux has them: 4 KB of new memory take 0.5 us or more to get, most of it for the page. */
#ifndef ODEAD_PAGES_H
#define ODEAD_PAGES_H

#include <stdint.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { ODEAD_PAGE = 4096, ODEAD_MANY_BYTES = 1 << 22, ODEAD_TOO_MANY_BYTES = 1 << 26 };

/* Ask for them; nothing happens where there are none. Not for very many: a virtual machine may have to get each large page back
 * from its host, and 64 MB took from 4.5 to 103 ms in them, and 27 ms in small ones. */
static inline void odead_use_large_pages(void *data, int64_t bytes)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t start = ((uintptr_t)data + ODEAD_PAGE - 1) / ODEAD_PAGE * ODEAD_PAGE;
    if (bytes >= ODEAD_MANY_BYTES && bytes <= ODEAD_TOO_MANY_BYTES)
        madvise((void *)start, (uintptr_t)data + (uintptr_t)bytes - start, MADV_HUGEPAGE);
#else
    (void)data, (void)bytes;
#endif
}

#endif
