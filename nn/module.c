/* nn/module.c - the tree: building it, who owns what, failures, forward, and walks over everything below a
 * module.
 *
 * A node keeps its children and parameters in arrays, in the order of adding. A failure is noted in the node
 * where it happened and in every node above it, so that asking the root is enough. Walks recurse: a tree is
 * as deep as a model.
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
    for (int i = module->parameters - 1; i >= 0; i--) {
        mt_tensor_free(module->parameter[i].tensor);
        free_text(module->parameter[i].name);
    }
    if (module->release) module->release(module->context);
    mt_free(module->child, (size_t)module->child_room * sizeof *module->child);
    mt_free(module->parameter, (size_t)module->parameter_room * sizeof *module->parameter);
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

mt_module *mt_find_child(const mt_module *module, const char *name, size_t length)
{
    for (int i = 0; i < module->children; i++) {
        const char *candidate = module->child[i]->name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) return module->child[i];
    }
    return NULL;
}

mt_tensor *mt_find_parameter(const mt_module *module, const char *name, size_t length)
{
    for (int i = 0; i < module->parameters; i++) {
        const char *candidate = module->parameter[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0)
            return module->parameter[i].tensor;
    }
    return NULL;
}

/* A new name of module must be non-empty, without dots and not taken. */
static mt_status check_name(const mt_module *module, const char *name)
{
    if (!name || !*name)
        return mt_fail(MT_ERR_NAME, "module %s: a child or parameter needs a name that is not empty",
                       module->kind);
    if (strchr(name, '.'))
        return mt_fail(MT_ERR_NAME,
                       "module %s: the name \"%s\" has a dot in it, which separates the parts of a path; "
                       "leave it out",
                       module->kind, name);
    size_t length = strlen(name);
    bool child = mt_find_child(module, name, length) != NULL;
    if (child || mt_find_parameter(module, name, length))
        return mt_fail(MT_ERR_NAME, "module %s has a %s named \"%s\" already; choose another name",
                       module->kind, child ? "child" : "parameter", name);
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

mt_tensor *mt_module_add_parameter(mt_module *module, const char *name, mt_tensor *tensor)
{
    if (!tensor) {
        if (module) note_null(module, "parameter", name);
        return NULL;
    }
    if (!module) {
        mt_tensor_free(tensor);
        return NULL;
    }
    bool elsewhere = tensor->is_parameter || (tensor->is_gradient && !tensor->is_view);
    mt_status status = MT_OK;
    if (elsewhere)
        status = mt_fail(
            MT_ERR_STATE,
            "module %s: the tensor given as \"%s\" is a parameter of a module already, or a gradient, "
            "and is freed there; give a copy, made with mt_tensor_copy",
            module->kind, name ? name : "");
    if (status == MT_OK) status = check_name(module, name);
    if (status == MT_OK) status = mt_require_grad(tensor, true);
    char *copy = status == MT_OK ? copy_text(name) : NULL;
    if (status == MT_OK && (!copy || !grow((void **)&module->parameter, module->parameters,
                                           &module->parameter_room, sizeof *module->parameter)))
        status = MT_ERR_MEMORY;
    if (status != MT_OK) {
        note_failure(module, status, mt_last_message());
        free_text(copy);
        if (!elsewhere) mt_tensor_free(tensor);
        return NULL;
    }
    tensor->is_parameter = true;
    module->parameter[module->parameters++] = (mt_named_parameter){copy, tensor};
    return tensor;
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
    for (int i = 0; i < module->parameters; i++) mt_zero_grad(module->parameter[i].tensor);
    for (int i = 0; i < module->children; i++) mt_module_zero_grad(module->child[i]);
    return MT_OK;
}

/* ---- walking ---- */

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

int64_t mt_module_count(const mt_module *module)
{
    if (!module) return -1;
    int64_t count = 0;
    for (int i = 0; i < module->parameters; i++) count += mt_tensor_count(module->parameter[i].tensor);
    for (int i = 0; i < module->children; i++) count += mt_module_count(module->child[i]);
    return count;
}

int mt_module_parameters(const mt_module *module)
{
    if (!module) return 0;
    int count = module->parameters;
    for (int i = 0; i < module->children; i++) count += mt_module_parameters(module->child[i]);
    return count;
}

/* The i-th parameter below module, and the module that holds it; *i falls by what was passed on the way. */
static const mt_named_parameter *nth(const mt_module *module, int *i, const mt_module **holder)
{
    *holder = module;
    if (*i < module->parameters) return &module->parameter[*i];
    *i -= module->parameters;
    for (int c = 0; c < module->children; c++) {
        const mt_named_parameter *found = nth(module->child[c], i, holder);
        if (found) return found;
    }
    return NULL;
}

const mt_named_parameter *mt_module_entry(const mt_module *module, int i, const mt_module **holder)
{
    int left = i;
    const mt_named_parameter *found = module && i >= 0 ? nth(module, &left, holder) : NULL;
    if (module && !found)
        mt_fail(MT_ERR_INDEX, "%s has %d parameters, there is no parameter %d", module->kind,
                mt_module_parameters(module), i);
    return found;
}

mt_tensor *mt_module_parameter_at(const mt_module *module, int i)
{
    const mt_module *holder;
    const mt_named_parameter *found = mt_module_entry(module, i, &holder);
    return found ? found->tensor : NULL;
}
