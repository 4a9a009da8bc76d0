/* ops_cuda/map.cu - maps and their gradients: a kernel for each row of map_table.inc and each layout class.
 */
#include "map_zip.cuh"
#include "tensor/scalar/map_ops.h"

namespace MT_TWIN {

namespace {

/* d(g, x, y); a row whose derivative is 0 has none, by way of MT_DERIVED. */
#define MAP_GRAD(name, needs)                                                                        \
    struct map_grad_##name {                                                                         \
        typedef mt_real in;                                                                          \
        typedef mt_real out;                                                                         \
        typedef two_numbers constants;                                                               \
        static constexpr int inputs = 3;                                                             \
        static constexpr int reads = 1 | ((needs)&MT_NEED_A ? 2 : 0) | ((needs)&MT_NEED_Y ? 4 : 0);  \
        static __device__ __forceinline__ mt_real apply(const mt_real (&x)[3], const two_numbers &p) \
        {                                                                                            \
            return mt_d_##name(x[0], given(reads & 2, x[1]), given(reads & 4, x[2]), p.p0, p.p1);    \
        }                                                                                            \
    };

/* y = f(x). */
#define MT_MAP(name, params, needs, low, high, formula)                                              \
    struct map_##name {                                                                              \
        typedef mt_real in, out;                                                                     \
        typedef two_numbers constants;                                                               \
        static constexpr int inputs = 1, reads = 1;                                                  \
        static __device__ __forceinline__ mt_real apply(const mt_real (&x)[1], const two_numbers &p) \
        {                                                                                            \
            return mt_f_##name(x[0], p.p0, p.p1);                                                    \
        }                                                                                            \
    };                                                                                               \
    MT_DERIVED(needs, MAP_GRAD(name, needs), )
#include "tensor/scalar/op_table.inc"

static const struct {
    const char *value_name, *grad_name;
    row_launcher value, grad; /* grad: nullptr for a derivative that is MT_IS_ZERO */
} maps[] = {
#define MT_MAP(name, params, needs, low, high, formula)             \
    {"map " #name, "map " #name " gradient", start_row<map_##name>, \
     MT_DERIVED(needs, start_row<map_grad_##name>, nullptr)},
#include "tensor/scalar/op_table.inc"
};

} // namespace

#ifndef __CUDACC__
extern "C" mt_real MT_LAUNCHER(activated)(int act, mt_real x)
{
    static mt_real (*const rows[])(mt_real x, mt_real p0, mt_real p1) = {
#define MT_MAP(name, params, needs, low, high, formula) mt_f_##name,
#include "tensor/scalar/op_table.inc"
    };
    return rows[act](x, 0, 0);
}
#endif

extern "C" mt_status MT_LAUNCHER(map)(mt_backend *backend, const mt_elementwise_work *work)
{
    bool value = work->part == MT_PART_VALUE;
    return run_row(backend, work, value ? maps[work->op].value_name : maps[work->op].grad_name,
                   value ? maps[work->op].value : maps[work->op].grad);
}

} // namespace MT_TWIN
