/* ops_cuda/zip.cu - zips and their two gradients: a kernel for each row of op_table.inc and each layout
 * class.
 *
 * A value has kernels for one operand that is a single element, kept in a register.
 */
#include "elementwise.cuh"
#include "tensor/scalar_ops.h"

namespace MT_TWIN {

namespace {

/* The gradient on one side, da or db, from g, a, b and y. */
#define ZIP_GRAD(side, name, needs)                                                                         \
    struct zip_##side##_##name {                                                                            \
        typedef mt_real in, out;                                                                            \
        typedef two_numbers constants;                                                                      \
        static constexpr int inputs = 4, reads = 1 | ((needs)&MT_NEED_A ? 2 : 0) |                          \
                                                 ((needs)&MT_NEED_B ? 4 : 0) | ((needs)&MT_NEED_Y ? 8 : 0); \
        static __device__ __forceinline__ mt_real apply(const mt_real (&x)[4], const two_numbers &p)        \
        {                                                                                                   \
            return mt_##side##_##name(x[0], given(reads & 2, x[1]), given(reads & 4, x[2]),                 \
                                      given(reads & 8, x[3]), p.p0, p.p1);                                  \
        }                                                                                                   \
    };
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula)                \
    struct zip_##name {                                                                              \
        typedef mt_real in, out;                                                                     \
        typedef two_numbers constants;                                                               \
        static constexpr int inputs = 2, reads = 3;                                                  \
        static __device__ __forceinline__ mt_real apply(const mt_real (&x)[2], const two_numbers &p) \
        {                                                                                            \
            return mt_f_##name(x[0], x[1], p.p0, p.p1);                                              \
        }                                                                                            \
    };                                                                                               \
    ZIP_GRAD(da, name, needs_a)                                                                      \
    ZIP_GRAD(db, name, needs_b)
#include "tensor/op_table.inc"

template <class ROW>
static mt_status start_value(mt_backend *backend, const char *name, const mt_operand *operand,
                             const mt_elementwise_plan *plan, two_numbers p)
{
    flat_work<ROW> work = gather<ROW>(operand, p, plan->count);
    if (is_flat<ROW>(plan)) return start_flat<ROW, 0>(backend, name, work);
    if (plan->alignment >= 16 && plan->row_class == MT_ROW_LEFT_SCALAR)
        return start_flat<ROW, 1>(backend, name, work);
    if (plan->alignment >= 16 && plan->row_class == MT_ROW_RIGHT_SCALAR)
        return start_flat<ROW, 2>(backend, name, work);
    return start_general<ROW>(backend, name, work, plan);
}

template <class ROW>
static mt_status start_gradient(mt_backend *backend, const char *name, const mt_operand *operand,
                                const mt_elementwise_plan *plan, two_numbers p)
{
    flat_work<ROW> work = gather<ROW>(operand, p, plan->count);
    return is_flat<ROW>(plan) ? start_flat<ROW, 0>(backend, name, work)
                              : start_general<ROW>(backend, name, work, plan);
}

/* None where the derivative is 1 or 0 everywhere: tensor/ops.c copies the cotangent then, or fills with 0. */
template <class ROW, int NEEDS> static constexpr row_launcher gradient()
{
    if constexpr ((NEEDS & (MT_IS_ONE | MT_IS_ZERO)) != 0)
        return nullptr;
    else
        return start_gradient<ROW>;
}

static const struct {
    const char *name[3]; /* by mt_part */
    row_launcher start[3];
} zips[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    {{"zip " #name, "zip " #name " gradient a", "zip " #name " gradient b"},          \
     {start_value<zip_##name>, gradient<zip_da_##name, (needs_a)>(), gradient<zip_db_##name, (needs_b)>()}},
#include "tensor/op_table.inc"
};

} // namespace

extern "C" mt_status MT_LAUNCHER(zip)(mt_backend *backend, const mt_elementwise_work *work)
{
    int row = (int)work->op - MT_MAP_COUNT;
    MT_ASSERT(zips[row].start[work->part] != nullptr);
    return run_row(backend, work, zips[row].name[work->part], zips[row].start[work->part]);
}

} // namespace MT_TWIN
