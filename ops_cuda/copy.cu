/* ops_cuda/copy.cu - copies between layouts and kinds, and fills.
 *
 * Contiguous and oddly strided copies are rows of the elementwise kernels. Where the input runs along another
 * dimension than the output (a transpose), both are walked in square tiles through shared memory, so that a
 * warp reads whole lines and writes whole lines.
 */
#include <cmath>

#include "elementwise.cuh"

namespace MT_TWIN {

namespace {

struct nothing {};

/* Towards zero; the ends of the range where it does not fit, 0 for NaN. */
static inline __host__ __device__ int64_t to_index(double x)
{
    if (x != x) return 0;
    if (x >= 9223372036854775808.0) return INT64_MAX;
    if (x < -9223372036854775808.0) return INT64_MIN;
    return (int64_t)x;
}

template <class TO, class FROM> struct convert {
    typedef TO out;
    typedef FROM in;
    typedef nothing constants;
    static constexpr int inputs = 1, reads = 1;
    static __device__ __forceinline__ TO apply(const FROM (&x)[1], nothing) { return (TO)x[0]; }
};
struct convert_to_index : convert<int64_t, mt_real> {
    static __device__ __forceinline__ int64_t apply(const mt_real (&x)[1], nothing)
    {
        return to_index((double)x[0]);
    }
};
template <class T> struct constant {
    typedef T out, in, constants;
    static constexpr int inputs = 0, reads = 0;
    static __device__ __forceinline__ T apply(const T (&)[1], T value) { return value; }
};

/* ---- the transposing tile ---- */

enum { TILE = 32, TILE_ROWS = 8 };

template <class T> struct transpose_work {
    T *out;
    const T *in;
    int64_t inner, across;        /* sizes: out's stride is 1 along inner, in's along across */
    int64_t out_across, in_inner; /* and the strides of the other direction */
    int64_t tiles_inner, tiles_across;
    walk<uint64_t, 2> others;
};

/* Tiles of 32 x 32: a warp's line in both directions. The 33rd column moves each row of the tile to another
 * bank, so that reading a column has no conflict. Each thread carries four elements. No alignment is needed.
 */
template <class T> MT_KERNEL void transpose(transpose_work<T> w)
{
    MT_SHARED(T, tile, [TILE][TILE + 1]);
    uint64_t number = blockIdx.x;
    int64_t inner = (int64_t)(number % w.tiles_inner) * TILE;
    number /= w.tiles_inner;
    int64_t across = (int64_t)(number % w.tiles_across) * TILE;
    uint64_t base[2] = {0, 0};
    position_of<0>(w.others, number / w.tiles_across, base);
    int x = threadIdx.x, y = threadIdx.y;
    const T *in = w.in + base[1] + across + x;
    for (int j = y; j < TILE; j += TILE_ROWS)
        if (across + x < w.across && inner + j < w.inner) tile[j][x] = in[(inner + j) * w.in_inner];
    __syncthreads();
    T *out = w.out + base[0] + inner + x;
    for (int j = y; j < TILE; j += TILE_ROWS)
        if (inner + x < w.inner && across + j < w.across) out[(across + j) * w.out_across] = tile[x][j];
}

/* The dimension along which the input is contiguous where the tile pays, else -1. */
static int tile_dimension(const mt_elementwise_plan *plan)
{
    int inner = plan->rank - 1;
    if (plan->stride[0][inner] != 1 || plan->stride[1][inner] <= 1 || plan->size[inner] < TILE / 2) return -1;
    for (int d = 0; d < inner; d++)
        if (plan->stride[1][d] == 1 && plan->size[d] >= TILE / 2) return d;
    return -1;
}

template <class T>
static mt_status start_transpose(mt_backend *backend, const mt_operand *operand,
                                 const mt_elementwise_plan *plan, int across)
{
    int inner = plan->rank - 1, rank = 0;
    transpose_work<T> work;
    work.out = static_cast<T *>(first_of(operand[0], sizeof(T)));
    work.in = static_cast<const T *>(first_of(operand[1], sizeof(T)));
    work.inner = plan->size[inner], work.across = plan->size[across];
    work.out_across = plan->stride[0][across], work.in_inner = plan->stride[1][inner];
    work.tiles_inner = ceil_div(work.inner, TILE), work.tiles_across = ceil_div(work.across, TILE);
    int64_t blocks = work.tiles_inner * work.tiles_across;
    for (int d = 0; d < inner; d++) {
        if (d == across) continue;
        work.others.size[rank].set(plan->size[d]);
        for (int k = 0; k < 2; k++) work.others.stride[k][rank] = (uint64_t)plan->stride[k][d];
        blocks *= plan->size[d];
        rank++;
    }
    if (rank == 0) {
        work.others.size[rank].set(1);
        work.others.stride[0][rank] = work.others.stride[1][rank] = 0;
        rank = 1;
    }
    work.others.rank = rank;
    if (blocks > 0x7fffffff) return too_large("copy", plan->count);
    return MT_START(backend, "copy transposed", (transpose<T>), dim3((unsigned)blocks), dim3(TILE, TILE_ROWS),
                    work);
}

/* ---- the slots ---- */

template <class T>
static mt_status copy_same(mt_backend *backend, const mt_operand *operand, const mt_elementwise_plan *plan)
{
    int across = tile_dimension(plan);
    if (across >= 0) return start_transpose<T>(backend, operand, plan, across);
    const char *name = plan->row_class == MT_ROW_CONTIGUOUS ? "copy" : "copy strided";
    return start_row<convert<T, T>>(backend, name, operand, plan, nothing());
}

/* The plan speaks of addresses in mt_real; other kinds have their own. */
static void align_for(mt_elementwise_plan *plan, const mt_operand *operand, int operands)
{
    uintptr_t address = 64;
    for (int k = 0; k < operands; k++) address |= (uintptr_t)first_of(operand[k], sizeof(int64_t));
    plan->alignment = (int)(address & (0 - address));
}

} // namespace

extern "C" mt_status MT_LAUNCHER(copy)(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in,
                                       mt_kind in_kind)
{
    mt_operand operand[2] = {out, in};
    mt_elementwise_plan plan;
    mt_plan_elementwise(operand, 2, &plan);
    if (plan.count == 0) return MT_OK;
    if (out_kind == MT_REAL && in_kind == MT_REAL) return copy_same<mt_real>(backend, operand, &plan);
    if (out_kind == MT_REAL)
        return start_row<convert<mt_real, int64_t>>(backend, "copy converted", operand, &plan, nothing());
    if (in_kind == MT_REAL)
        return start_row<convert_to_index>(backend, "copy converted", operand, &plan, nothing());
    align_for(&plan, operand, 2);
    return copy_same<int64_t>(backend, operand, &plan);
}

extern "C" mt_status MT_LAUNCHER(fill)(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    mt_elementwise_plan plan;
    mt_plan_elementwise(&out, 1, &plan);
    if (plan.count == 0) return MT_OK;
    const char *name = plan.row_class == MT_ROW_CONTIGUOUS ? "fill" : "fill strided";
    if (kind == MT_REAL) return start_row<constant<mt_real>>(backend, name, &out, &plan, (mt_real)value);
    align_for(&plan, &out, 1);
    return start_row<constant<int64_t>>(backend, name, &out, &plan, to_index(value));
}

} // namespace MT_TWIN
