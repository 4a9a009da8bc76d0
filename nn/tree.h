/* nn/tree.h - a module's fields, for the two files that work on them. Internal. */
#ifndef MT_TREE_H
#define MT_TREE_H

#include "../tensor/storage.h"
#include "module.h"

typedef struct mt_named_parameter {
    char *name;
    mt_tensor *tensor;
} mt_named_parameter;

struct mt_module {
    char *kind, *name; /* name is NULL until the module has a parent */
    mt_forward_fn forward;
    void *context;
    void (*release)(void *context); /* NULL for a borrowed context */
    mt_module *parent;
    bool training;
    int children, child_room;
    mt_module **child;
    int parameters, parameter_room;
    mt_named_parameter *parameter;
    mt_status status;
    char message[640];
};

MT_BEGIN
/* The child or parameter of module itself with the name of that length; NULL without a sentence. */
MT_INTERNAL mt_module *mt_find_child(const mt_module *module, const char *name, size_t length);
MT_INTERNAL mt_tensor *mt_find_parameter(const mt_module *module, const char *name, size_t length);
/* The i-th parameter of everything below module and the module that holds it; NULL with a sentence past the
 * last. */
MT_INTERNAL const mt_named_parameter *mt_module_entry(const mt_module *module, int i,
                                                      const mt_module **holder);
MT_END

#endif
