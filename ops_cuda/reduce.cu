/* ops_cuda/reduce.cu - reductions, each element once, by a tree that depends on the shape alone.
 *
 * A few threads (lanes) share an output: each folds every lanes-th element in order, then the lanes are
 * joined in a fixed order. A long reduction is cut into chunks whose states a second kernel joins; no atomic
 * decides anything, so the bits are the same in every run. An arg reduction's state is a value and where it
 * stood: the first NaN wins, else the first of the best.
 */
#include <cmath>

#include "backend.cuh"

namespace MT_TWIN {

namespace {

/* ---- what a reduction keeps: start, one element more, two states joined, the other lane's state ---- */

template <class OP> struct of_value {
    typedef mt_real state;
    static __device__ __forceinline__ void take(state &s, mt_real x, int64_t)
    {
        s = OP::both(s, OP::seen(x));
    }
    static __device__ __forceinline__ void join(state &s, state other) { s = OP::both(s, other); }
    static __device__ __forceinline__ state from_lane_above(state s, int distance)
    {
        return __shfl_down_sync(0xffffffffu, s, (unsigned)distance);
    }
    static __device__ __forceinline__ mt_real seen(mt_real x) { return x; }
};
struct op_sum : of_value<op_sum> {
    static __device__ __forceinline__ mt_real start() { return 0; }
    static __device__ __forceinline__ mt_real both(mt_real a, mt_real b) { return a + b; }
};
struct op_prod : of_value<op_prod> {
    static __device__ __forceinline__ mt_real start() { return 1; }
    static __device__ __forceinline__ mt_real both(mt_real a, mt_real b) { return a * b; }
};
/* A NaN, once there, stays: nothing compares greater. */
struct op_max : of_value<op_max> {
    static __device__ __forceinline__ mt_real start() { return (mt_real)-INFINITY; }
    static __device__ __forceinline__ mt_real both(mt_real a, mt_real b) { return b > a || b != b ? b : a; }
};
struct op_min : of_value<op_min> {
    static __device__ __forceinline__ mt_real start() { return (mt_real)INFINITY; }
    static __device__ __forceinline__ mt_real both(mt_real a, mt_real b) { return b < a || b != b ? b : a; }
};
struct op_all : of_value<op_all> {
    static __device__ __forceinline__ mt_real start() { return 1; }
    static __device__ __forceinline__ mt_real seen(mt_real x) { return x != 0 ? (mt_real)1 : 0; }
    static __device__ __forceinline__ mt_real both(mt_real a, mt_real b)
    {
        return a != 0 && b != 0 ? (mt_real)1 : 0;
    }
};

/* A double holds either real exactly, and leaves no padding that nobody writes. */
struct place {
    double value;
    int64_t at; /* -1: nothing seen */
};
template <int SIGN> struct op_arg {
    typedef place state;
    static __device__ __forceinline__ place start() { return {0, -1}; }
    /* Whether b beats a; among equals, and among NaNs, the one that stands first. */
    static __device__ __forceinline__ bool beats(const place &b, const place &a)
    {
        if (b.at < 0 || a.at < 0) return a.at < 0;
        bool nan_a = a.value != a.value, nan_b = b.value != b.value;
        if (nan_a || nan_b) return nan_b && (!nan_a || b.at < a.at);
        if (a.value == b.value) return b.at < a.at;
        return SIGN > 0 ? b.value > a.value : b.value < a.value;
    }
    static __device__ __forceinline__ void take(place &s, mt_real x, int64_t i) { join(s, {x, i}); }
    static __device__ __forceinline__ void join(place &s, const place &other)
    {
        if (beats(other, s)) s.value = other.value, s.at = other.at;
    }
    static __device__ __forceinline__ place from_lane_above(const place &s, int distance)
    {
        return {__shfl_down_sync(0xffffffffu, s.value, (unsigned)distance),
                (int64_t)__shfl_down_sync(0xffffffffu, (long long)s.at, (unsigned)distance)};
    }
};

/* ---- the kernels ---- */

template <class OP> struct fold_work {
    const mt_real *in;
    const typename OP::state *states; /* what the second kernel reads: [output][chunk] */
    mt_real *out;
    int64_t *out_index;
    typename OP::state *partial; /* what the first kernel writes when there are chunks; else null */
    int64_t kept, reduced, chunk, chunks;
    int64_t step; /* of the reduced dimension, where there is one */
    mt_real divisor;
    bool accumulate;
    walk<uint64_t, 2> kept_dims; /* in, out */
    walk<uint64_t, 1> reduced_dims;
};

static __device__ __forceinline__ void put(const fold_work<op_arg<1>> &w, int64_t at, const place &s)
{
    w.out_index[at] = s.at;
}
static __device__ __forceinline__ void put(const fold_work<op_arg<-1>> &w, int64_t at, const place &s)
{
    w.out_index[at] = s.at;
}
template <class OP> static __device__ __forceinline__ void put(const fold_work<OP> &w, int64_t at, mt_real s)
{
    s = s / w.divisor;
    w.out[at] = w.accumulate ? w.out[at] + s : s;
}

enum { LANES_MOST = 256, WARP = 32, COLUMN_LANES = 8 };
enum { ROWS, COLUMNS };         /* lanes stand side by side along x, or one above the other along y */
enum { PLAIN, GENERAL, AGAIN }; /* one reduced dimension; several; states of the first kernel */

/* Rows: x lanes (a warp, or 256 threads) walk along the reduced dimension, so that its stride of 1 gives
 * whole lines; y outputs a block. Columns: x outputs side by side, whose stride is 1, and y lanes. Blocks
 * along y of the grid are chunks. Nothing is assumed of alignment. */
template <class OP, int SHAPE, int SOURCE> MT_KERNEL void fold(fold_work<OP> w)
{
    typedef typename OP::state state;
    MT_SHARED(state, joined, [LANES_MOST]);
    const int x = threadIdx.x, y = threadIdx.y, width = blockDim.x, height = blockDim.y;
    const int lane = SHAPE == ROWS ? x : y, lanes = SHAPE == ROWS ? width : height;
    int64_t output = SHAPE == ROWS ? (int64_t)blockIdx.x * height + y : (int64_t)blockIdx.x * width + x;
    int64_t begin = blockIdx.y * w.chunk, end = min(begin + w.chunk, w.reduced);
    state s = OP::start();
    uint64_t base[2] = {0, 0};
    if (output < w.kept) {
        if (SOURCE == AGAIN) {
            for (int64_t r = lane; r < w.reduced; r += lanes) OP::join(s, w.states[output * w.reduced + r]);
        } else {
            position_of<0>(w.kept_dims, (uint64_t)output, base);
            const mt_real *in = w.in + base[0];
            for (int64_t r = begin + lane; r < end; r += lanes) {
                uint64_t at[1] = {0};
                if (SOURCE == GENERAL)
                    position_of<0>(w.reduced_dims, (uint64_t)r, at);
                else
                    at[0] = (uint64_t)(r * w.step);
                OP::take(s, in[at[0]], r);
            }
        }
    }
    if (SHAPE == ROWS) {
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            OP::join(s, OP::from_lane_above(s, distance));
        if (width > WARP) {
            if (x % WARP == 0) joined[x / WARP] = s;
            __syncthreads();
            if (x == 0)
                for (int i = 1; i < width / WARP; i++) OP::join(s, joined[i]);
        }
    } else if (height > 1) {
        if (y > 0) joined[y * width + x] = s;
        __syncthreads();
        if (y == 0)
            for (int i = 1; i < height; i++) OP::join(s, joined[i * width + x]);
    }
    if (lane > 0 || output >= w.kept) return;
    if (w.partial) {
        w.partial[output * w.chunks + blockIdx.y] = s;
        return;
    }
    if (SOURCE == AGAIN) position_of<0>(w.kept_dims, (uint64_t)output, base);
    put(w, (int64_t)base[1], s);
}

/* ---- on the host ---- */

enum {
    CHUNK = 1 << 14,        /* elements of a row in one block */
    COLUMN_CHUNK = 1 << 10, /* rows of a column in one block */
    CHUNKS_MOST = 1024,
    WARP_ROW = 2048,  /* a row up to this long is one warp's */
    SHORT_COLUMN = 64 /* a column up to this long is one thread's */
};

/* How many outputs keep a card busy without chunks. By shape alone: the same on every card. */
static const int64_t MANY_OUTPUTS = 1 << 15;

template <class OP, int SHAPE, int SOURCE>
static mt_status start_fold(mt_backend *backend, const char *name, const fold_work<OP> &w)
{
    unsigned x, y;
    if (SHAPE == ROWS) {
        bool warp = w.chunk <= WARP_ROW;
        x = warp ? (unsigned)WARP : (unsigned)LANES_MOST;
        y = warp ? (unsigned)(w.kept < 8 ? w.kept : 8) : 1;
    } else {
        bool one = w.chunk <= SHORT_COLUMN;
        x = one ? block_for(w.kept, 128) : (unsigned)WARP;
        y = one ? 1 : (unsigned)COLUMN_LANES;
    }
    int64_t blocks = ceil_div(w.kept, SHAPE == ROWS ? y : x);
    if (blocks > 0x7fffffff)
        return mt_fail(MT_ERR_SHAPE, "%s: %lld results are more than a grid has blocks; work in pieces", name,
                       (long long)w.kept);
    return MT_START(backend, name, (fold<OP, SHAPE, SOURCE>), dim3((unsigned)blocks, (unsigned)w.chunks),
                    dim3(x, y), w);
}

/* Starts the right kernel over chunks of the plan, and the second one when there are several. */
template <class OP>
static mt_status run_fold(mt_backend *backend, const char *name, const mt_reduce_plan *plan, fold_work<OP> w)
{
    bool columns = plan->reduce_class == MT_REDUCE_OUTER, plain = plan->reduced_rank == 1;
    int64_t least = columns ? COLUMN_CHUNK : CHUNK;
    w.chunk = w.reduced, w.chunks = 1;
    if (w.reduced > 2 * least && (w.kept < MANY_OUTPUTS || w.reduced > 64 * least)) {
        w.chunks = ceil_div(w.reduced, least);
        if (w.chunks > CHUNKS_MOST) w.chunks = CHUNKS_MOST;
        w.chunk = ceil_div(w.reduced, w.chunks);
        w.chunks = ceil_div(w.reduced, w.chunk);
    }
    scratch states(backend, w.chunks > 1 ? (size_t)(w.kept * w.chunks) * sizeof(typename OP::state) : 0);
    if (w.chunks > 1) {
        if (!states.data) return MT_ERR_MEMORY;
        w.partial = static_cast<typename OP::state *>(states.data);
    }
    mt_status status = columns ? plain ? start_fold<OP, COLUMNS, PLAIN>(backend, name, w)
                                       : start_fold<OP, COLUMNS, GENERAL>(backend, name, w)
                       : plain ? start_fold<OP, ROWS, PLAIN>(backend, name, w)
                               : start_fold<OP, ROWS, GENERAL>(backend, name, w);
    if (status != MT_OK || w.chunks == 1) return status;
    w.states = w.partial;
    w.partial = nullptr;
    w.reduced = w.chunk = w.chunks;
    w.chunks = 1;
    return start_fold<OP, ROWS, AGAIN>(backend, name, w);
}

template <class OP>
static mt_status reduce_by(mt_backend *backend, const char *name, const mt_reduce_work *work,
                           const mt_reduce_plan *plan)
{
    fold_work<OP> w;
    w.in = static_cast<const mt_real *>(first_of(work->in, sizeof(mt_real)));
    w.out = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.out_index = static_cast<int64_t *>(first_of(work->out, sizeof(int64_t)));
    w.states = nullptr;
    w.partial = nullptr;
    w.kept = plan->kept_count, w.reduced = plan->reduced_count;
    w.step = plan->reduced_in[0];
    w.divisor = work->divisor, w.accumulate = work->accumulate;
    w.kept_dims.rank = plan->kept_rank;
    for (int d = 0; d < plan->kept_rank; d++) {
        w.kept_dims.size[d].set(plan->kept_size[d]);
        w.kept_dims.stride[0][d] = (uint64_t)plan->kept_in[d];
        w.kept_dims.stride[1][d] = (uint64_t)plan->kept_out[d];
    }
    w.reduced_dims.rank = plan->reduced_rank;
    for (int d = 0; d < plan->reduced_rank; d++) {
        w.reduced_dims.size[d].set(plan->reduced_size[d]);
        w.reduced_dims.stride[0][d] = (uint64_t)plan->reduced_in[d];
    }
    return run_fold(backend, name, plan, w);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(reduce)(mt_backend *backend, const mt_reduce_work *work)
{
    mt_reduce_plan plan;
    mt_plan_reduce(&work->out, &work->in, work->reduced, &plan);
    if (plan.kept_count == 0) return MT_OK;
    switch (work->op) {
    case MT_SUM: return reduce_by<op_sum>(backend, "reduce sum", work, &plan);
    case MT_PROD: return reduce_by<op_prod>(backend, "reduce prod", work, &plan);
    case MT_MAX: return reduce_by<op_max>(backend, "reduce max", work, &plan);
    case MT_MIN: return reduce_by<op_min>(backend, "reduce min", work, &plan);
    case MT_ALL: return reduce_by<op_all>(backend, "reduce all", work, &plan);
    case MT_ARGMAX: return reduce_by<op_arg<1>>(backend, "reduce argmax", work, &plan);
    case MT_ARGMIN: return reduce_by<op_arg<-1>>(backend, "reduce argmin", work, &plan);
    }
    return mt_fail(MT_ERR_VALUE, "reduce: there is no reduction %d", (int)work->op);
}

} // namespace MT_TWIN
