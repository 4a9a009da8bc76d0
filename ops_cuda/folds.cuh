/* ops_cuda/folds.cuh - the kernels of reductions, each element once, by a tree that depends on the shape
 * alone.
 *
 * A few threads (lanes) share an output. A lane folds what it takes in order, four turns at a time, so that
 * four loads are under way and no number goes through many sums; then the lanes are joined by halves. A long
 * reduction is cut into chunks whose results a second kernel folds; no atomic decides anything. How an
 * element is loaded, 16 bytes at a time or alone, decides nothing either: the bits are the same in every run,
 * on every card and for every alignment.
 */
#ifndef MT_FOLDS_CUH
#define MT_FOLDS_CUH

#include <cmath>

#include "backend.cuh"

namespace MT_TWIN {

namespace {

enum { FOLD_WIDTH = 16 / (int)sizeof(mt_real), FOLD_TURNS = 4, FOLD_THREADS = 256, WARP = 32 };

/* ---- what a reduction keeps: start, one element more, two states joined, the other lane's state ---- */

/* places: how many states a lane of a row has, one for each number of its 16 bytes where the order of a
 * lane's sums matters. */
template <class OP> struct of_value {
    typedef mt_real state;
    enum { places = FOLD_WIDTH, gives_index = 0 };
    static __device__ __forceinline__ void take(state &s, mt_real x, int) { s = OP::both(s, OP::seen(x)); }
    static __device__ __forceinline__ void join(state &s, state other) { s = OP::both(s, other); }
    static __device__ __forceinline__ state from_lane_above(state s, int distance)
    {
        return __shfl_down_sync(0xffffffffu, s, (unsigned)distance);
    }
    static __device__ __forceinline__ mt_real seen(mt_real x) { return x; }
    static __device__ __forceinline__ mt_real value(state s) { return s; }
    static __device__ __forceinline__ int at(state) { return 0; }
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

/* A value and where it stands in its chunk; as wide as each other, so that there is no padding that nobody
 * writes. The first NaN wins, else the first of the best. */
template <size_t BYTES> struct integer_of;
template <> struct integer_of<4> {
    typedef int type;
};
template <> struct integer_of<8> {
    typedef long long type;
};
struct place {
    mt_real value;
    integer_of<sizeof(mt_real)>::type at; /* -1: nothing seen */
};
template <int SIGN> struct op_arg {
    typedef place state;
    enum { places = 1, gives_index = 1 };
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
    static __device__ __forceinline__ void take(place &s, mt_real x, int i) { join(s, {x, i}); }
    static __device__ __forceinline__ void join(place &s, const place &other)
    {
        if (beats(other, s)) s.value = other.value, s.at = other.at;
    }
    static __device__ __forceinline__ place from_lane_above(const place &s, int distance)
    {
        return {__shfl_down_sync(0xffffffffu, s.value, (unsigned)distance),
                __shfl_down_sync(0xffffffffu, s.at, (unsigned)distance)};
    }
    static __device__ __forceinline__ mt_real value(const place &s) { return s.value; }
    static __device__ __forceinline__ int at(const place &s) { return (int)s.at; }
};

/* ---- what they work on ---- */

/* What a fold kernel gets. Output o (of kept) folds the `reduced` elements in[kept_dims(o).in +
 * reduced_dims(e)], or in[kept_dims(o).in + e*step] where they are one dimension. Chunk c is the elements
 * from c*chunk on; blockIdx.y is the chunk. N: the integer type that holds outputs and elements. */
template <class N> struct fold_work {
    const mt_real *in;
    const int64_t *origin; /* second kernel of argmax, argmin: origin[i] is the place that in[i] was found at;
                              else null */
    mt_real *out;
    int64_t *out_index;
    mt_real
        *partial; /* first kernel of two: the result of chunk c of output o goes to partial[o*partial_output +
                     c*partial_chunk], its place to partial_index[the same]; else null */
    int64_t *partial_index;
    int64_t partial_output, partial_chunk;
    int64_t kept, reduced, chunk;
    int64_t step; /* the stride of the only reduced dimension (LINE) */
    mt_real divisor;
    bool accumulate;
    bool wide; /* elements may be loaded 16 bytes at a time: neighbours of a row, or neighbouring columns */
    bool wide_out;                               /* results of neighbouring columns may be stored so */
    walk<uint64_t, 2, MT_MAX_DIMS, N> kept_dims; /* in, out */
    walk<uint64_t, 1, MT_MAX_DIMS, N> reduced_dims;
};

/* The elements of chunk blockIdx.y of one output, whose first element is in[base]: at(i) is the chunk's i-th.
 * LINE: they lie along one dimension, w.step apart. */
template <class N, bool LINE> struct chunk_of {
    const fold_work<N> &w;
    const mt_real *in;
    int64_t begin;
    int count;
    __device__ __forceinline__ chunk_of(const fold_work<N> &work, uint64_t base)
        : w(work), in(work.in + base), begin(blockIdx.y * work.chunk),
          count((int)min(work.chunk, work.reduced - begin))
    {
        if (LINE) in += begin * w.step;
    }
    __device__ __forceinline__ const mt_real *at(int i) const
    {
        if (LINE) return in + i * w.step;
        uint64_t place[1] = {0};
        rolled_position_of(w.reduced_dims, (N)(begin + i), place);
        return in + place[0];
    }
    /* FOLD_WIDTH of them from i on. */
    __device__ __forceinline__ void get(int i, mt_real (&v)[FOLD_WIDTH]) const
    {
        if (w.wide) {
            load16(at(i), v);
        } else {
            MT_UNROLL
            for (int j = 0; j < FOLD_WIDTH; j++) v[j] = *at(i + j);
        }
    }
};

template <class OP, class N>
static __device__ __forceinline__ mt_real result(const fold_work<N> &w, const typename OP::state &s,
                                                 const mt_real &old)
{
    if (w.partial) return OP::value(s);
    const mt_real y = OP::value(s) / w.divisor;
    return w.accumulate ? old + y : y;
}

/* Stores the states s of outputs output .. output+COLUMNS-1: to partial where there are several chunks, else,
 * divided and accumulated, to out. base: the offsets of the first in `in` and out. */
template <class OP, int COLUMNS, class N>
static __device__ __forceinline__ void put(const fold_work<N> &w, int64_t output, const uint64_t (&base)[2],
                                           const typename OP::state (&s)[COLUMNS])
{
    const int64_t place = output * w.partial_output + blockIdx.y * w.partial_chunk;
    if constexpr (OP::gives_index) {
        for (int c = 0; c < COLUMNS; c++) {
            int64_t at = blockIdx.y * w.chunk + OP::at(s[c]);
            if (w.origin) at = w.origin[base[0] + (uint64_t)(c + at * w.step)];
            if (w.partial)
                w.partial[place + c] = OP::value(s[c]), w.partial_index[place + c] = at;
            else
                w.out_index[base[1] + c] = at;
        }
    } else {
        mt_real *to = w.partial ? w.partial + place : w.out + base[1], v[COLUMNS], old[COLUMNS] = {};
        if (COLUMNS > 1 && w.wide_out) {
            if constexpr (COLUMNS > 1) {
                if (w.accumulate && !w.partial) load16(to, old);
                for (int c = 0; c < COLUMNS; c++) v[c] = result<OP>(w, s[c], old[c]);
                store16(to, v);
            }
        } else {
            for (int c = 0; c < COLUMNS; c++) {
                if (w.accumulate && !w.partial) old[c] = to[c];
                to[c] = result<OP>(w, s[c], old[c]);
            }
        }
    }
}

/* ---- the kernels ---- */

/* FOLD_TURNS turns of a lane: FOLD_WIDTH neighbours from i on, and again `turn` elements farther. ALL: they
 * are there; else as many as are, the last of them perhaps not whole. Loads along a line are under way
 * together; finding places in several dimensions takes too much code for that. */
template <class OP, bool ALL, class N, bool LINE>
static __device__ __forceinline__ void fold_turns(const chunk_of<N, LINE> &row, int i, int turn,
                                                  typename OP::state (&whole)[OP::places])
{
    enum { TOGETHER = LINE ? FOLD_TURNS : 1 };
    typename OP::state part[OP::places];
    MT_UNROLL
    for (int p = 0; p < OP::places; p++) part[p] = OP::start();
    MT_NO_UNROLL
    for (int some = 0; some < FOLD_TURNS; some += TOGETHER) {
        const int at = i + some * turn;
        mt_real v[TOGETHER][FOLD_WIDTH];
        MT_UNROLL
        for (int t = 0; t < TOGETHER; t++)
            if (ALL || at + t * turn + FOLD_WIDTH <= row.count) row.get(at + t * turn, v[t]);
        MT_UNROLL
        for (int t = 0; t < TOGETHER; t++)
            if (ALL || at + t * turn + FOLD_WIDTH <= row.count) {
                MT_UNROLL
                for (int j = 0; j < FOLD_WIDTH; j++)
                    OP::take(part[j % OP::places], v[t][j], at + t * turn + j);
            }
    }
    const int last = row.count / FOLD_WIDTH * FOLD_WIDTH;
    if (!ALL && last - i < FOLD_TURNS * turn && ((last - i) & (turn - 1)) == 0) {
        MT_UNROLL
        for (int j = 0; j < FOLD_WIDTH - 1; j++)
            if (last + j < row.count) OP::take(part[j % OP::places], *row.at(last + j), last + j);
    }
    MT_UNROLL
    for (int p = 0; p < OP::places; p++) OP::join(whole[p], part[p]);
}

/* Rows: blockDim.x lanes each, a power of two up to a warp, or all threads of the block; blockDim.y rows a
 * block, and blocks along y of the grid are chunks. */
template <class OP, class N, bool LINE> MT_KERNEL void fold_rows(fold_work<N> w)
{
    typedef typename OP::state state;
    MT_SHARED(state, joined, [FOLD_THREADS / WARP]);
    const int lane = threadIdx.x, lanes = blockDim.x;
    const int64_t output = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    uint64_t base[2] = {0, 0};
    state s = OP::start();
    if (output < w.kept) {
        rolled_position_of(w.kept_dims, (N)output, base);
        const chunk_of<N, LINE> row(w, base[0]);
        state whole[OP::places];
        MT_UNROLL
        for (int p = 0; p < OP::places; p++) whole[p] = OP::start();
        const int turn = lanes * FOLD_WIDTH;
        const int turns = FOLD_TURNS * turn, i = lane * FOLD_WIDTH;
        int first = 0;
        if (LINE) {
            MT_NO_UNROLL
            for (; first + turns <= row.count; first += turns)
                fold_turns<OP, true>(row, first + i, turn, whole);
            if (first < row.count) fold_turns<OP, false>(row, first + i, turn, whole);
        } else {
            MT_NO_UNROLL
            for (; first < row.count; first += turns) fold_turns<OP, false>(row, first + i, turn, whole);
        }
        MT_UNROLL
        for (int gap = 1; gap < OP::places; gap *= 2) MT_UNROLL
        for (int p = 0; p + gap < OP::places; p += 2 * gap) OP::join(whole[p], whole[p + gap]);
        s = whole[0];
    }
    for (int distance = min(lanes, (int)WARP) / 2; distance > 0; distance /= 2)
        OP::join(s, OP::from_lane_above(s, distance));
    if (lanes > WARP) {
        if (lane % WARP == 0) joined[lane / WARP] = s;
        __syncthreads();
        if (lane >= WARP) return;
        s = joined[lane % (FOLD_THREADS / WARP)];
        for (int distance = FOLD_THREADS / WARP / 2; distance > 0; distance /= 2)
            OP::join(s, OP::from_lane_above(s, distance));
    }
    if (lane > 0 || output >= w.kept) return;
    const state all[1] = {s};
    put<OP>(w, output, base, all);
}

/* Lanes that stand along y, a power of two, joined by halves: the state of lane 0 is that of all. */
template <class OP, int COLUMNS>
static __device__ __forceinline__ void join_lanes(typename OP::state (&s)[COLUMNS],
                                                  typename OP::state (&joined)[COLUMNS * FOLD_THREADS])
{
    const int lane = threadIdx.y, width = blockDim.x, here = lane * width + threadIdx.x;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if (lane >= half && lane < 2 * half)
            for (int c = 0; c < COLUMNS; c++) joined[c * FOLD_THREADS + here] = s[c];
        __syncthreads();
        if (lane < half)
            for (int c = 0; c < COLUMNS; c++) OP::join(s[c], joined[c * FOLD_THREADS + here + half * width]);
    }
}

/* Columns: blockDim.x threads have COLUMNS neighbours each, which lie side by side, and blockDim.y lanes, a
 * power of two, take every row of that number. */
template <class OP, int COLUMNS, bool LINE> MT_KERNEL void fold_columns(fold_work<uint32_t> w)
{
    typedef typename OP::state state;
    MT_SHARED(state, joined, [COLUMNS * FOLD_THREADS]);
    const int x = threadIdx.x, lane = threadIdx.y, lanes = blockDim.y;
    const int64_t output = ((int64_t)blockIdx.x * blockDim.x + x) * COLUMNS;
    uint64_t base[2] = {0, 0};
    state s[COLUMNS];
    MT_UNROLL
    for (int c = 0; c < COLUMNS; c++) s[c] = OP::start();
    if (output < w.kept) {
        rolled_position_of(w.kept_dims, (uint32_t)output, base);
        const chunk_of<uint32_t, LINE> rows(w, base[0]);
        MT_NO_UNROLL
        for (int r = lane; r < rows.count; r += FOLD_TURNS * lanes) {
            mt_real v[FOLD_TURNS][COLUMNS];
            MT_UNROLL
            for (int t = 0; t < FOLD_TURNS; t++) {
                if (r + t * lanes >= rows.count) continue;
                if constexpr (COLUMNS == 1)
                    v[t][0] = *rows.at(r + t * lanes);
                else
                    load16(rows.at(r + t * lanes), v[t]);
            }
            state part[COLUMNS];
            MT_UNROLL
            for (int c = 0; c < COLUMNS; c++) part[c] = OP::start();
            MT_UNROLL
            for (int t = 0; t < FOLD_TURNS; t++) MT_UNROLL
            for (int c = 0; c < COLUMNS; c++)
                if (r + t * lanes < rows.count) OP::take(part[c], v[t][c], r + t * lanes);
            MT_UNROLL
            for (int c = 0; c < COLUMNS; c++) OP::join(s[c], part[c]);
        }
    }
    join_lanes<OP>(s, joined);
    if (lane > 0 || output >= w.kept) return;
    put<OP>(w, output, base, s);
}

/* ---- on the host ---- */

static inline int64_t power_of_two_from(int64_t n)
{
    int64_t power = 1;
    while (power < n) power *= 2;
    return power;
}

enum { COLUMN_TURNS = 4 /* rows of a lane of columns, while there are lanes */ };

/* Columns that share a block, of whom each has one thread across: all, up to 128 bytes of float. */
static inline int64_t columns_of_block(int64_t columns)
{
    return columns < WARP ? power_of_two_from(columns) : (int64_t)WARP;
}

/* Lanes along y for so many columns of so many rows. */
static inline int64_t lanes_of_columns(int64_t columns, int64_t rows)
{
    const int64_t lanes = power_of_two_from(ceil_div(rows, COLUMN_TURNS)),
                  most = FOLD_THREADS / columns_of_block(columns);
    return lanes < most ? lanes : most;
}

} // namespace
} // namespace MT_TWIN

#endif
