/* ops_cuda/matmul.cu - which kernel multiplies which matrices. By shape and layout alone, so that the same
 * product has the same bits on every card. */
#include "matmul_tiles.cuh"
#include <initializer_list>
#include <utility>

namespace MT_TWIN {

namespace {

/* The tiles: rows and columns of C, depth of a piece of k, the sums of a thread, groups that share a piece,
 * blocks that must fit a multiprocessor. More sums need fewer reads of shared memory: where the multiply-adds
 * of a step of k take 4, 8 and 16 clocks (4 x 4, 8 x 4, 8 x 8 sums), its reads take 4, 6 and 8. A C of few
 * elements needs small tiles, or most multiprocessors would have none; groups that share k then give each of
 * them the eight warps that hide how long memory takes. Doubles fill the registers with 4 x 4 sums, and
 * shared memory with half of the depth. */
#ifdef MT_DOUBLE
typedef tile<16, 32, 32, 4, 4, 4, 3> small_tile;
typedef tile<64, 64, 16, 4, 4, 1, 2> middle_tile;
#else
typedef tile<16, 32, 64, 4, 4, 8, 2> small_tile;
typedef tile<32, 64, 32, 8, 4, 4, 2> low_tile;
typedef tile<64, 64, 16, 8, 4, 2, 2> middle_tile;
typedef tile<128, 128, 8, 8, 8, 1, 2> large_tile;
#endif

/* The choice reckons with an H100 or H200, whatever card there is. */
enum {
    MULTIPROCESSORS = 132,                      /* fewer blocks leave some of them idle */
    MULTIPLY_ADDS = 512 / (int)sizeof(mt_real), /* of a multiprocessor in a clock */
    BANDWIDTH = 3200,                           /* bytes that the second cache moves in a clock */
    JOIN = 5000,                                /* clocks of a second kernel that has nothing to do */
    WARPS = 16 * MULTIPROCESSORS,               /* fewer, without tiles, leave the memory idle */
    LEAST_CHUNK = 256,                          /* k is not cut into less */
    MOST_STEPS = 256,                           /* a lane's, of a chunk without tiles: for the sum's error */
    SHORT_K = 16,                               /* a thread sums an element up to here, of a C that is */
    NARROW = 16,                                /* narrower than this, or has no more elements than the */
    FEW_OUTPUTS = MULTIPROCESSORS * 128         /* card has lanes */
};

/* Cuts k so that of `have` blocks, or warps, there are `enough`, and into chunks of at most `longest` steps;
 * these are whole multiples of depth. product_join counts elements of C in 31 bits, and more need no chunks.
 */
static void cut(product *w, int64_t have, int64_t enough, int depth, int64_t longest)
{
    w->chunks = 1, w->chunk = w->k;
    if ((have >= enough && w->k <= longest) || w->k < 2 * LEAST_CHUNK || !fits_quick(w->m * w->n * w->batch))
        return;
    const int64_t most = w->k / LEAST_CHUNK;
    int64_t wanted = have < enough ? ceil_div(enough, have) : 1;
    if (wanted < ceil_div(w->k, longest)) wanted = ceil_div(w->k, longest);
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
    const int64_t threads = w.wide ? elements / 4 : elements, x = columns_of_block(threads);
    w.tiles_m.set(w.m), w.tiles_n.set(w.wide ? w.n / 4 : w.n);
    return MT_START(backend, "matmul join", w.wide ? product_join<4> : product_join<1>,
                    dim3((unsigned)ceil_div(threads, x)),
                    dim3((unsigned)x, (unsigned)lanes_of_columns(elements, w.chunks)), w, first.c);
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

template <class T, int WIDTH>
static mt_status run_tiles(mt_backend *backend, const char *name, const product &w)
{
    return with_chunks(backend, w,
                       [=](const product &p) { return choose_direction<T, WIDTH>(backend, name, p); });
}

/* A tile as the choice sees it. price: hundredths of the clocks that its multiply-adds would take alone, by
 * their share of the inner loop as it is compiled; the two smallest read so much of the second cache that
 * this sets the price. run[1] loads 16 bytes at a time, run[0] single numbers, null where another tile does.
 */
struct kind {
    const char *name;
    int64_t rows, columns;
    int depth, price[2];
    mt_status (*run[2])(mt_backend *backend, const char *name, const product &w);
};
enum { WIDE = 16 / (int)sizeof(mt_real) };
/* clang-format off */
#define KIND(T) T::ROWS, T::COLUMNS, T::DEPTH
static const kind kinds[] = {
    {"matmul small",  KIND(small_tile),  {215, 195}, {run_tiles<small_tile, 1>,  run_tiles<small_tile, WIDE>}},
    {"matmul middle", KIND(middle_tile), {140, 123}, {run_tiles<middle_tile, 1>, run_tiles<middle_tile, WIDE>}},
#ifndef MT_DOUBLE
    {"matmul low",    KIND(low_tile),    {0,   140}, {nullptr,                   run_tiles<low_tile, WIDE>}},
    {"matmul large",  KIND(large_tile),  {0,   113}, {nullptr,                   run_tiles<large_tile, WIDE>}},
#endif
};
/* clang-format on */

/* Clocks until a product is done: blocks one after another on a multiprocessor, each with its steps of k, its
 * start and its end; and the join of chunks. */
static int64_t clocks(const kind &t, bool wide, const product &w, int64_t blocks)
{
    const int64_t area = t.rows * t.columns, outputs = w.m * w.n * w.batch;
    const int64_t block = 600 + area / 10 + area * w.chunk / MULTIPLY_ADDS * t.price[wide] / 100;
    const int64_t joined = JOIN + outputs * (2 * w.chunks + 1) * (int64_t)sizeof(mt_real) / BANDWIDTH;
    return ceil_div(blocks * w.chunks, MULTIPROCESSORS) * block + (w.chunks > 1 ? joined : 0);
}

/* Takes the tile and the cut of k that are estimated to be the quickest. */
static mt_status choose_tile(mt_backend *backend, const product &w)
{
    const bool wide = is_wide(w);
    const kind *chosen = nullptr;
    product best = w;
    int64_t least = 0;
    for (const kind &t : kinds) {
        if (!t.run[wide]) continue;
        const int64_t blocks = ceil_div(w.m, t.rows) * ceil_div(w.n, t.columns) * w.batch;
        product whole = w, pieces = w;
        cut(&pieces, blocks, MULTIPROCESSORS, t.depth, w.k);
        for (const product *p : {&whole, &pieces}) {
            const int64_t estimate = clocks(t, wide, *p, blocks);
            if (!chosen || estimate < least) chosen = &t, best = *p, least = estimate;
        }
    }
    return chosen->run[wide](backend, chosen->name, best);
}

template <int LANES> static mt_status run_direct(mt_backend *backend, const char *name, product w)
{
    cut(&w, ceil_div(w.m * w.n * w.batch * LANES, 32), WARPS, LANES, (int64_t)MOST_STEPS * LANES);
    w.few = fits_quick(w.m * w.n * w.batch * w.chunks + 256);
    if (w.few) w.tiles_m.set(w.m), w.tiles_n.set(w.n), w.products.set(w.batch);
    return with_chunks(backend, w, [=](const product &p) {
        int64_t threads = p.m * p.n * p.batch * p.chunks * LANES;
        unsigned block = block_for(threads);
        if (ceil_div(threads, block) > 0x7fffffff) return too_many(p);
        return MT_START(backend, name, (product_direct<LANES>), dim3((unsigned)ceil_div(threads, block)),
                        dim3(block), p);
    });
}

static product product_of(const mt_matmul_work *work, const mt_matmul_plan *plan)
{
    product w;
    w.m = plan->m, w.n = plan->n, w.k = plan->k;
    w.a = plan->a.data, w.a_row = plan->a.row, w.a_col = plan->a.col;
    w.b = plan->b.data, w.b_row = plan->b.row, w.b_col = plan->b.col;
    w.c = plan->c.data, w.c_row = plan->c.row, w.c_col = plan->c.col;
    w.pre = plan->pre.data, w.pre_row = plan->pre.row, w.pre_col = plan->pre.col;
    w.bias = plan->bias.data, w.bias_step = plan->bias.col;
    w.chunks = 1;
    w.chunk = plan->k;
    w.few = false;
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
    product w = product_of(work, &plan);
    turn(&w);
    bool vector = w.m == 1 || w.n == 1, along_k = (w.n == 1 || w.b_row == 1) && (w.m == 1 || w.a_col == 1);
    bool few = w.m < NARROW || w.n < NARROW || w.m * w.n * w.batch <= FEW_OUTPUTS;
    if ((w.k <= SHORT_K && few) || (vector && !along_k)) return run_direct<1>(backend, "matmul direct", w);
    if (vector) return run_direct<32>(backend, "matmul vector", w);
    return choose_tile(backend, w);
}

} // namespace MT_TWIN
