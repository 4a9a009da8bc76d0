/* ops_cuda/copy.cu - copies between layouts and kinds, fills, and where.
 *
 * Contiguous and oddly strided copies are rows of the elementwise kernels. Where the input runs along another
 * dimension than the output (a transpose), both are walked in square tiles through shared memory, so that
 * whole lines are read and whole lines written.
 */
#include <cmath>

#include "map_zip.cuh"

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

/* x = mask, a, b. */
struct choose {
    typedef mt_real in, out;
    typedef nothing constants;
    static constexpr int inputs = 3, reads = 7;
    static __device__ __forceinline__ mt_real apply(const mt_real (&x)[3], nothing)
    {
        return x[0] != 0 ? x[1] : x[2];
    }
};
struct choose_by_index : choose {};
template <> constexpr int index_input<choose_by_index> = 0;

/* ---- the transposing tile ---- */

enum { TILE = 32, TILE_THREADS = 256, LINE_LANES = 8 /* threads that 16 bytes each fill a line of 128 */ };

template <class T> struct transpose_work {
    T *out;
    const T *in;
    uint32_t inner, across;        /* sizes: out's stride is 1 along inner, in's along across */
    uint32_t out_across, in_inner; /* and the strides of the other direction */
    bool wide_in, wide_out; /* 16 bytes at a time: 16 divides the address and every stride, WIDTH the size */
    divisor<uint32_t> tiles_inner, tiles_across;
    walk<uint32_t, 2> others;
};

/* Tiles of 32 x 32: whole lines in both directions, of one warp's 32 numbers or of four times 8 threads' 16
 * bytes. The tile stands turned, as out wants it; its 33rd column moves each row to another bank, so that
 * neither writing a column nor reading a row has a conflict. */
template <class T> MT_KERNEL void transpose(transpose_work<T> w)
{
    typedef uint32_t I;
    MT_SHARED(T, tile, [TILE][TILE + 1]); /* [across][inner] */
    const int WIDTH = 16 / (int)sizeof(T);
    const uint32_t block = blockIdx.x, row_of_tiles = w.tiles_inner.quotient(block);
    const uint32_t other = w.tiles_across.quotient(row_of_tiles);
    const I inner = (I)(block - row_of_tiles * w.tiles_inner.by) * TILE;
    const I across = (I)(row_of_tiles - other * w.tiles_across.by) * TILE;
    const int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
    const int lane = threadIdx.x % LINE_LANES * WIDTH, line = threadIdx.x / LINE_LANES;
    I base[2] = {0, 0};
    position_of<0>(w.others, other, base);
    const T *in = w.in + (base[1] + inner * w.in_inner + across);
    if (w.wide_in) {
        MT_UNROLL
        for (int i = lane; i < TILE; i += LINE_LANES * WIDTH)
            if (inner + line < w.inner && across + i < w.across) {
                T v[WIDTH];
                load16(in + ((I)line * w.in_inner + i), v);
                for (int j = 0; j < WIDTH; j++) tile[i + j][line] = v[j];
            }
    } else {
        MT_UNROLL
        for (int j = 0; j < TILE; j += TILE_THREADS / TILE)
            if (inner + (y + j) < w.inner && across + x < w.across)
                tile[x][y + j] = in[(I)(y + j) * w.in_inner + x];
    }
    __syncthreads();
    T *out = w.out + (base[0] + across * w.out_across + inner);
    if (w.wide_out) {
        MT_UNROLL
        for (int i = lane; i < TILE; i += LINE_LANES * WIDTH)
            if (across + line < w.across && inner + i < w.inner) {
                T v[WIDTH];
                for (int j = 0; j < WIDTH; j++) v[j] = tile[line][i + j];
                store16(out + ((I)line * w.out_across + i), v);
            }
    } else {
        MT_UNROLL
        for (int j = 0; j < TILE; j += TILE_THREADS / TILE)
            if (across + (y + j) < w.across && inner + x < w.inner)
                out[(I)(y + j) * w.out_across + x] = tile[y + j][x];
    }
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
    const int inner = plan->rank - 1, width = 16 / (int)sizeof(T);
    const int64_t tiles_inner = ceil_div(plan->size[inner], TILE),
                  tiles_across = ceil_div(plan->size[across], TILE);
    int64_t blocks = tiles_inner * tiles_across;
    transpose_work<T> work;
    work.out = static_cast<T *>(first_of(operand[0], sizeof(T))) + plan->first[0];
    work.in = static_cast<const T *>(first_of(operand[1], sizeof(T))) + plan->first[1];
    work.inner = (uint32_t)plan->size[inner], work.across = (uint32_t)plan->size[across];
    work.out_across = (uint32_t)plan->stride[0][across], work.in_inner = (uint32_t)plan->stride[1][inner];
    work.wide_out = (uintptr_t)work.out % 16 == 0 && plan->size[inner] % width == 0;
    work.wide_in = (uintptr_t)work.in % 16 == 0 && plan->size[across] % width == 0;
    work.others.rank = 0;
    for (int d = 0; d <= inner; d++) {
        work.wide_out = work.wide_out && (d == inner || plan->stride[0][d] % width == 0);
        work.wide_in = work.wide_in && (d == across || plan->stride[1][d] % width == 0);
        if (d == inner || d == across) continue;
        const int64_t stride[2] = {plan->stride[0][d], plan->stride[1][d]};
        add_dimension(&work.others, plan->size[d], stride);
        blocks *= plan->size[d];
    }
    if (work.others.rank == 0) {
        const int64_t nowhere[2] = {0, 0};
        add_dimension(&work.others, 1, nowhere);
    }
    work.tiles_inner.set(tiles_inner), work.tiles_across.set(tiles_across);
    return MT_START(backend, "copy transposed", transpose<T>, dim3((unsigned)blocks), dim3(TILE_THREADS),
                    work);
}

/* ---- an input that steps back ---- */

template <class T> struct back_work {
    T *out;
    const T *in;
    uint64_t count;
    walk<uint64_t, 2> dims; /* out, in; a stride below 0 and the sums with it are numbers modulo 2^64 */
};

/* Thread i of count: element i of out. Its own kernel, since the others count positions in 32 bits from 0 on.
 */
template <class T> MT_KERNEL void copy_back(back_work<T> w)
{
    const uint64_t i = (uint64_t)thread_number();
    uint64_t at[2] = {0, 0};
    if (i >= w.count) return;
    rolled_position_of(w.dims, i, at);
    w.out[(int64_t)at[0]] = w.in[(int64_t)at[1]];
}

static bool steps_back(const mt_layout *layout)
{
    bool back = false;
    for (int d = 0; d < layout->rank; d++) back = back || layout->stride[d] < 0;
    return back;
}

template <class T>
static mt_status start_back(mt_backend *backend, const mt_operand *operand, const mt_elementwise_plan *plan)
{
    if (plan->count > MOST_THREADS) return too_large("copy", plan->count);
    back_work<T> w;
    w.out = static_cast<T *>(first_of(operand[0], sizeof(T)));
    w.in = static_cast<const T *>(first_of(operand[1], sizeof(T)));
    w.count = (uint64_t)plan->count;
    w.dims.rank = 0;
    for (int d = 0; d < plan->rank; d++) {
        const int64_t stride[2] = {plan->stride[0][d], plan->stride[1][d]};
        add_dimension(&w.dims, plan->size[d], stride);
    }
    const unsigned block = block_for(plan->count);
    return MT_START(backend, "copy back", (copy_back<T>), dim3((unsigned)ceil_div(plan->count, block)),
                    dim3(block), w);
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
    if (steps_back(in.layout))
        return out_kind == MT_REAL ? start_back<mt_real>(backend, operand, &plan)
                                   : start_back<int64_t>(backend, operand, &plan);
    if (out_kind != MT_REAL && in_kind != MT_REAL) align_for(&plan, operand, 2);
    return in_pieces(plan, [&](const mt_elementwise_plan &piece) {
        if (out_kind != in_kind)
            return out_kind == MT_REAL
                       ? start_row<convert<mt_real, int64_t>>(backend, "copy converted", operand, &piece,
                                                              nothing())
                       : start_row<convert_to_index>(backend, "copy converted", operand, &piece, nothing());
        return out_kind == MT_REAL ? copy_same<mt_real>(backend, operand, &piece)
                                   : copy_same<int64_t>(backend, operand, &piece);
    });
}

extern "C" mt_status MT_LAUNCHER(fill)(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    mt_elementwise_plan plan;
    mt_plan_elementwise(&out, 1, &plan);
    if (plan.count == 0) return MT_OK;
    const char *name = plan.row_class == MT_ROW_CONTIGUOUS ? "fill" : "fill strided";
    if (kind != MT_REAL) align_for(&plan, &out, 1);
    return in_pieces(plan, [&](const mt_elementwise_plan &piece) {
        return kind == MT_REAL ? start_row<constant<mt_real>>(backend, name, &out, &piece, (mt_real)value)
                               : start_row<constant<int64_t>>(backend, name, &out, &piece, to_index(value));
    });
}

extern "C" mt_status MT_LAUNCHER(where)(mt_backend *backend, mt_operand out, mt_operand mask,
                                        mt_kind mask_kind, mt_operand a, mt_operand b)
{
    const mt_operand operand[4] = {out, mask, a, b};
    mt_elementwise_plan plan;
    mt_plan_elementwise(operand, 4, &plan);
    if (plan.count == 0) return MT_OK;
    return in_pieces(plan, [&](const mt_elementwise_plan &piece) {
        return mask_kind == MT_REAL
                   ? start_row<choose>(backend, "where", operand, &piece, nothing())
                   : start_row<choose_by_index>(backend, "where by index", operand, &piece, nothing());
    });
}

} // namespace MT_TWIN
