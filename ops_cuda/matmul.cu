/* ops_cuda/matmul.cu - which kernel of matmul.cuh multiplies which matrices. By shape and layout alone, so
 * that the same product has the same bits on every card. */
#include "matmul.cuh"
#include <utility>

namespace MT_TWIN {

namespace {

/* A warp's tile, for products of a few thousand elements; one of 256 threads; and the one that a large
 * product of floats needs to read shared memory less often than it multiplies. Doubles fill the registers
 * with the second. */
typedef tile<16, 32, 16, 4, 4, 8> small_tile;
#ifdef MT_DOUBLE
typedef tile<64, 64, 16, 4, 4, 2> middle_tile;
typedef middle_tile large_tile;
#else
typedef tile<64, 64, 16, 4, 4, 3> middle_tile;
typedef tile<128, 128, 8, 8, 8, 2> large_tile;
#endif

enum {
    SHORT_K = 16,        /* up to here each element is summed by one thread */
    BLOCKS_WANTED = 128, /* fewer tiles than this leave multiprocessors idle: k is cut then */
    LEAST_CHUNK = 256    /* but not into less than this */
};

/* Cuts k so that there are blocks enough; chunks are whole multiples of DEPTH. */
static void cut(product *w, int64_t blocks, int depth)
{
    w->chunks = 1, w->chunk = w->k;
    if (blocks >= BLOCKS_WANTED || w->k < 2 * LEAST_CHUNK) return;
    int64_t most = w->k / LEAST_CHUNK, wanted = ceil_div(BLOCKS_WANTED, blocks);
    w->chunk = ceil_div(ceil_div(w->k, most < wanted ? most : wanted), depth) * depth;
    w->chunks = ceil_div(w->k, w->chunk);
}

static mt_status too_many(const product &w)
{
    return mt_fail(MT_ERR_SHAPE,
                   "matmul: %lld products of %lld x %lld are more than one grid can hold; work in pieces",
                   (long long)w.batch, (long long)w.m, (long long)w.n);
}

/* Whether rows of C, and with them pre and bias, can be moved 16 bytes at a time, four elements together. */
static bool is_end_wide(const product &w)
{
    const int64_t width = 16 / (int64_t)sizeof(mt_real);
    bool wide = w.n % 4 == 0 && w.c_col == 1 && w.c_row % width == 0 && (uintptr_t)w.c % 16 == 0;
    if (w.pre) wide = wide && w.pre_col == 1 && w.pre_row % width == 0 && (uintptr_t)w.pre % 16 == 0;
    if (w.bias) wide = wide && w.bias_step == 1 && (uintptr_t)w.bias % 16 == 0;
    for (int d = 0; d < w.batches.rank; d++)
        wide = wide && w.batches.stride[2][d] % width == 0 && w.batches.stride[3][d] % width == 0;
    return wide;
}

/* The end of every path. start(w) runs the product; with chunks it writes their sums to scratch, and the
 * kernel that joins them does the rest. */
template <class START> static mt_status with_chunks(mt_backend *backend, product w, START start_first)
{
    w.wide = is_end_wide(w);
    if (w.chunks == 1) return start_first(w);
    const int64_t elements = w.m * w.n * w.batch;
    scratch sums(backend, (size_t)(elements * w.chunks) * sizeof(mt_real));
    if (!sums.data) return MT_ERR_MEMORY;
    product first = w;
    first.c = static_cast<mt_real *>(sums.data);
    first.c_row = w.n, first.c_col = 1, first.c_slice = w.m * w.n;
    first.bias = nullptr, first.pre = nullptr, first.act = -1, first.accumulate = false;
    for (int d = 0; d < w.batches.rank; d++) first.batches.stride[2][d] = first.batches.stride[3][d] = 0;
    first.wide = is_end_wide(first);
    mt_status status = start_first(first);
    if (status != MT_OK) return status;
    const int64_t threads = w.wide ? elements / 4 : elements;
    w.tiles_m.set(w.m), w.tiles_n.set(w.wide ? w.n / 4 : w.n);
    const unsigned block = block_for(threads);
    return MT_START(backend, "matmul join", w.wide ? product_join<4> : product_join<1>,
                    dim3((unsigned)ceil_div(threads, block)), dim3(block), w, first.c);
}

template <class T, bool A_ALONG_K, bool B_ALONG_K, int WIDTH>
static mt_status start_tiles(mt_backend *backend, const char *name, product w)
{
    const int64_t down = ceil_div(w.m, T::ROWS), across = ceil_div(w.n, T::COLUMNS),
                  blocks = down * across * w.batch * w.chunks;
    if (blocks > 0x7fffffff) return too_many(w);
    w.tiles_m.set(down), w.tiles_n.set(across), w.products.set(w.batch);
    w.a_next = T::DEPTH * w.a_col * (int64_t)sizeof(mt_real);
    w.b_next = T::DEPTH * w.b_row * (int64_t)sizeof(mt_real);
    return MT_START(backend, name, (product_tiles<T, A_ALONG_K, B_ALONG_K, WIDTH>), dim3((unsigned)blocks),
                    dim3(T::THREADS), w);
}

template <class T, int WIDTH>
static mt_status choose_direction(mt_backend *backend, const char *name, const product &w)
{
    bool a_along_k = w.a_col <= w.a_row, b_along_k = w.b_row < w.b_col;
    return a_along_k   ? b_along_k ? start_tiles<T, true, true, WIDTH>(backend, name, w)
                                   : start_tiles<T, true, false, WIDTH>(backend, name, w)
             : b_along_k ? start_tiles<T, false, true, WIDTH>(backend, name, w)
                       : start_tiles<T, false, false, WIDTH>(backend, name, w);
}

/* Whether an operand can be read 16 bytes at a time along the direction that choose_direction takes. */
static bool is_wide(const mt_real *data, int64_t span, int64_t k, int64_t span_step, int64_t k_step,
                    const walk<uint64_t, 4> &batches, int which)
{
    const int64_t width = 16 / (int64_t)sizeof(mt_real);
    bool along_k = which == 0 ? k_step <= span_step : k_step < span_step;
    bool wide = (uintptr_t)data % 16 == 0 && (along_k ? k_step : span_step) == 1 &&
                (along_k ? span_step : k_step) % width == 0 && (along_k ? k : span) % width == 0;
    for (int d = 0; d < batches.rank; d++) wide = wide && batches.stride[which][d] % width == 0;
    return wide;
}

static bool is_wide(const product &w)
{
    return is_wide(w.a, w.m, w.k, w.a_row, w.a_col, w.batches, 0) &&
           is_wide(w.b, w.n, w.k, w.b_col, w.b_row, w.batches, 1);
}

/* WIDTH: how many elements a load takes. */
template <class T, int WIDTH> static mt_status run_tiles(mt_backend *backend, const char *name, product w)
{
    cut(&w, ceil_div(w.m, T::ROWS) * ceil_div(w.n, T::COLUMNS) * w.batch, T::DEPTH);
    return with_chunks(backend, w,
                       [=](const product &p) { return choose_direction<T, WIDTH>(backend, name, p); });
}

template <int LANES> static mt_status run_direct(mt_backend *backend, const char *name, product w)
{
    cut(&w, ceil_div(w.m * w.n * w.batch * LANES, 256), LANES);
    return with_chunks(backend, w, [=](const product &p) {
        int64_t threads = p.m * p.n * p.batch * p.chunks * LANES;
        unsigned block = block_for(threads);
        if (ceil_div(threads, block) > 0x7fffffff) return too_many(p);
        return MT_START(backend, name, (product_direct<LANES>), dim3((unsigned)ceil_div(threads, block)),
                        dim3(block), p);
    });
}

static product gather(const mt_matmul_work *work, const mt_matmul_plan *plan)
{
    product w;
    w.a = static_cast<const mt_real *>(first_of(work->a, sizeof(mt_real)));
    w.b = static_cast<const mt_real *>(first_of(work->b, sizeof(mt_real)));
    w.c = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.bias = work->bias.data ? static_cast<const mt_real *>(first_of(work->bias, sizeof(mt_real))) : nullptr;
    w.pre = work->pre.data ? static_cast<mt_real *>(first_of(work->pre, sizeof(mt_real))) : nullptr;
    w.m = plan->m, w.n = plan->n, w.k = plan->k;
    w.a_row = plan->a_row, w.a_col = plan->a_col, w.b_row = plan->b_row, w.b_col = plan->b_col;
    w.c_row = plan->c_row, w.c_col = plan->c_col, w.pre_row = plan->pre_row, w.pre_col = plan->pre_col;
    w.bias_step = plan->bias_step;
    w.chunks = 1;
    w.chunk = plan->k;
    w.c_slice = 0;
    w.batch = plan->batch;
    w.act = work->has_act && !work->accumulate ? (int)work->act : -1;
    w.accumulate = work->accumulate;
    w.batches.rank = plan->batch_rank;
    for (int d = 0; d < plan->batch_rank; d++) {
        w.batches.size[d].set(plan->batch_size[d]);
        w.batches.stride[0][d] = (uint64_t)plan->batch_a[d];
        w.batches.stride[1][d] = (uint64_t)plan->batch_b[d];
        w.batches.stride[2][d] = (uint64_t)plan->batch_c[d];
        w.batches.stride[3][d] = (uint64_t)plan->batch_pre[d];
    }
    return w;
}

/* Where the columns of C are contiguous rather than its rows: C^T = B^T A^T, the same sums. A bias runs along
 * rows, and is left where it is. */
static void turn(product *w)
{
    if (w->c_col <= w->c_row || w->bias) return;
    std::swap(w->m, w->n), std::swap(w->a, w->b);
    std::swap(w->c_row, w->c_col), std::swap(w->pre_row, w->pre_col);
    std::swap(w->a_row, w->b_col), std::swap(w->a_col, w->b_row);
    for (int d = 0; d < w->batches.rank; d++) std::swap(w->batches.stride[0][d], w->batches.stride[1][d]);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(matmul)(mt_backend *backend, const mt_matmul_work *work)
{
    mt_matmul_plan plan;
    mt_plan_matmul(work, &plan);
    if (plan.m * plan.n * plan.batch == 0) return MT_OK;
    product w = gather(work, &plan);
    turn(&w);
    bool vector = w.m == 1 || w.n == 1, along_k = (w.n == 1 || w.b_row == 1) && (w.m == 1 || w.a_col == 1);
    if (w.k <= SHORT_K || (vector && !along_k)) return run_direct<1>(backend, "matmul direct", w);
    if (vector) return run_direct<32>(backend, "matmul vector", w);
    const int wide = 16 / (int)sizeof(mt_real);
    const int64_t outputs = w.m * w.n * w.batch;
    if (w.m <= 32 || w.n <= 32 || outputs <= 128 * 128)
        return is_wide(w) ? run_tiles<small_tile, wide>(backend, "matmul small", w)
                          : run_tiles<small_tile, 1>(backend, "matmul small", w);
    if (!is_wide(w)) return run_tiles<middle_tile, 1>(backend, "matmul middle", w);
    if (w.m <= 96 || w.n <= 96 || outputs < 1024 * 1024)
        return run_tiles<middle_tile, wide>(backend, "matmul middle", w);
    return run_tiles<large_tile, wide>(backend, "matmul large", w);
}

} // namespace MT_TWIN
