/* nn/module_text.c - the tree, and paths in it, as text. */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

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

static int64_t put_path(const mt_module *module, mt_tree_list which, int i, char *buffer, size_t size)
{
    const mt_module *holder;
    const mt_named_tensor *found = mt_module_entry(module, which, i, &holder);
    if (!found || (!buffer && size)) return -1;
    writer out = {.buffer = buffer, .size = size};
    put_prefix(&out, module, holder);
    put(&out, "%s", found->name);
    return out.length;
}

int64_t mt_module_parameter_path(const mt_module *module, int i, char *buffer, size_t size)
{
    return put_path(module, MT_TREE_PARAMETERS, i, buffer, size);
}

int64_t mt_module_buffer_path(const mt_module *module, int i, char *buffer, size_t size)
{
    return put_path(module, MT_TREE_BUFFERS, i, buffer, size);
}

static void put_tensors(writer *out, const mt_module *module, mt_tree_list which, int level)
{
    char text[MT_SHAPE_TEXT];
    const mt_named_list *list = &module->list[which];
    for (int i = 0; i < list->count; i++) {
        const mt_tensor *x = list->entry[i].tensor;
        const char *more = which == MT_TREE_PARAMETERS     ? mt_requires_grad(x) ? "" : ", frozen"
                           : mt_tensor_kind(x) == MT_INDEX ? ", buffer of INDEX"
                                                           : ", buffer";
        put(out, "%*s%s %s%s\n", 2 * level, "", list->entry[i].name, mt_shape_text(mt_tensor_shape(x), text),
            more);
    }
}

static void put_tree(writer *out, const mt_module *module, int level)
{
    put(out, "%*s", 2 * level, "");
    if (level) put(out, "%s: ", module->name);
    put(out, "%s", module->kind);
    if (!level) put(out, ", %" PRId64 " parameters", mt_module_count(module));
    if (!level && mt_module_buffers(module) > 0)
        put(out, ", %" PRId64 " in buffers", mt_module_buffer_count(module));
    if (module->status != MT_OK) put(out, ", failed: %s", module->message);
    put(out, "\n");
    for (int k = 0; k < MT_TREE_LISTS; k++) put_tensors(out, module, (mt_tree_list)k, level + 1);
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
