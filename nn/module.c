/* nn/module.c - the tree: building it, who owns what, failures, forward.
 *
 * A node keeps its children, parameters and buffers in arrays, in the order of adding. A failure is noted in
 * the node where it happened and in every node above it, so that asking the root is enough. Walks recurse: a
 * tree is as deep as a model.
 */
#include "../autodiff/node.h"
#include "tree.h"

#include <string.h>

/* ---- memory ---- */

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = mt_alloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

static void free_text(char *text)
{
    if (text) mt_free(text, strlen(text) + 1);
}

/* Makes room for one more entry in an array of `used` entries; false with a sentence when there is no memory.
 */
static bool grow(void **array, int used, int *room, size_t entry)
{
    if (used < *room) return true;
    int larger = *room ? *room * 2 : 4;
    void *moved = mt_alloc((size_t)larger * entry);
    if (!moved) return false;
    if (used) memcpy(moved, *array, (size_t)used * entry);
    mt_free(*array, (size_t)*room * entry);
    *array = moved;
    *room = larger;
    return true;
}

mt_module *mt_module_new(const char *kind, mt_forward_fn forward)
{
    if (!kind || !forward) {
        mt_fail(MT_ERR_VALUE, "module_new: a module needs a %s",
                kind ? "forward function" : "kind, a short text");
        return NULL;
    }
    mt_module *module = mt_alloc_zeroed(sizeof *module);
    if (!module) return NULL;
    module->kind = copy_text(kind);
    if (!module->kind) {
        mt_free(module, sizeof *module);
        return NULL;
    }
    module->forward = forward;
    module->training = true;
    return module;
}

static void free_tree(mt_module *module)
{
    for (int i = module->children - 1; i >= 0; i--) free_tree(module->child[i]);
    for (int k = 0; k < MT_TREE_LISTS; k++) {
        mt_named_list *list = &module->list[k];
        for (int i = list->count - 1; i >= 0; i--) {
            mt_tensor_free(list->entry[i].tensor);
            free_text(list->entry[i].name);
        }
        mt_free(list->entry, (size_t)list->room * sizeof *list->entry);
    }
    if (module->release) module->release(module->context);
    mt_free(module->child, (size_t)module->child_room * sizeof *module->child);
    free_text(module->kind);
    free_text(module->name);
    mt_free(module, sizeof *module);
}

mt_status mt_module_free(mt_module *module)
{
    if (!module) return MT_OK;
    if (module->parent)
        return mt_fail(MT_ERR_STATE,
                       "module_free: %s is child \"%s\" of %s, which frees it; free the root of the tree",
                       module->kind, module->name, module->parent->kind);
    free_tree(module);
    return MT_OK;
}

/* ---- failures ---- */

/* Notes the thread's latest failure in module and everything above, where none was noted yet. The text says
 * what was being done. */
static mt_status note_failure(mt_module *module, mt_status status, const char *message)
{
    for (mt_module *m = module; m; m = m->parent) {
        if (m->status != MT_OK) continue;
        m->status = status;
        snprintf(m->message, sizeof m->message, "%s", message);
    }
    return status;
}

/* The same for something that arrived as NULL: what failed before is the reason. */
static mt_status note_null(mt_module *module, const char *what, const char *name)
{
    char text[sizeof module->message];
    mt_status status = mt_last_status();
    snprintf(text, sizeof text, "%s%s%s of %s could not be made: %s", what, name ? " " : "", name ? name : "",
             module->kind,
             status != MT_OK ? mt_last_message() : "it is NULL, and no failure was recorded before");
    return note_failure(module, status != MT_OK ? status : MT_ERR_STATE, text);
}

mt_status mt_module_status(const mt_module *module) { return module ? module->status : MT_ERR_NULL; }

const char *mt_module_message(const mt_module *module)
{
    return module ? module->message : mt_last_message();
}

/* ---- building ---- */

static mt_status set_context(mt_module *module, void *context, void (*release)(void *context))
{
    mt_status status = MT_OK;
    if (!module)
        status = MT_ERR_NULL;
    else if (!context)
        status = note_null(module, "the context", NULL);
    else if (module->context)
        status = note_failure(
            module,
            mt_fail(MT_ERR_STATE, "module %s has its context already; it is given once", module->kind),
            mt_last_message());
    if (status == MT_OK) {
        module->context = context;
        module->release = release;
    } else if (context && release)
        release(context);
    return status;
}

mt_status mt_module_own_context(mt_module *module, void *context, void (*release)(void *context))
{
    if (!release)
        return mt_fail(MT_ERR_VALUE,
                       "module_own_context: there is no function that releases the context; use "
                       "mt_module_borrow_context when nothing has to be released");
    return set_context(module, context, release);
}

mt_status mt_module_borrow_context(mt_module *module, void *context)
{
    return set_context(module, context, NULL);
}

/* A new name of module must be non-empty, without dots and not taken. */
static mt_status check_name(const mt_module *module, const char *name)
{
    if (!name || !*name)
        return mt_fail(MT_ERR_NAME, "module %s: a child, parameter or buffer needs a name that is not empty",
                       module->kind);
    if (strchr(name, '.'))
        return mt_fail(MT_ERR_NAME,
                       "module %s: the name \"%s\" has a dot in it, which separates the parts of a path; "
                       "leave it out",
                       module->kind, name);
    const size_t length = strlen(name);
    const char *taken = mt_find_child(module, name, length) ? "child" : NULL;
    for (int k = 0; k < MT_TREE_LISTS; k++)
        if (mt_find_tensor(module, (mt_tree_list)k, name, length)) taken = mt_tree_words[k].one;
    if (taken)
        return mt_fail(MT_ERR_NAME, "module %s has a %s named \"%s\" already; choose another name",
                       module->kind, taken, name);
    return MT_OK;
}

static bool stands_above(const mt_module *candidate, const mt_module *module)
{
    for (; module; module = module->parent)
        if (module == candidate) return true;
    return false;
}

mt_module *mt_module_add(mt_module *parent, const char *name, mt_module *child)
{
    if (!child) {
        if (parent) note_null(parent, "child", name);
        return NULL;
    }
    if (!parent) {
        if (!child->parent) free_tree(child);
        return NULL;
    }
    if (child->parent || stands_above(child, parent)) {
        mt_fail(MT_ERR_STATE,
                "module %s: %s cannot become its child, because it %s; a module has one place in one tree",
                parent->kind, child->kind,
                child->parent ? "has a parent already" : "is the module itself or above it");
        note_failure(parent, MT_ERR_STATE, mt_last_message());
        return NULL;
    }
    mt_status status = check_name(parent, name);
    if (status == MT_OK && child->status != MT_OK) status = mt_fail(child->status, "%s", child->message);
    char *copy = status == MT_OK ? copy_text(name) : NULL;
    if (status == MT_OK && (!copy || !grow((void **)&parent->child, parent->children, &parent->child_room,
                                           sizeof *parent->child)))
        status = MT_ERR_MEMORY;
    if (status != MT_OK) {
        note_failure(parent, status, mt_last_message());
        free_text(copy);
        free_tree(child);
        return NULL;
    }
    child->name = copy;
    child->parent = parent;
    parent->child[parent->children++] = child;
    return child;
}

/* Whether a tensor may become a buffer; a parameter is asked by mt_require_grad. */
static mt_status check_buffer(const mt_module *module, const char *name, const mt_tensor *tensor)
{
    mt_status status = mt_tensor_check(tensor, "module_add_buffer");
    if (status == MT_OK && (tensor->lifetime || tensor->is_view || tensor->is_gradient))
        status =
            mt_fail(MT_ERR_STATE,
                    "module_add_buffer: \"%s\" of %s is a view, a gradient or the result of an operation; "
                    "give a tensor that a constructor made, such as a copy by mt_keep",
                    name, module->kind);
    if (status == MT_OK && tensor->requires_grad)
        status =
            mt_fail(MT_ERR_STATE,
                    "module_add_buffer: \"%s\" of %s requires a gradient, which no buffer has; add it with "
                    "mt_module_add_parameter, or take the mark away with mt_require_grad",
                    name, module->kind);
    return status;
}

static mt_tensor *add_tensor(mt_module *module, mt_tree_list which, const char *name, mt_tensor *tensor)
{
    if (!tensor) {
        if (module) note_null(module, mt_tree_words[which].one, name);
        return NULL;
    }
    const bool usable =
        mt_tensor_check(tensor, which ? "module_add_buffer" : "module_add_parameter") == MT_OK;
    const bool elsewhere = usable && (tensor->in_module || (tensor->is_gradient && !tensor->is_view));
    if (!module) {
        if (!elsewhere) mt_tensor_free(tensor);
        return NULL;
    }
    mt_named_list *list = &module->list[which];
    mt_status status = usable ? MT_OK : mt_last_status();
    if (elsewhere)
        status =
            mt_fail(MT_ERR_STATE,
                    "module %s: the tensor given as \"%s\" belongs to a module already, or is a gradient, "
                    "and is freed there; give a copy, made with mt_tensor_copy",
                    module->kind, name ? name : "");
    if (status == MT_OK) status = check_name(module, name);
    if (status == MT_OK)
        status =
            which == MT_TREE_PARAMETERS ? mt_require_grad(tensor, true) : check_buffer(module, name, tensor);
    char *copy = status == MT_OK ? copy_text(name) : NULL;
    if (status == MT_OK &&
        (!copy || !grow((void **)&list->entry, list->count, &list->room, sizeof *list->entry)))
        status = MT_ERR_MEMORY;
    if (status != MT_OK) {
        note_failure(module, status, mt_last_message());
        free_text(copy);
        if (!elsewhere) mt_tensor_free(tensor);
        return NULL;
    }
    tensor->in_module = true;
    list->entry[list->count++] = (mt_named_tensor){copy, tensor};
    return tensor;
}

mt_tensor *mt_module_add_parameter(mt_module *module, const char *name, mt_tensor *tensor)
{
    return add_tensor(module, MT_TREE_PARAMETERS, name, tensor);
}

mt_tensor *mt_module_add_buffer(mt_module *module, const char *name, mt_tensor *tensor)
{
    return add_tensor(module, MT_TREE_BUFFERS, name, tensor);
}

/* ---- using ---- */

mt_tensor *mt_module_forward(mt_module *module, mt_tape *tape, mt_tensor *x)
{
    if (!module || !tape || !x) return NULL;
    if (module->status != MT_OK) {
        mt_fail(module->status, "%s", module->message);
        return NULL;
    }
    const bool fine = mt_tape_status(tape) == MT_OK;
    mt_tensor *y = module->forward(module, module->context, tape, x);
    if (fine && mt_tape_status(tape) != MT_OK && module->name) mt_tape_locate(tape, module->name);
    return y;
}

mt_status mt_module_train(mt_module *module, bool on)
{
    if (!module) return MT_ERR_NULL;
    module->training = on;
    for (int i = 0; i < module->children; i++) mt_module_train(module->child[i], on);
    return MT_OK;
}

bool mt_module_is_training(const mt_module *module) { return module && module->training; }

mt_status mt_module_zero_grad(mt_module *module)
{
    if (!module) return MT_ERR_NULL;
    const mt_named_list *list = &module->list[MT_TREE_PARAMETERS];
    for (int i = 0; i < list->count; i++) mt_zero_grad(list->entry[i].tensor);
    for (int i = 0; i < module->children; i++) mt_module_zero_grad(module->child[i]);
    return MT_OK;
}
