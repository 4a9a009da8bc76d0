/* tests/backend_plugin.c - a backend in a shared object, for test_plugins.c: a map and a reduction of its
 * own, the rest left to simple. Built right, and with a fault each:
 *
 *     PLUGIN_VERSION  of another version
 *     PLUGIN_NAMED    called like a backend of the library
 *     PLUGIN_EMPTY    without a backend
 *     PLUGIN_SIZE     of an absurd size
 *     PLUGIN_LACKS    asks for a function that nobody has
 *     PLUGIN_SILENT   without an entry
 */
#include "tensor/backend.h"
#include "tensor/op_id.h"
#include "tensor/plan.h"
#include "tensor/scalar/scalar_ops.h"

/* relu by the plan's loops, from the one function of scalar_ops.h; everything else is simple's. */
static mt_status map(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    if (work->op != MT_OP_relu || work->part != MT_PART_VALUE)
        return mt_backend_get("simple")->map(mt_backend_get("simple"), work);
    mt_elementwise_plan plan;
    mt_plan_elementwise(work->operand, work->operands, &plan);
    mt_real *out = (mt_real *)work->operand[0].data + work->operand[0].layout->offset;
    const mt_real *in = (const mt_real *)work->operand[1].data + work->operand[1].layout->offset;
    for (int64_t i = 0; i < plan.count; i++)
        out[mt_plan_position(plan.rank, plan.size, plan.stride[0], i)] =
            mt_f_relu(in[mt_plan_position(plan.rank, plan.size, plan.stride[1], i)], 0, 0);
    return MT_OK;
}

#ifdef PLUGIN_LACKS
mt_status mt_nobody_has_this(void);
#endif

static mt_status reduce(mt_backend *backend, const mt_reduce_work *work)
{
#ifdef PLUGIN_LACKS
    if (mt_nobody_has_this() != MT_OK) return MT_ERR_VALUE;
#endif
    if (work->op != MT_PROD) return mt_backend_get("simple")->reduce(backend, work);
    return mt_fail(MT_ERR_VALUE, "backend %s multiplies nothing", backend->name);
}

#ifndef PLUGIN_NAMED
#define PLUGIN_NAMED "plugin"
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof(mt_backend)
#endif

static const mt_backend mine = {.size = PLUGIN_SIZE,
                                .name = PLUGIN_NAMED,
                                .summary = "a test's, in a shared object",
                                .host = true,
                                .map = map,
                                .reduce = reduce};

#if defined(PLUGIN_SILENT) || defined(PLUGIN_EMPTY)
extern MT_API const mt_backend *mt_another_entry;
const mt_backend *mt_another_entry = &mine;
#endif

#if defined(PLUGIN_VERSION)
extern MT_API const mt_backend_plugin mt_backend_entry;
const mt_backend_plugin mt_backend_entry = {PLUGIN_VERSION, (int)sizeof(mt_real), &mine};
#elif defined(PLUGIN_EMPTY)
extern MT_API const mt_backend_plugin mt_backend_entry;
const mt_backend_plugin mt_backend_entry = {MT_BACKEND_VERSION, (int)sizeof(mt_real), NULL};
#elif !defined(PLUGIN_SILENT)
MT_BACKEND_PLUGIN(mine);
#endif
