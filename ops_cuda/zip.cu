/* ops_cuda/zip.cu - zips and their two gradients: a kernel for each row of op_table.inc and each layout
 * class. */
#include "elementwise.cuh"
#include "tensor/op_id.h"
#include "tensor/scalar/scalar_ops.h"

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
#include "tensor/scalar/op_table.inc"

/* None where the derivative is 1 or 0 everywhere: tensor/ops.c copies the cotangent then, or fills with 0. */
template <class ROW, int NEEDS> static constexpr row_launcher gradient()
{
    if constexpr ((NEEDS & (MT_IS_ONE | MT_IS_ZERO)) != 0)
        return nullptr;
    else
        return start_row<ROW>;
}

static const struct {
    const char *name[3]; /* by mt_part */
    row_launcher start[3];
} zips[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    {{"zip " #name, "zip " #name " gradient a", "zip " #name " gradient b"},          \
     {start_row<zip_##name>, gradient<zip_da_##name, (needs_a)>(), gradient<zip_db_##name, (needs_b)>()}},
#include "tensor/scalar/op_table.inc"
};

} // namespace

extern "C" mt_status MT_LAUNCHER(zip)(mt_backend *backend, const mt_elementwise_work *work)
{
    int row = (int)work->op - MT_MAP_COUNT;
    MT_ASSERT(zips[row].start[work->part] != nullptr);
    return run_row(backend, work, zips[row].name[work->part], zips[row].start[work->part]);
}

} // namespace MT_TWIN
