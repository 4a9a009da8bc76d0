/* tensor/plugin.c - backends in shared objects: the one file that loads code while a program runs. A program
 * that calls mt_backend_get alone does not link it. */
#include <stdio.h>
#include <string.h>

#include "backend.h"

#ifdef MT_HAVE_DLOPEN
#include <dlfcn.h>

static const char *precision_name(int bytes)
{
    return bytes == (int)sizeof(double) ? "double" : bytes == (int)sizeof(float) ? "float" : "other numbers";
}

/* Whether an object is a backend for this library; a sentence says why not. */
static mt_status check_plugin(const mt_backend_plugin *plugin, const char *path)
{
    if (!plugin)
        return mt_fail(
            MT_ERR_BACKEND,
            "%.200s shows no mt_backend_entry, so it is no backend; write MT_BACKEND_PLUGIN(...); in "
            "one of its files",
            path);
    if (plugin->version != MT_BACKEND_VERSION)
        return mt_fail(
            MT_ERR_BACKEND,
            "%.200s is a backend of version %d, and this library's are of version %d; compile it with "
            "this library's headers",
            path, plugin->version, MT_BACKEND_VERSION);
    if (plugin->real_bytes != (int)sizeof(mt_real))
        return mt_fail(
            MT_ERR_BACKEND,
            "%.200s computes in %s and this library in %s; compile it with the flags that pkg-config "
            "has for %s",
            path, precision_name(plugin->real_bytes), precision_name((int)sizeof(mt_real)),
            sizeof(mt_real) == sizeof(double) ? "minitorch_d" : "minitorch");
    if (!plugin->backend)
        return mt_fail(MT_ERR_BACKEND, "%.200s is a plugin without a backend; name one in it", path);
    return MT_OK;
}

/* The object stays loaded where its backend is there. */
static mt_backend *load(const char *path)
{
    char why[400] = "";
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const bool whole = object != NULL;
    if (!whole) {
        const char *told = dlerror();
        snprintf(why, sizeof why, "%s", told ? told : path);
        for (char *c = why; (c = strchr(c, '\n')); *c = ' ') {}
        object =
            dlopen(path, RTLD_LAZY | RTLD_LOCAL); /* its entry may tell more than a name that is missing */
    }
    mt_status status = MT_OK;
    const mt_backend_plugin *plugin = NULL;
    if (object) {
        plugin = dlsym(object, "mt_backend_entry");
        status = check_plugin(plugin, path);
    }
    if (status == MT_OK && !whole)
        status = mt_fail(MT_ERR_IO, "the backend %.200s cannot be loaded: %s", path, why);
    mt_backend *backend = status == MT_OK ? mt_backend_adopt(plugin->backend) : NULL;
    if (!backend && object) dlclose(object);
    return backend;
}
#else
static mt_backend *load(const char *path)
{
    mt_fail(
        MT_ERR_BACKEND,
        "%.200s cannot be loaded: this system has no dlopen; link the backend with the program, which calls "
        "mt_backend_register",
        path);
    return NULL;
}
#endif

mt_backend *mt_backend_open(const char *name)
{
    if (!name) return NULL;
    return strchr(name, '/') ? load(name) : mt_backend_get(name);
}
