/* tests/test_unload.c - a program that loads the library, computes with several threads and lets go of it,
 * many times over, as a host of plugins does.
 *
 *     test_unload LIBRARY
 *
 * The threads of OpenMP wait in the code of its runtime, and the library keeps the workspaces of its calls,
 * so neither may be unmapped: dlclose leaves the library where it is (-z nodelete), and the next dlopen finds
 * it again with all it holds. Without that the first dlclose crashes where the runtime goes with the library,
 * and each round leaves a workspace behind.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "minitorch.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEPS_FREED true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KEEPS_FREED true
#endif
#ifndef KEEPS_FREED
#define KEEPS_FREED false
#endif

enum { ROUNDS = 300, WARM = 20, N = 256, MOST_GROWTH = 16 << 20 };

#define TEXT(name) #name
#define NAME(name) TEXT(name) /* of the double library too, whose names are macros */
#define FIND(pointer, function) \
    __typeof__(function) *const pointer = (__typeof__(function) *)dlsym(library, NAME(function))

/* Bytes of this process in memory; 0 where the system does not say. */
static double resident(void)
{
    double pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%*s %lf", &pages) != 1) pages = 0;
    if (file != NULL) fclose(file);
    return pages * (double)sysconf(_SC_PAGESIZE);
}

/* NULL, or what went wrong. */
static const char *multiply(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return dlerror();
    FIND(threads, mt_set_threads);
    FIND(get, mt_backend_get);
    FIND(full, mt_full);
    FIND(product, mt_op_matmul);
    FIND(select, mt_tensor_select);
    FIND(item, mt_item);
    FIND(release, mt_tensor_free);
    if (!threads || !get || !full || !product || !item || !select || !release) return "a function is missing";

    mt_backend *cpu = get("cpu");
    mt_tensor *x = full(cpu, mt_shape(N, N), 0.5), *y = full(cpu, mt_shape(N, N), 0);
    const bool good = threads(2) == MT_OK && product(y, x, x) == MT_OK;
    mt_tensor *row = select(y, 0, N - 1), *corner = select(row, 0, N - 1);
    const double value = item(corner);
    mt_tensor *const all[] = {corner, row, y, x};
    for (int i = 0; i < 4; i++) release(all[i]);
    if (dlclose(library) != 0) return dlerror();
    return good && value == N / 4.0 ? NULL : "a product is wrong";
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: test_unload LIBRARY\n"), 2;
    double before = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const char *problem = multiply(argv[1]);
        if (problem != NULL) return fprintf(stderr, "round %d: %s\n", i + 1, problem), 1;
        if (i + 1 == WARM) before = resident();
    }
    const double growth = resident() - before;
    printf("%d rounds; from round %d on the process grew by %.0f kB\n", ROUNDS, WARM, growth / 1024);
    if (KEEPS_FREED)
        printf("not checked: growth; AddressSanitizer keeps what was freed for a while\n");
    else if (growth > MOST_GROWTH)
        return fprintf(stderr, "at most %d kB are allowed\n", MOST_GROWTH / 1024), 1;
    printf("summary: unload rounds=%d failed=0\n", ROUNDS);
    return 0;
}
