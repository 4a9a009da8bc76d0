/* ops_cuda/matmul.cuh - the kernels of matrix multiplication without tiles, and what they share with those of
 * matmul_tiles.cuh: what is multiplied, and the end of every path.
 *
 * C[b, i, j] = act(sum over k of A[b, i, k] B[b, k, j] + bias[j]). Every operand has a row and a column
 * stride, so a transpose or a broadcast is absorbed where elements are loaded. A long sum over k in a product
 * with few tiles is cut into chunks, chosen by shape alone, that are added in a fixed tree.
 */
#ifndef MT_MATMUL_CUH
#define MT_MATMUL_CUH

#include "folds.cuh"
#ifdef __CUDACC__
#include "tensor/scalar/map_ops.h"
#endif

namespace MT_TWIN {
namespace {

/* A product as the kernels get it: element (i, j) of an operand is data[i*row + j*col], of the first product
 * of the batch. */
struct product {
    const mt_real *a, *b, *bias; /* bias null: none */
    mt_real *c, *pre;            /* pre null: not kept */
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col, pre_row, pre_col, bias_step;
    int64_t a_next, b_next;       /* bytes from a piece of k to the next */
    int64_t batch, chunk, chunks; /* k is cut into chunks of `chunk` steps, the last perhaps shorter */
    int64_t c_slice; /* chunks > 1: c is scratch, [chunk][batch][m][n], and c_slice = m n; else 0 */
    divisor<uint32_t> tiles_m, tiles_n, products; /* take a block's number apart; products = batch */
    int act;                                      /* -1: none */
    bool accumulate, wide;                        /* wide: C, pre and bias can be moved 16 bytes at a time */
    bool few;                                     /* without tiles: all numbers of elements are below 2^31 */
    walk<uint64_t, 4> batches;                    /* a, b, c, pre */
};

/* Positions of the i-th product of the batch in a, b, c and pre. */
static __device__ __forceinline__ void find_product(const product &w, uint64_t i, uint64_t (&at)[4])
{
    MT_UNROLL
    for (int k = 0; k < 4; k++) at[k] = 0;
    rolled_position_of(w.batches, i, at);
}

/* ---- the end of every path ---- */

/* v[e] = f(v[e], e) for e = 0 .. COUNT-1, with one copy of f in the code: a register cannot be indexed by e,
 * so v is rotated by one in each round, and f always takes v[0]. */
template <int COUNT, class F> static __device__ __forceinline__ void each(mt_real (&v)[COUNT], F f)
{
    MT_NO_UNROLL
    for (int e = 0; e < COUNT; e++) {
        const mt_real y = f(v[0], e);
        MT_UNROLL
        for (int j = 1; j < COUNT; j++) v[j - 1] = v[j];
        v[COUNT - 1] = y;
    }
}

/* v[e] = from[e*step] for e < count, and 0 for the other e. wide: step is 1, count is COUNT, and 16 divides
 * the address; 16 bytes are loaded at a time. */
template <int COUNT>
static __device__ __forceinline__ void get(const mt_real *from, int64_t step, bool wide, int count,
                                           mt_real (&v)[COUNT])
{
    enum { WIDTH = COUNT == 1 ? 1 : 16 / (int)sizeof(mt_real) };
    if constexpr (WIDTH > 1)
        if (wide) {
            MT_UNROLL
            for (int e = 0; e < COUNT; e += WIDTH) {
                mt_real some[WIDTH];
                load16(from + e, some);
                for (int j = 0; j < WIDTH; j++) v[e + j] = some[j];
            }
            return;
        }
    each(v, [&](mt_real, int e) {
        const mt_real x = e < count ? *from : 0;
        from += step;
        return x;
    });
}
/* to[e*step] = v[e] for e < count; wide as above. */
template <int COUNT>
static __device__ __forceinline__ void put(mt_real *to, int64_t step, bool wide, int count,
                                           mt_real (&v)[COUNT])
{
    enum { WIDTH = COUNT == 1 ? 1 : 16 / (int)sizeof(mt_real) };
    if constexpr (WIDTH > 1)
        if (wide) {
            MT_UNROLL
            for (int e = 0; e < COUNT; e += WIDTH) {
                mt_real some[WIDTH];
                for (int j = 0; j < WIDTH; j++) some[j] = v[e + j];
                store16(to + e, some);
            }
            return;
        }
    each(v, [&](mt_real x, int e) {
        if (e < count) *to = x;
        to += step;
        return x;
    });
}

/* v[e] = act(v[e]); act, a row of map_table.inc, -1: as it is. A switch over the table: a call by a function
 * pointer would keep v out of registers. In the simulator, where a call costs nothing beside an access, it
 * stands once, in map.cu, so that a new row does not compile the products. */
#ifdef __CUDACC__
enum {
#define MT_MAP(name, params, needs, low, high, formula) row_##name,
#include "tensor/scalar/op_table.inc"
};
template <int COUNT> static __device__ __forceinline__ void activate(int act, mt_real (&v)[COUNT])
{
    switch (act) {
        /* clang-format off */
#define MT_MAP(name, params, needs, low, high, formula) \
    case row_##name: each(v, [](mt_real x, int) { return mt_f_##name(x, 0, 0); }); break;
#include "tensor/scalar/op_table.inc"
    /* clang-format on */
    default: break;
    }
}
#else
template <int COUNT> static __forceinline__ void activate(int act, mt_real (&v)[COUNT])
{
    each(v, [&](mt_real x, int) { return act < 0 ? x : MT_LAUNCHER(activated)(act, x); });
}
#endif

/* Where a thread's part of a row of C goes: the first count of COUNT elements, gap columns apart. */
struct part {
    mt_real *c, *pre; /* of the first element; pre only where w.pre is not null */
    const mt_real *bias;
    int gap, count;
    bool wide;
};

/* v += bias; pre = v; then C += v, or C = act(v). */
template <int COUNT>
static __device__ __forceinline__ void finish(const product &w, const part &p, mt_real (&v)[COUNT])
{
    if (w.bias) {
        mt_real bias[COUNT];
        get(p.bias, p.gap * w.bias_step, p.wide, p.count, bias);
        for (int e = 0; e < COUNT; e++) v[e] += bias[e];
    }
    if (w.pre) put(p.pre, p.gap * w.pre_col, p.wide, p.count, v);
    if (w.accumulate) {
        mt_real old[COUNT];
        get(p.c, p.gap * w.c_col, p.wide, p.count, old);
        for (int e = 0; e < COUNT; e++) v[e] = old[e] + v[e];
    } else {
        activate(w.act, v);
    }
    put(p.c, p.gap * w.c_col, p.wide, p.count, v);
}

/* The part whose first element is (i, j) of the product whose C begins at w.c + c and whose pre at w.pre +
 * pre. */
static __device__ __forceinline__ part part_at(const product &w, uint64_t c, uint64_t pre, int64_t i,
                                               int64_t j, int gap, int count, bool wide)
{
    return {w.c + c + i * w.c_row + j * w.c_col,
            w.pre + pre + i * w.pre_row + j * w.pre_col,
            w.bias + j * w.bias_step,
            gap,
            count,
            wide};
}

/* ---- without tiles, and the end of a split sum ---- */

/* Where element `number` of [chunk][batch][m][n] is: number = ((chunk*batch + product)*m + i)*n + j, and
 * slice = chunk*batch + product. Without tiles tiles_m and tiles_n divide by m and n. */
struct cell {
    int64_t i, j;
    uint64_t slice, batch, chunk;
};
static __device__ __forceinline__ cell cell_of(const product &w, int64_t number)
{
    if (w.few) {
        const uint32_t row = w.tiles_n.quotient((uint32_t)number), slice = w.tiles_m.quotient(row),
                       chunk = w.products.quotient(slice);
        return {row - slice * w.tiles_m.by, (uint32_t)number - row * w.tiles_n.by, slice,
                slice - chunk * w.products.by, chunk};
    }
    const uint64_t row = (uint64_t)(number / w.n), slice = row / (uint64_t)w.m,
                   chunk = slice / (uint64_t)w.batch;
    return {(int64_t)(row - slice * (uint64_t)w.m), number % w.n, slice, slice - chunk * (uint64_t)w.batch,
            chunk};
}

/* LANES threads an element of C: 1 where k is short, so that loading tiles would not pay; a warp for a
 * product with a vector whose rows are contiguous. Chunks of k as in the tiles. Four steps at a time are
 * under way and summed apart, so that no product goes through many sums. */
template <int LANES> MT_KERNEL void product_direct(product w)
{
    enum { STEPS = 4 };
    const int64_t number = thread_number() / LANES;
    const int lane = threadIdx.x % LANES;
    const cell at = cell_of(w, number);
    uint64_t place[4] = {0, 0, 0, 0};
    mt_real sum = 0;
    const bool inside = at.slice < (uint64_t)(w.batch * w.chunks);
    if (inside) {
        find_product(w, at.batch, place);
        const int64_t first = (int64_t)at.chunk * w.chunk, end = min(first + w.chunk, w.k);
        const mt_real *a = w.a + place[0] + at.i * w.a_row, *b = w.b + place[1] + at.j * w.b_col;
        MT_NO_UNROLL
        for (int64_t k = first + lane; k < end; k += STEPS * LANES) {
            mt_real x[STEPS], y[STEPS], part = 0;
            MT_UNROLL
            for (int t = 0; t < STEPS; t++)
                if (k + t * LANES < end)
                    x[t] = a[(k + t * LANES) * w.a_col], y[t] = b[(k + t * LANES) * w.b_row];
            MT_UNROLL
            for (int t = 0; t < STEPS; t++)
                if (k + t * LANES < end) part = multiply_add(x[t], y[t], part);
            sum += part;
        }
    }
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, (unsigned)distance);
    if (!inside || lane > 0) return;
    mt_real v[1] = {sum};
    finish(w, part_at(w, place[2] + at.slice * w.c_slice, place[3], at.i, at.j, 1, 1, false), v);
}

/* C[i, j] = the sum over the chunks of scratch[chunk][batch][i][j], for COUNT neighbours j a thread;
 * blockDim.y lanes share the chunks and are joined by halves, as in the folds of columns. Here tiles_m and
 * tiles_n count rows and columns. */
template <int COUNT> MT_KERNEL void product_join(product w, const mt_real *chunks)
{
    MT_SHARED(mt_real, joined, [COUNT * FOLD_THREADS]);
    const int64_t number = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, elements = w.m * w.n * w.batch;
    const int64_t lane = threadIdx.y, lanes = blockDim.y;
    const bool inside = number * COUNT < elements;
    mt_real v[COUNT] = {};
    for (int64_t chunk = lane; inside && chunk < w.chunks; chunk += FOLD_TURNS * lanes) {
        mt_real next[FOLD_TURNS][COUNT], part[COUNT] = {};
        MT_UNROLL
        for (int t = 0; t < FOLD_TURNS; t++)
            if (chunk + t * lanes < w.chunks)
                get(chunks + (chunk + t * lanes) * elements + number * COUNT, 1, COUNT == 4, COUNT, next[t]);
        MT_UNROLL
        for (int t = 0; t < FOLD_TURNS; t++)
            if (chunk + t * lanes < w.chunks)
                for (int e = 0; e < COUNT; e++) part[e] += next[t][e];
        for (int e = 0; e < COUNT; e++) v[e] += part[e];
    }
    join_lanes<op_sum>(v, joined);
    if (!inside || lane > 0) return;
    const uint32_t row = w.tiles_n.quotient((uint32_t)number), slice = w.tiles_m.quotient(row);
    uint64_t at[4];
    find_product(w, slice, at);
    finish(w,
           part_at(w, at[2], at[3], row - slice * w.tiles_m.by,
                   ((uint32_t)number - row * w.tiles_n.by) * (int64_t)COUNT, 1, COUNT, COUNT == 4),
           v);
}

} // namespace
} // namespace MT_TWIN

#endif
