/* openblas.c - finds OpenBLAS and its functions (see openblas.h). */
#define _DEFAULT_SOURCE /* madvise */
#define _POSIX_C_SOURCE 200809L
#include "openblas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bind.h"

float *openblas_numbers(size_t count)
{
    const size_t bytes = count * sizeof(float), huge = (size_t)2 << 20, align = bytes < huge ? 64 : huge;
    float *memory = aligned_alloc(align, (bytes + align - 1) / align * align);
#ifdef MADV_HUGEPAGE
    if (memory != NULL && align == huge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

/* dlsym gives an object pointer; POSIX has the bytes of a function's address be the same. */
static bool look_up(void *library, const char *name, void *function, size_t size)
{
    void *address = dlsym(library, name);
    if (address == NULL || size != sizeof address) return false;
    memcpy(function, &address, size);
    return true;
}

bool openblas_open(openblas *blas, int threads)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so", "libopenblas.dylib"};
    void *library = NULL;
    bench_unbind(); /* its threads inherit what ours may use */
    *blas = (openblas){.sgemm = NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names && library == NULL; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(blas->about, sizeof blas->about, "not installed (Debian: apt install libopenblas0)");
        return false;
    }
    char *(*core)(void) = NULL, *(*config)(void) = NULL;
    if (!look_up(library, "cblas_sgemm", &blas->sgemm, sizeof blas->sgemm) ||
        !look_up(library, "cblas_saxpy", &blas->saxpy, sizeof blas->saxpy) ||
        !look_up(library, "openblas_set_num_threads", &blas->set_threads, sizeof blas->set_threads)) {
        snprintf(blas->about, sizeof blas->about,
                 "installed, but without cblas_sgemm, cblas_saxpy or "
                 "openblas_set_num_threads");
        return false;
    }
    blas->set_threads(threads);
    char version[32] = "OpenBLAS";
    if (look_up(library, "openblas_get_config", &config, sizeof config)) {
        char word[2][16] = {"", ""};
        if (sscanf(config(), "%15s %15s", word[0], word[1]) == 2)
            snprintf(version, sizeof version, "%s %s", word[0], word[1]);
    }
    const char *wish = getenv("OPENBLAS_CORETYPE");
    const bool named = look_up(library, "openblas_get_corename", &core, sizeof core);
    snprintf(blas->about, sizeof blas->about, "%s, core type %s%s%s", version, named ? core() : "unknown",
             wish != NULL ? ", OPENBLAS_CORETYPE=" : ", OPENBLAS_CORETYPE not set", wish != NULL ? wish : "");
    return true;
}
