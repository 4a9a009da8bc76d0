/* nn/module_find.c - modules, parameters and buffers by number and by dotted path, and the values of one tree
 * copied to another.
 */
#include "tree.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "../tensor/ops.h"

const mt_tree_word mt_tree_words[MT_TREE_LISTS] = {{"parameter", "parameters"}, {"buffer", "buffers"}};

/* ---- by number ---- */

int mt_module_children(const mt_module *module) { return module ? module->children : 0; }

mt_module *mt_module_child_at(const mt_module *module, int i)
{
    if (!module) return NULL;
    if (i >= 0 && i < module->children) return module->child[i];
    mt_fail(MT_ERR_INDEX, "module_child_at: %s has %d children, there is no child %d", module->kind,
            module->children, i);
    return NULL;
}

const char *mt_module_name(const mt_module *module) { return module && module->name ? module->name : ""; }

const char *mt_module_kind(const mt_module *module) { return module ? module->kind : ""; }

static int64_t numbers(const mt_module *module, mt_tree_list which)
{
    const mt_named_list *list = &module->list[which];
    int64_t count = 0;
    for (int i = 0; i < list->count; i++) count += mt_tensor_count(list->entry[i].tensor);
    for (int i = 0; i < module->children; i++) count += numbers(module->child[i], which);
    return count;
}

int64_t mt_module_count(const mt_module *module) { return module ? numbers(module, MT_TREE_PARAMETERS) : -1; }

int64_t mt_module_buffer_count(const mt_module *module)
{
    return module ? numbers(module, MT_TREE_BUFFERS) : -1;
}

static int tensors(const mt_module *module, mt_tree_list which)
{
    if (!module) return 0;
    int count = module->list[which].count;
    for (int i = 0; i < module->children; i++) count += tensors(module->child[i], which);
    return count;
}

int mt_module_parameters(const mt_module *module) { return tensors(module, MT_TREE_PARAMETERS); }

int mt_module_buffers(const mt_module *module) { return tensors(module, MT_TREE_BUFFERS); }

/* The i-th tensor below module, and the module that holds it; *i falls by what was passed on the way. */
static const mt_named_tensor *nth(const mt_module *module, mt_tree_list which, int *i,
                                  const mt_module **holder)
{
    const mt_named_list *list = &module->list[which];
    *holder = module;
    if (*i < list->count) return &list->entry[*i];
    *i -= list->count;
    for (int c = 0; c < module->children; c++) {
        const mt_named_tensor *found = nth(module->child[c], which, i, holder);
        if (found) return found;
    }
    return NULL;
}

const mt_named_tensor *mt_module_entry(const mt_module *module, mt_tree_list which, int i,
                                       const mt_module **holder)
{
    int left = i;
    const mt_named_tensor *found = module && i >= 0 ? nth(module, which, &left, holder) : NULL;
    if (module && !found)
        mt_fail(MT_ERR_INDEX, "%s has %d %s, there is no %s %d", module->kind, tensors(module, which),
                mt_tree_words[which].many, mt_tree_words[which].one, i);
    return found;
}

static mt_tensor *tensor_at(const mt_module *module, mt_tree_list which, int i)
{
    const mt_module *holder;
    const mt_named_tensor *found = mt_module_entry(module, which, i, &holder);
    return found ? found->tensor : NULL;
}

mt_tensor *mt_module_parameter_at(const mt_module *module, int i)
{
    return tensor_at(module, MT_TREE_PARAMETERS, i);
}

mt_tensor *mt_module_buffer_at(const mt_module *module, int i)
{
    return tensor_at(module, MT_TREE_BUFFERS, i);
}

/* ---- by path ---- */

mt_module *mt_find_child(const mt_module *module, const char *name, size_t length)
{
    for (int i = 0; i < module->children; i++) {
        const char *candidate = module->child[i]->name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) return module->child[i];
    }
    return NULL;
}

mt_tensor *mt_find_tensor(const mt_module *module, mt_tree_list which, const char *name, size_t length)
{
    const mt_named_list *list = &module->list[which];
    for (int i = 0; i < list->count; i++) {
        const char *candidate = list->entry[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) return list->entry[i].tensor;
    }
    return NULL;
}

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

/* Records that the part of path from name on was not found in module, and what is there: "parameters w, b;
 * children layer1". */
static void not_found(const mt_module *module, const char *what, const char *path, const char *name,
                      size_t length)
{
    char names[400] = "";
    for (int k = 0; k < MT_TREE_LISTS; k++) {
        const mt_named_list *list = &module->list[k];
        for (int i = 0; i < list->count; i++)
            append(names, sizeof names, "%s%s%s%s", i == 0 && *names ? "; " : "",
                   i ? ", " : mt_tree_words[k].many, i ? "" : " ", list->entry[i].name);
    }
    for (int i = 0; i < module->children; i++)
        append(names, sizeof names, "%s%s%s", i == 0 && *names ? "; " : "", i ? ", " : "children ",
               module->child[i]->name);
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

static mt_tensor *tensor_of_path(const mt_module *module, mt_tree_list which, const char *path)
{
    const char *name = path;
    const mt_module *holder = follow(module, mt_tree_words[which].one, path, &name);
    if (!holder) return NULL;
    mt_tensor *tensor = mt_find_tensor(holder, which, name, strlen(name));
    if (!tensor) not_found(holder, mt_tree_words[which].one, path, name, strlen(name));
    return tensor;
}

mt_tensor *mt_module_parameter(mt_module *module, const char *path)
{
    return tensor_of_path(module, MT_TREE_PARAMETERS, path);
}

mt_tensor *mt_module_buffer(mt_module *module, const char *path)
{
    return tensor_of_path(module, MT_TREE_BUFFERS, path);
}

/* ---- values ---- */

/* Whether both trees have the same tensors and children by name, tensors of equal shape and kind. */
static mt_status check_alike(const mt_module *to, const mt_module *from)
{
    char text[MT_SHAPE_TEXT], text_from[MT_SHAPE_TEXT];
    for (int k = 0; k < MT_TREE_LISTS; k++) {
        const mt_named_list *list = &to->list[k];
        if (list->count != from->list[k].count)
            return mt_fail(MT_ERR_NAME, "module_copy: %s %s has %d %s and %s %s has %d; make both alike",
                           to->kind, mt_module_name(to), list->count, mt_tree_words[k].many, from->kind,
                           mt_module_name(from), from->list[k].count);
        for (int i = 0; i < list->count; i++) {
            const char *name = list->entry[i].name;
            const mt_tensor *x = list->entry[i].tensor,
                            *y = mt_find_tensor(from, (mt_tree_list)k, name, strlen(name));
            if (!y)
                return mt_fail(MT_ERR_NAME, "module_copy: %s %s has a %s named \"%s\" and %s has none",
                               to->kind, mt_module_name(to), mt_tree_words[k].one, name, from->kind);
            if (!mt_same_shape(x, y))
                return mt_fail(MT_ERR_SHAPE,
                               "module_copy: %s %s is of shape %s and would be copied from one of %s",
                               mt_tree_words[k].one, name, mt_shape_text(mt_tensor_shape(x), text),
                               mt_shape_text(mt_tensor_shape(y), text_from));
            if (x->kind != y->kind)
                return mt_fail(
                    MT_ERR_KIND, "module_copy: buffer %s holds %s in the one module and %s in the other",
                    name, x->kind == MT_INDEX ? "INDEX" : "REAL", y->kind == MT_INDEX ? "INDEX" : "REAL");
        }
    }
    if (to->children != from->children)
        return mt_fail(MT_ERR_NAME, "module_copy: %s %s has %d children and %s %s has %d; make both alike",
                       to->kind, mt_module_name(to), to->children, from->kind, mt_module_name(from),
                       from->children);
    mt_status status = MT_OK;
    for (int i = 0; i < to->children && status == MT_OK; i++) {
        const char *name = to->child[i]->name;
        const mt_module *child = mt_find_child(from, name, strlen(name));
        status = child ? check_alike(to->child[i], child)
                       : mt_fail(MT_ERR_NAME, "module_copy: %s %s has a child named \"%s\" and %s has none",
                                 to->kind, mt_module_name(to), name, from->kind);
    }
    return status;
}

static mt_status copy_tensor(mt_tensor *to, const mt_tensor *from)
{
    if (to->storage->backend == from->storage->backend) return mt_op_copy(to, from);
    mt_tensor *here = mt_tensor_to(from, to->storage->backend);
    const mt_status status = here ? mt_op_copy(to, here) : mt_last_status();
    mt_tensor_free(here);
    return status;
}

static mt_status copy_values(mt_module *to, const mt_module *from)
{
    mt_status status = MT_OK;
    for (int k = 0; k < MT_TREE_LISTS; k++) {
        const mt_named_list *list = &to->list[k];
        for (int i = 0; i < list->count && status == MT_OK; i++) {
            const char *name = list->entry[i].name;
            status =
                copy_tensor(list->entry[i].tensor, mt_find_tensor(from, (mt_tree_list)k, name, strlen(name)));
        }
    }
    for (int i = 0; i < to->children && status == MT_OK; i++) {
        const char *name = to->child[i]->name;
        status = copy_values(to->child[i], mt_find_child(from, name, strlen(name)));
    }
    return status;
}

mt_status mt_module_copy(mt_module *to, const mt_module *from)
{
    if (!to || !from) return MT_ERR_NULL;
    if (to == from) return MT_OK;
    const mt_status status = check_alike(to, from);
    return status == MT_OK ? copy_values(to, from) : status;
}
