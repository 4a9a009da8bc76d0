/* nn/module.h - modules: a tree of named children, parameters and buffers with a forward function at each
 * node.
 *
 * A buffer is a named tensor that is no parameter: batch norm's running mean, dropout's count of steps. It
 * gets no gradient and no optimiser sees it, but it belongs to the model's state: copies and checkpoints take
 * it.
 *
 * Children, parameters and buffers are registered when they are added, and the module owns them:
 * mt_module_free frees the tree. Adding a NULL (something before failed) or a bad name makes the module and
 * all modules above it failed: the first sentence is kept, forward returns NULL, and a program may build a
 * whole model and ask once. A forward function reads its parameters through pointers kept from when they were
 * added; names serve people and files, not the training step.
 *
 * Threads: several may call mt_module_forward of one module at once, each with a tape of its own, and what
 * looks up or prints. One at a time, with no other use meanwhile: building, freeing, mt_module_train,
 * mt_module_zero_grad, mt_module_copy, an optimiser's step, mt_backward where parameters get gradients
 * (tape.h), and a forward that writes its buffers, which one in training mode may do.
 */
#ifndef MT_MODULE_H
#define MT_MODULE_H

#include "../autodiff/operations.h"

typedef struct mt_module mt_module;

/* Computes the module's result for x on tape: tape operations and mt_module_forward of children. NULL is a
 * failure. context is what mt_module_own_context or mt_module_borrow_context was given, else NULL. */
typedef mt_tensor *(*mt_forward_fn)(mt_module *self, void *context, mt_tape *tape, mt_tensor *x);

MT_BEGIN

/* ---- building ---- */

/* A module without children, parameters or buffers, in training mode. kind is what the printout calls it
 * ("Linear(2 -> 100)"); it is copied. NULL with a sentence when memory runs out. The caller frees it, or adds
 * it to a parent. */
MT_API mt_module *mt_module_new(const char *kind, mt_forward_fn forward);
/* Frees the module, its context, its parameters and buffers and everything below. NULL is allowed. An error,
 * which frees nothing, for a child: its parent owns it. Optimisers of the module must not be stepped
 * afterwards. */
MT_API mt_status mt_module_free(mt_module *module);

/* Gives the forward function its context, once. own: release(context) is called when the module is freed, or
 * at once when this fails. borrow: the context must outlive the module. A NULL context makes the module
 * failed. */
MT_API mt_status mt_module_own_context(mt_module *module, void *context, void (*release)(void *context));
MT_API mt_status mt_module_borrow_context(mt_module *module, void *context);

/* Adds child under name and returns it, borrowed. The parent owns it from now on; it is also freed when this
 * fails, unless it has a parent already or stands above this one. Names are unique among the children,
 * parameters and buffers of a module, not empty, and without dots. On failure the parent becomes failed and
 * the result is NULL. */
MT_API mt_module *mt_module_add(mt_module *parent, const char *name, mt_module *child);
/* The same for a parameter: a REAL tensor that a constructor made. One that a module has already, in this
 * tree or another, is an error and not freed. It is marked with mt_require_grad; mt_require_grad(tensor,
 * false) freezes it later. */
MT_API mt_tensor *mt_module_add_parameter(mt_module *module, const char *name, mt_tensor *tensor);
/* The same for a buffer: a tensor of either kind that a constructor made and that requires no gradient. A
 * forward function writes it in place (mt_op_...), which no tape records. */
MT_API mt_tensor *mt_module_add_buffer(mt_module *module, const char *name, mt_tensor *tensor);

/* The first failure in building the module or anything below it; MT_OK and "" when there was none.
 * MT_ERR_NULL and the thread's latest sentence for NULL. */
MT_API mt_status mt_module_status(const mt_module *module);
MT_API const char *mt_module_message(const mt_module *module);

/* ---- using ---- */

/* The result of the forward function for x. NULL when the module failed, with its sentence recorded again.
 * Allocates nothing itself and compares no strings. */
MT_API mt_tensor *mt_module_forward(mt_module *module, mt_tape *tape, mt_tensor *x);

/* Training mode or evaluation mode (what a module's forward may ask, for dropout say), for the module and
 * everything below. is_training is false for NULL. */
MT_API mt_status mt_module_train(mt_module *module, bool on);
MT_API bool mt_module_is_training(const mt_module *module);

/* Makes the gradients of all parameters empty. */
MT_API mt_status mt_module_zero_grad(mt_module *module);

/* Copies the values of from's parameters and buffers into to's of the same names; backends may differ. Both
 * trees must have the same names, shapes and kinds, which is checked before anything is written. Gradients,
 * marks and modes stay as they are. */
MT_API mt_status mt_module_copy(mt_module *to, const mt_module *from);

/* ---- looking up; results are borrowed ---- */

/* By dotted path: "layer1", "encoder.layer1"; "weight", "layer1.weight". NULL, with a sentence that lists the
 * names which are there, when nothing has it. */
MT_API mt_module *mt_module_child(mt_module *module, const char *path);
MT_API mt_tensor *mt_module_parameter(mt_module *module, const char *path);
MT_API mt_tensor *mt_module_buffer(mt_module *module, const char *path);

/* The module's own children, in the order in which they were added; NULL with a sentence outside 0 ..
 * children-1. */
MT_API int mt_module_children(const mt_module *module); /* how many; 0 for NULL */
MT_API mt_module *mt_module_child_at(const mt_module *module, int i);
MT_API const char *mt_module_name(
    const mt_module *module); /* its name in its parent; "" for a root and for NULL */
MT_API const char *mt_module_kind(const mt_module *module); /* "" for NULL */

/* All parameters of the module and everything below: its own first, then child by child. count is the number
 * of scalars in them (-1 for NULL). */
MT_API int64_t mt_module_count(const mt_module *module);
MT_API int mt_module_parameters(const mt_module *module); /* how many tensors; 0 for NULL */
MT_API mt_tensor *mt_module_parameter_at(const mt_module *module, int i);
/* Writes the dotted path of the i-th parameter as snprintf writes: at most size bytes with the final 0,
 * returning the length of the whole path, or -1 with a sentence. */
MT_API int64_t mt_module_parameter_path(const mt_module *module, int i, char *buffer, size_t size);
/* The same of buffers. */
MT_API int64_t mt_module_buffer_count(const mt_module *module);
MT_API int mt_module_buffers(const mt_module *module);
MT_API mt_tensor *mt_module_buffer_at(const mt_module *module, int i);
MT_API int64_t mt_module_buffer_path(const mt_module *module, int i, char *buffer, size_t size);

/* The tree, one line a module, parameter or buffer, indented by two spaces a level, as snprintf writes:
 *   Sequential, 10601 parameters, 1 in buffers
 *     layer1: Linear(2 -> 100, relu)
 *       weight (2, 100)
 *       bias (100), frozen
 *     drop: Dropout(0.5)
 *       step (1), buffer of INDEX
 * Each line ends in a newline. -1 with a sentence when it fails. */
MT_API int64_t mt_module_format(const mt_module *module, char *buffer, size_t size);
MT_API mt_status mt_module_print(FILE *stream, const mt_module *module);

MT_END

#endif
