/* nn/tree.h - a module's fields, for the files that work on them. Internal. */
#ifndef MT_TREE_H
#define MT_TREE_H

#include "../tensor/storage.h"
#include "module.h"

typedef struct mt_named_tensor {
    char *name;
    mt_tensor *tensor;
} mt_named_tensor;

/* What a module holds tensors as. */
typedef enum mt_tree_list { MT_TREE_PARAMETERS, MT_TREE_BUFFERS, MT_TREE_LISTS } mt_tree_list;

typedef struct mt_named_list {
    int count, room;
    mt_named_tensor *entry;
} mt_named_list;

struct mt_module {
    char *kind, *name; /* name is NULL until the module has a parent */
    mt_forward_fn forward;
    void *context;
    void (*release)(void *context); /* NULL for a borrowed context */
    mt_module *parent;
    bool training;
    int children, child_room;
    mt_module **child;
    mt_named_list list[MT_TREE_LISTS];
    mt_status status;
    char message[640];
};

/* What each list's tensors are called in a sentence. */
typedef struct mt_tree_word {
    const char *one, *many;
} mt_tree_word;

MT_BEGIN

/* The end of a constructor: module, or, where its building failed, NULL; it is freed then, and its sentence
 * left for the caller. */
MT_INTERNAL mt_module *mt_module_finished(mt_module *module);
MT_INTERNAL extern const mt_tree_word mt_tree_words[MT_TREE_LISTS];
/* The child, or the tensor of a list, of module itself with the name of that length; NULL without a sentence.
 */
MT_INTERNAL mt_module *mt_find_child(const mt_module *module, const char *name, size_t length);
MT_INTERNAL mt_tensor *mt_find_tensor(const mt_module *module, mt_tree_list which, const char *name,
                                      size_t length);
/* The i-th tensor in those lists of module and everything below, and the module that holds it; NULL with a
 * sentence past the last. */
MT_INTERNAL const mt_named_tensor *mt_module_entry(const mt_module *module, mt_tree_list which, int i,
                                                   const mt_module **holder);
MT_END

#endif
