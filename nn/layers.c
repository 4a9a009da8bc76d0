/* nn/layers.c - linear layers, activations and sequences of modules. */
#include "layers.h"

#include <inttypes.h>

#include "../tensor/arena.h"
#include "../tensor/op_id.h"
#include "tree.h"

/* ---- linear ---- */

typedef struct {
    mt_tensor *weight, *bias; /* the module's, kept here so that a step looks nothing up */
    mt_op act;
    bool has_act;
} linear;

static mt_tensor *linear_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    const linear *layer = context;
    (void)self;
    if (layer->has_act) return mt_linear_act(tape, x, layer->weight, layer->bias, layer->act);
    return mt_linear(tape, x, layer->weight, layer->bias);
}

static void linear_release(void *context) { mt_free(context, sizeof(linear)); }

mt_module *mt_module_finished(mt_module *module)
{
    mt_status status = mt_module_status(module);
    if (status == MT_OK || !module) return module;
    mt_fail(status, "%s", mt_module_message(module));
    mt_module_free(module);
    return NULL;
}

static mt_module *linear_layer(mt_backend *backend, int64_t in, int64_t out, linear options, mt_init rule,
                               mt_rng *rng)
{
    char kind[128];
    if (!backend || !rng) return NULL;
    if (in < 1 || out < 1) {
        mt_fail(MT_ERR_SHAPE,
                "linear layer: %" PRId64 " inputs and %" PRId64 " outputs; both must be at least 1", in, out);
        return NULL;
    }
    const mt_op_info *act = options.has_act ? mt_op_describe(options.act) : NULL;
    if (options.has_act && !act) return NULL;
    if (act && (act->arity != 1 || act->params != 0)) {
        mt_fail(MT_ERR_VALUE,
                "linear layer: %s cannot be its activation, which takes one operand and no constants; add an "
                "mt_activation_layer after it",
                act->name);
        return NULL;
    }
    snprintf(kind, sizeof kind, "Linear(%" PRId64 " -> %" PRId64 "%s%s)", in, out, act ? ", " : "",
             act ? act->name : "");

    mt_tensor *weight = mt_empty(backend, mt_shape(in, out), MT_REAL);
    mt_tensor *bias = mt_empty(backend, mt_shape(out), MT_REAL);
    if (mt_init_linear(weight, bias, rule, rng) != MT_OK) {
        mt_tensor_free(weight);
        mt_tensor_free(bias);
        return NULL;
    }
    mt_module *module = mt_module_new(kind, linear_forward);
    options.weight = mt_module_add_parameter(module, "weight", weight);
    options.bias = mt_module_add_parameter(module, "bias", bias);
    linear *layer = mt_alloc(sizeof *layer);
    if (layer) *layer = options;
    mt_module_own_context(module, layer, linear_release);
    return mt_module_finished(module);
}

mt_module *mt_linear_layer(mt_backend *backend, int64_t in, int64_t out, mt_init rule, mt_rng *rng)
{
    return linear_layer(backend, in, out, (linear){.has_act = false}, rule, rng);
}

mt_module *mt_linear_act_layer(mt_backend *backend, int64_t in, int64_t out, mt_op act, mt_init rule,
                               mt_rng *rng)
{
    return linear_layer(backend, in, out, (linear){.has_act = true, .act = act}, rule, rng);
}

/* ---- activation ---- */

typedef struct {
    mt_op op;
    double p0, p1;
} activation;

static mt_tensor *activation_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    const activation *layer = context;
    (void)self;
    return mt_map(tape, layer->op, x, layer->p0, layer->p1);
}

static void activation_release(void *context) { mt_free(context, sizeof(activation)); }

mt_module *mt_activation_layer(mt_op op, double p0, double p1)
{
    char kind[128];
    const mt_op_info *info = mt_op_describe(op);
    if (!info) return NULL;
    if (info->arity != 1) {
        mt_fail(MT_ERR_VALUE, "activation layer: %s takes two operands; use an operation of one", info->name);
        return NULL;
    }
    if (info->params == 0)
        snprintf(kind, sizeof kind, "%s", info->name);
    else if (info->params == 1)
        snprintf(kind, sizeof kind, "%s(%g)", info->name, mt_printable(p0));
    else
        snprintf(kind, sizeof kind, "%s(%g, %g)", info->name, mt_printable(p0), mt_printable(p1));
    mt_module *module = mt_module_new(kind, activation_forward);
    activation *layer = mt_alloc(sizeof *layer);
    if (layer) *layer = (activation){op, p0, p1};
    mt_module_own_context(module, layer, activation_release);
    return mt_module_finished(module);
}

/* ---- sequential ---- */

static mt_tensor *sequential_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    (void)context;
    int children = mt_module_children(self);
    for (int i = 0; i < children && x; i++) x = mt_module_forward(mt_module_child_at(self, i), tape, x);
    return x;
}

mt_module *mt_sequential(void) { return mt_module_new("Sequential", sequential_forward); }

mt_module *mt_sequential_add(mt_module *sequential, mt_module *layer)
{
    char name[16];
    snprintf(name, sizeof name, "%d", mt_module_children(sequential));
    return mt_module_add(sequential, name, layer);
}

mt_module *mt_mlp(mt_backend *backend, mt_shape sizes, mt_op act, mt_init rule, mt_rng *rng)
{
    char name[24];
    if (!backend || !rng) return NULL;
    if (sizes.rank < 2 || sizes.rank > MT_MAX_DIMS) {
        mt_fail(MT_ERR_SHAPE, "mlp: %d sizes were given; it needs 2 to %d, from the inputs to the outputs",
                sizes.rank, MT_MAX_DIMS);
        return NULL;
    }
    mt_module *mlp = mt_sequential();
    for (int i = 1; i < sizes.rank && mt_module_status(mlp) == MT_OK; i++) {
        int64_t in = sizes.size[i - 1], out = sizes.size[i];
        snprintf(name, sizeof name, "layer%d", i);
        mt_module_add(mlp, name,
                      i < sizes.rank - 1 ? mt_linear_act_layer(backend, in, out, act, rule, rng)
                                         : mt_linear_layer(backend, in, out, rule, rng));
    }
    return mt_module_finished(mlp);
}
