/* ops_cuda/zip.cu - zips and their two gradients: a kernel for each row of zip_table.inc and each layout
 * class. And the comparison of INDEX, one for all rows. */
#include "map_zip.cuh"
#include "tensor/scalar/zip_ops.h"

namespace MT_TWIN {

namespace {

/* The gradient on one side, da or db, from x = g, a, b, y. A comma outside parentheses would end an argument
 * of MT_DERIVED. */
#define ZIP_GRAD(side, name, needs)                                                                      \
    struct zip_##side##_##name {                                                                         \
        typedef mt_real in;                                                                              \
        typedef mt_real out;                                                                             \
        typedef two_numbers constants;                                                                   \
        static constexpr int inputs = 4;                                                                 \
        static constexpr int reads =                                                                     \
            1 | ((needs)&MT_NEED_A ? 2 : 0) | ((needs)&MT_NEED_B ? 4 : 0) | ((needs)&MT_NEED_Y ? 8 : 0); \
        static __device__ __forceinline__ mt_real apply(const mt_real (&x)[4], const two_numbers &p)     \
        {                                                                                                \
            return mt_##side##_##name(x[0], given(reads & 2, x[1]), given(reads & 4, x[2]),              \
                                      given(reads & 8, x[3]), p.p0, p.p1);                               \
        }                                                                                                \
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
    MT_DERIVED(needs_a, ZIP_GRAD(da, name, needs_a), )                                               \
    MT_DERIVED(needs_b, ZIP_GRAD(db, name, needs_b), )
#include "tensor/scalar/op_table.inc"

static const struct {
    const char *name[3];   /* by mt_part */
    row_launcher start[3]; /* nullptr for a derivative that is MT_IS_ONE or MT_IS_ZERO */
} zips[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    {{"zip " #name, "zip " #name " gradient a", "zip " #name " gradient b"},          \
     {start_row<zip_##name>, MT_DERIVED(needs_a, start_row<zip_da_##name>, nullptr),  \
      MT_DERIVED(needs_b, start_row<zip_db_##name>, nullptr)}},
#include "tensor/scalar/op_table.inc"
};

struct three_numbers {
    mt_real less, equal, greater;
};
struct by_order {
    typedef int64_t in;
    typedef mt_real out;
    typedef three_numbers constants;
    static constexpr int inputs = 2, reads = 3;
    static __device__ __forceinline__ mt_real apply(const int64_t (&x)[2], const three_numbers &p)
    {
        return x[0] < x[1] ? p.less : x[0] == x[1] ? p.equal : p.greater;
    }
};

} // namespace

extern "C" mt_status MT_LAUNCHER(zip)(mt_backend *backend, const mt_elementwise_work *work)
{
    const int row = mt_zip_row(work->op);
    MT_ASSERT(zips[row].start[work->part] != nullptr);
    return run_row(backend, work, zips[row].name[work->part], zips[row].start[work->part]);
}

extern "C" mt_status MT_LAUNCHER(compare)(mt_backend *backend, mt_operand out, mt_operand a, mt_operand b,
                                          const mt_real *order)
{
    const mt_operand operand[3] = {out, a, b};
    mt_elementwise_plan plan;
    mt_plan_elementwise(operand, 3, &plan);
    if (plan.count == 0) return MT_OK;
    const three_numbers p = {order[0], order[1], order[2]};
    return in_pieces(plan, [&](const mt_elementwise_plan &piece) {
        return start_row<by_order>(backend, "compare indices", operand, &piece, p);
    });
}

} // namespace MT_TWIN
