/* tensor/backend.c - the list of backends: the four that the library knows, and those that a program
 * registers. */
#include "backend.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    mt_backend *(*get)(void);
} built_in[] = {
    {"cpu", "OpenMP threads and vector instructions", mt_backend_cpu},
    {"simple", "one index at a time on one thread, to compare with", mt_backend_simple},
    {"gpu", "CUDA kernels on an NVIDIA GPU", mt_backend_gpu},
    {"gpu-sim", "the CUDA kernels on the CPU, with every access checked", mt_backend_gpu_sim},
};

enum { BUILT_IN = sizeof built_in / sizeof *built_in, MOST_REGISTERED = 16 };

static mt_backend registered[MOST_REGISTERED];
static const mt_backend *sources[MOST_REGISTERED];
static atomic_int registered_count;
static atomic_flag registering = ATOMIC_FLAG_INIT;

const char *mt_backend_name(int i)
{
    if (i < 0 || i >= BUILT_IN + atomic_load(&registered_count)) return NULL;
    return i < BUILT_IN ? built_in[i].name : registered[i - BUILT_IN].name;
}

const char *mt_backend_summary(int i)
{
    if (i < 0 || i >= BUILT_IN + atomic_load(&registered_count)) return NULL;
    return i < BUILT_IN ? built_in[i].summary : registered[i - BUILT_IN].summary;
}

mt_backend *mt_backend_get(const char *name)
{
    if (!name) return NULL;
    char names[256] = "";
    const char *candidate;
    for (int i = 0; (candidate = mt_backend_name(i)); i++) {
        if (strcmp(candidate, name) == 0) return i < BUILT_IN ? built_in[i].get() : &registered[i - BUILT_IN];
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", candidate);
    }
    mt_fail(MT_ERR_NAME, "no backend is called \"%.40s\"; there are %s%s", name, names,
            strchr(name, '/') ? "; mt_backend_open loads one from a path" : "");
    return NULL;
}

/* ---- what stands in for a slot that is missing ---- */

static mt_status absent(const mt_backend *backend, const char *slot, const char *text)
{
    return mt_fail(MT_ERR_BACKEND,
                   "backend %.40s lacks the slot %s (%s), and its memory is not the host's, where simple "
                   "would do that; give it one",
                   backend->name, slot, text);
}

#define FOR_WORK(result, slot, parameters, text) \
    static result absent_##slot parameters { return absent(backend, #slot, text); }
#define FOR_MEMORY(result, slot, parameters, text)
#define FOR_NOTE(result, slot, parameters, text)
#define MT_SLOT(need, result, slot, parameters, text) FOR_##need(result, slot, parameters, text)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter" /* each is as long as its slot, and reads the first */
#include "slots.inc"
#pragma GCC diagnostic pop

#define ABSENT_WORK(slot)   absent_##slot
#define ABSENT_MEMORY(slot) NULL
#define ABSENT_NOTE(slot)   NULL

/* Fills in what a backend lacks; an error where nothing can stand in. */
static mt_status complete(mt_backend *whole)
{
    enum { MEMORY, WORK, NOTE };
    const mt_backend *simple = mt_backend_simple();
    if (!whole->allocate != !whole->release)
        return mt_fail(MT_ERR_VALUE,
                       "backend %.40s has one of allocate and release; give it both, or neither",
                       whole->name);
#define MT_SLOT(need, result, slot, parameters, text)                                               \
    if (!whole->slot) whole->slot = whole->host ? simple->slot : ABSENT_##need(slot);               \
    if (need == MEMORY && !whole->slot)                                                             \
        return mt_fail(                                                                             \
            MT_ERR_VALUE,                                                                           \
            "backend %.40s lacks the slot %s (%s), which memory that is not the host's needs; set " \
            ".host = true where the program may read and write it",                                 \
            whole->name, #slot, text);
#include "slots.inc"
    return MT_OK;
}

/* ---- registering ---- */

/* Copies a backend of any header's size into one of this header's; a slot that it does not reach is NULL. */
static mt_status take(mt_backend *whole, const mt_backend *backend)
{
    enum { LEAST = offsetof(mt_backend, allocate), MOST = 1 << 16 };
    const size_t size = backend->size;
    if (size < LEAST || size > MOST || size % sizeof(void (*)(void)) != 0)
        return mt_fail(
            MT_ERR_VALUE,
            "no backend has %zu bytes; begin it with .size = sizeof(mt_backend), which is %zu here", size,
            sizeof *whole);
    memcpy(whole, backend, size < sizeof *whole ? size : sizeof *whole);
    whole->size = sizeof *whole;
    if (whole->name && (!*whole->name || strchr(whole->name, '/')))
        return mt_fail(MT_ERR_NAME, "a backend cannot be called \"%.40s\"; give it a name, without a slash",
                       whole->name);
    if (whole->name && whole->summary) return MT_OK;
    return mt_fail(MT_ERR_VALUE, "a backend needs a name and a summary; %.40s lacks %s",
                   whole->name ? whole->name : "one", whole->name ? "a summary" : "a name");
}

/* source: the backend itself, where it stays there and may be added again; or NULL. */
static mt_status add(const mt_backend *backend, const mt_backend *source, mt_backend **added)
{
    mt_backend whole = {0};
    mt_status status = take(&whole, backend);
    if (status == MT_OK) status = complete(&whole);
    if (status != MT_OK) return status;
    while (atomic_flag_test_and_set(&registering)) {}
    const int count = atomic_load(&registered_count);
    const char *name;
    *added = NULL;
    for (int i = 0; i < count && source; i++)
        if (sources[i] == source) *added = &registered[i];
    for (int i = 0; (name = mt_backend_name(i)) && !*added; i++)
        if (strcmp(name, whole.name) == 0)
            status = mt_fail(MT_ERR_NAME, "a backend called \"%.40s\" is there already; choose another name",
                             name);
    if (status == MT_OK && !*added && count == MOST_REGISTERED)
        status = mt_fail(MT_ERR_VALUE, "%d backends are registered already, the most there can be",
                         MOST_REGISTERED);
    if (status == MT_OK && !*added) {
        sources[count] = source;
        registered[count] = whole;
        *added = &registered[count];
        atomic_store(&registered_count, count + 1);
    }
    atomic_flag_clear(&registering);
    return status;
}

mt_status mt_backend_register(const mt_backend *backend)
{
    mt_backend *added;
    return backend ? add(backend, NULL, &added) : MT_ERR_NULL;
}

mt_backend *mt_backend_adopt(const mt_backend *backend)
{
    mt_backend *added = NULL;
    return add(backend, backend, &added) == MT_OK ? added : NULL;
}
