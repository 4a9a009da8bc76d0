/* ops_cuda/zip.cu - zips and their two gradients: a kernel for each row of op_table.inc and each layout
 * class.
 *
 * A value has kernels for one operand that is a single element, kept in a register. Where a row's derivative
 * is 1 or 0 everywhere the gradient's kernel is shared by all such rows.
 */
#include "elementwise.cuh"
#include "tensor/scalar_ops.h"

namespace MT_TWIN {

namespace {

/* g times a constant. The tape never asks for these: it passes the cotangent on, or nothing. */
template <int VALUE> struct zip_grad_constant {
    typedef mt_real in, out;
    typedef two_numbers constants;
    static constexpr int inputs = 4, reads = 1;
    static __device__ __forceinline__ mt_real apply(const mt_real (&x)[4], const two_numbers &)
    {
        return x[0] * (mt_real)VALUE;
    }
};

/* The kernel's row where the derivative is not constant: DERIVATIVE says which function. */
template <class DERIVATIVE, int NEEDS> struct zip_grad {
    typedef mt_real in, out;
    typedef two_numbers constants;
    static constexpr int inputs = 4, reads = 1 | (NEEDS & MT_NEED_A ? 2 : 0) | (NEEDS & MT_NEED_B ? 4 : 0) |
                                             (NEEDS & MT_NEED_Y ? 8 : 0);
    static __device__ __forceinline__ mt_real apply(const mt_real (&x)[4], const two_numbers &p)
    {
        return DERIVATIVE::at(x[0], given(reads & 2, x[1]), given(reads & 4, x[2]), given(reads & 8, x[3]),
                              p);
    }
};
template <class DERIVATIVE> struct zip_grad<DERIVATIVE, MT_IS_ONE> : zip_grad_constant<1> {
};
template <class DERIVATIVE> struct zip_grad<DERIVATIVE, MT_IS_ZERO> : zip_grad_constant<0> {
};

/* The template argument that leaves one kernel for all rows with a constant derivative. */
template <class ROW> struct shared_row {
    typedef ROW type;
};
template <class D> struct shared_row<zip_grad<D, MT_IS_ONE>> {
    typedef zip_grad_constant<1> type;
};
template <class D> struct shared_row<zip_grad<D, MT_IS_ZERO>> {
    typedef zip_grad_constant<0> type;
};

#define ZIP_DERIVATIVE(name, side)                                                               \
    struct side##_##name {                                                                       \
        static __device__ __forceinline__ mt_real at(mt_real g, mt_real a, mt_real b, mt_real y, \
                                                     const two_numbers &p)                       \
        {                                                                                        \
            return mt_##side##_##name(g, a, b, y, p.p0, p.p1);                                   \
        }                                                                                        \
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
    ZIP_DERIVATIVE(name, da)                                                                         \
    ZIP_DERIVATIVE(name, db)                                                                         \
    typedef shared_row<zip_grad<da_##name, (needs_a)>>::type zip_grad_a_##name;                      \
    typedef shared_row<zip_grad<db_##name, (needs_b)>>::type zip_grad_b_##name;
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

static const struct {
    const char *name[3]; /* by mt_part */
    row_launcher start[3];
} zips[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    {{"zip " #name, "zip " #name " gradient a", "zip " #name " gradient b"},          \
     {start_value<zip_##name>, start_gradient<zip_grad_a_##name>, start_gradient<zip_grad_b_##name>}},
#include "tensor/op_table.inc"
};

} // namespace

extern "C" mt_status MT_LAUNCHER(zip)(mt_backend *backend, const mt_elementwise_work *work)
{
    int row = (int)work->op - MT_MAP_COUNT;
    return run_row(backend, work, zips[row].name[work->part], zips[row].start[work->part]);
}

} // namespace MT_TWIN
