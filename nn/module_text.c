/* nn/module_text.c - modules by dotted path, and the tree as text for people. */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ---- paths ---- */

/* Adds to text, as far as it has room. */
static void append(char *text, size_t size, const char *format, ...) MT_PRINTF(3, 4);
static void append(char *text, size_t size, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
}

/* Records that the part of path from name on was not found in module, and what is there. */
static void not_found(const mt_module *module, const char *what, const char *path, const char *name,
                      size_t length)
{
    char names[400] = "";
    for (int i = 0; i < module->parameters; i++)
        append(names, sizeof names, "%s%s", *names ? ", " : "parameters ", module->parameter[i].name);
    const char *first = *names ? "; children " : "children ";
    for (int i = 0; i < module->children; i++)
        append(names, sizeof names, "%s%s", i ? ", " : first, module->child[i]->name);
    if (strlen(names) == sizeof names - 1) memcpy(names + sizeof names - 4, "...", 3);
    int shown = length < 100 ? (int)length : 100;
    mt_fail(MT_ERR_NAME, "no %s \"%.100s\": %s%s%s has nothing of that kind named \"%.*s\"; it has %s", what,
            path, module->kind, module->name ? " " : "", module->name ? module->name : "", shown, name,
            *names ? names : "neither parameters nor children");
}

/* Follows the path up to its last part, where *last goes: the module that should have it, or NULL with a
 * sentence. *last is the whole path before. */
static const mt_module *follow(const mt_module *module, const char *what, const char *path, const char **last)
{
    if (!module || !path) return NULL;
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        const mt_module *child = mt_find_child(module, path, (size_t)(dot - path));
        if (!child) {
            not_found(module, what, *last, path, (size_t)(dot - path));
            return NULL;
        }
        module = child;
    }
    *last = path;
    return module;
}

mt_module *mt_module_child(mt_module *module, const char *path)
{
    const char *name = path;
    const mt_module *holder = follow(module, "module", path, &name);
    if (!holder) return NULL;
    mt_module *child = mt_find_child(holder, name, strlen(name));
    if (!child) not_found(holder, "module", path, name, strlen(name));
    return child;
}

mt_tensor *mt_module_parameter(mt_module *module, const char *path)
{
    const char *name = path;
    const mt_module *holder = follow(module, "parameter", path, &name);
    if (!holder) return NULL;
    mt_tensor *tensor = mt_find_parameter(holder, name, strlen(name));
    if (!tensor) not_found(holder, "parameter", path, name, strlen(name));
    return tensor;
}

/* ---- text ---- */

/* Where text goes: a buffer, as snprintf writes, or a stream. */
typedef struct {
    char *buffer;
    size_t size;
    FILE *stream;
    int64_t length;
    bool failed;
} writer;

static void put(writer *out, const char *format, ...) MT_PRINTF(2, 3);
static void put(writer *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written;
    if (out->stream)
        written = vfprintf(out->stream, format, arguments);
    else {
        size_t used = (uint64_t)out->length < out->size ? (size_t)out->length : out->size;
        written =
            vsnprintf(out->size > used ? out->buffer + used : NULL, out->size - used, format, arguments);
    }
    va_end(arguments);
    if (written < 0)
        out->failed = true;
    else
        out->length += written;
}

/* "layer1.inner." for a module two levels below root. */
static void put_prefix(writer *out, const mt_module *root, const mt_module *module)
{
    if (module == root) return;
    put_prefix(out, root, module->parent);
    put(out, "%s.", module->name);
}

int64_t mt_module_parameter_path(const mt_module *module, int i, char *buffer, size_t size)
{
    const mt_module *holder;
    const mt_named_parameter *found = mt_module_entry(module, i, &holder);
    if (!found || (!buffer && size)) return -1;
    writer out = {.buffer = buffer, .size = size};
    put_prefix(&out, module, holder);
    put(&out, "%s", found->name);
    return out.length;
}

static void put_tree(writer *out, const mt_module *module, int level)
{
    char text[MT_SHAPE_TEXT];
    put(out, "%*s", 2 * level, "");
    if (level) put(out, "%s: ", module->name);
    put(out, "%s", module->kind);
    if (!level) put(out, ", %" PRId64 " parameters", mt_module_count(module));
    if (module->status != MT_OK) put(out, ", failed: %s", module->message);
    put(out, "\n");
    for (int i = 0; i < module->parameters; i++) {
        const mt_named_parameter *p = &module->parameter[i];
        put(out, "%*s%s %s%s\n", 2 * level + 2, "", p->name, mt_shape_text(mt_tensor_shape(p->tensor), text),
            mt_requires_grad(p->tensor) ? "" : ", frozen");
    }
    for (int i = 0; i < module->children; i++) put_tree(out, module->child[i], level + 1);
}

int64_t mt_module_format(const mt_module *module, char *buffer, size_t size)
{
    if (!module || (!buffer && size)) return -1;
    writer out = {.buffer = buffer, .size = size};
    put_tree(&out, module, 0);
    if (!out.failed) return out.length;
    mt_fail(MT_ERR_VALUE, "module_format: the text of %s could not be written", module->kind);
    return -1;
}

mt_status mt_module_print(FILE *stream, const mt_module *module)
{
    if (!stream || !module) return MT_ERR_NULL;
    writer out = {.stream = stream};
    put_tree(&out, module, 0);
    if (out.failed || fflush(stream) != 0)
        return mt_fail(MT_ERR_IO, "module_print: cannot write: %s", strerror(errno));
    return MT_OK;
}
