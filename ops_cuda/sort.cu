/* ops_cuda/sort.cu - the order of the elements along a dimension: argsort, or the first of it.
 *
 * Each line becomes pairs of a key, an unsigned integer with the order of the numbers, and a position, padded
 * to a power of two, and goes through a bitonic network (Batcher, 1968): for runs of 2, 4, 8, ... pairs,
 * pairs at half that distance, a quarter, ... are put in order, rising in one run and falling in the next. No
 * two pairs are equal, since positions differ, so the order is that of a stable sort. Distances within a tile
 * are walked in shared memory, larger ones a launch each.
 */
#include <cstring>

#include "backend.cuh"

namespace MT_TWIN {

namespace {

#ifdef MT_DOUBLE
typedef uint64_t sort_key;
#else
typedef uint32_t sort_key;
#endif

enum { SORT_TILE = 1024, SORT_THREADS = SORT_TILE / 2 };

struct sort_work {
    int64_t *out;
    const mt_real *in;
    sort_key *key; /* [line * padded + i], and so at */
    uint32_t *at;
    int64_t n, padded, k;      /* elements of a line, pairs of a line, elements of out's line */
    int64_t count;             /* threads that have something to do */
    int64_t out_step, in_step; /* along dim */
    sort_key turn;             /* all ones: the largest first */
    walk<uint64_t, 2> lines;   /* from a line's number to where it begins in out and in */
};

/* The bits of a number, so changed that they have its order: NaN behind all, zeros of both signs equal. */
MT_DEVICE sort_key key_of(mt_real x)
{
    const sort_key sign = (sort_key)1 << (8 * sizeof(sort_key) - 1);
    sort_key bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return ~(sort_key)0;
    if (x == 0) return sign;
    return bits & sign ? ~bits : bits | sign;
}

/* Thread i of lines*padded: pair i. Those past the end of a line come last. */
MT_KERNEL void sort_load(sort_work w)
{
    const int64_t i = thread_number(), line = i / w.padded, place = i % w.padded;
    uint64_t at[2] = {0, 0};
    if (i >= w.count) return;
    rolled_position_of(w.lines, (uint64_t)line, at);
    w.key[i] = place < w.n ? key_of(w.in[(int64_t)at[1] + place * w.in_step]) ^ w.turn : ~(sort_key)0;
    w.at[i] = (uint32_t)place;
}

/* Puts pairs a and b, a before b, in order: rising or falling. */
MT_DEVICE void put_in_order(sort_key *key, uint32_t *at, int64_t a, int64_t b, bool rising)
{
    const sort_key key_a = key[a], key_b = key[b];
    const uint32_t at_a = at[a], at_b = at[b];
    const bool right = key_a < key_b || (key_a == key_b && at_a < at_b);
    if (right == rising) return;
    key[a] = key_b, key[b] = key_a;
    at[a] = at_b, at[b] = at_a;
}

/* Number i of those of a pair and its partner at that distance, a power of two, which comes first. */
MT_DEVICE int64_t first_of_two(int64_t i, int64_t distance) { return 2 * i - (i & (distance - 1)); }

/* Block b: tile b of all pairs, for runs of length first_run to run, at distances within the tile. */
MT_KERNEL void sort_tile(sort_work w, int64_t first_run, int64_t run)
{
    MT_SHARED(sort_key, key, [SORT_TILE]);
    MT_SHARED(uint32_t, at, [SORT_TILE]);
    const int64_t tile = (int64_t)blockIdx.x * SORT_TILE;
    const int thread = threadIdx.x;
    for (int i = thread; i < SORT_TILE; i += SORT_THREADS) {
        key[i] = tile + i < w.count ? w.key[tile + i] : ~(sort_key)0;
        at[i] = tile + i < w.count ? w.at[tile + i] : 0xffffffffu;
    }
    __syncthreads();
    for (int64_t r = first_run; r <= run; r *= 2) {
        for (int64_t distance = r / 2 < SORT_TILE / 2 ? r / 2 : SORT_TILE / 2; distance > 0; distance /= 2) {
            const int64_t a = first_of_two(thread, distance);
            /* Runs are counted within a line, whose length is a power of two; the last is one run and rises.
             */
            put_in_order(key, at, a, a + distance, ((tile + a) & (w.padded - 1) & r) == 0);
            __syncthreads();
        }
    }
    for (int i = thread; i < SORT_TILE; i += SORT_THREADS)
        if (tile + i < w.count) w.key[tile + i] = key[i], w.at[tile + i] = at[i];
}

/* Thread i of lines*padded/2: two pairs, that distance apart. */
MT_KERNEL void sort_step(sort_work w, int64_t distance, int64_t run)
{
    const int64_t i = thread_number(), a = first_of_two(i, distance);
    if (i >= w.count / 2) return;
    put_in_order(w.key, w.at, a, a + distance, (a & (w.padded - 1) & run) == 0);
}

/* Thread i of lines*k: element i % k of line i / k. */
MT_KERNEL void sort_store(sort_work w)
{
    const int64_t i = thread_number(), line = i / w.k, place = i % w.k;
    uint64_t at[2] = {0, 0};
    if (i >= w.count) return;
    rolled_position_of(w.lines, (uint64_t)line, at);
    w.out[(int64_t)at[0] + place * w.out_step] = (int64_t)w.at[line * w.padded + place];
}

/* The launches of the network. */
static mt_status sort_pairs(mt_backend *backend, const sort_work &w)
{
    const dim3 tiles((unsigned)ceil_div(w.count, SORT_TILE)), threads(SORT_THREADS);
    const unsigned block = block_for(ceil_div(w.count, 2));
    const dim3 halves((unsigned)ceil_div(ceil_div(w.count, 2), block));
    const int64_t within = w.padded < SORT_TILE ? w.padded : (int64_t)SORT_TILE;
    mt_status status = MT_START(backend, "argsort tile", sort_tile, tiles, threads, w, (int64_t)2, within);
    for (int64_t run = 2 * SORT_TILE; run <= w.padded && status == MT_OK; run *= 2) {
        for (int64_t distance = run / 2; distance >= SORT_TILE && status == MT_OK; distance /= 2)
            status = MT_START(backend, "argsort step", sort_step, halves, dim3(block), w, distance, run);
        if (status == MT_OK)
            status = MT_START(backend, "argsort tile", sort_tile, tiles, threads, w, run, run);
    }
    return status;
}

} // namespace

extern "C" mt_status MT_LAUNCHER(argsort)(mt_backend *backend, mt_operand out, mt_operand in, int dim,
                                          bool descending)
{
    sort_work w;
    int64_t lines = 1;
    w.out = static_cast<int64_t *>(first_of(out, sizeof(int64_t)));
    w.in = static_cast<const mt_real *>(first_of(in, sizeof(mt_real)));
    w.n = in.layout->size[dim], w.k = out.layout->size[dim];
    w.out_step = out.layout->stride[dim], w.in_step = in.layout->stride[dim];
    w.turn = descending ? ~(sort_key)0 : (sort_key)0;
    w.lines.rank = 0;
    for (int d = 0; d < in.layout->rank; d++) {
        if (d == dim) continue;
        const int64_t stride[2] = {out.layout->stride[d], in.layout->stride[d]};
        add_dimension(&w.lines, in.layout->size[d], stride);
        lines *= in.layout->size[d];
    }
    const int64_t nowhere[2] = {0, 0};
    if (w.lines.rank == 0) add_dimension(&w.lines, 1, nowhere);
    if (lines == 0 || w.k == 0) return MT_OK;
    w.padded = 2;
    while (w.padded < w.n && w.padded < ((int64_t)1 << 31)) w.padded *= 2;
    if (w.n > ((int64_t)1 << 31) || lines > MOST_THREADS / w.padded) return too_large("argsort", w.n);
    const int64_t pairs = lines * w.padded;
    scratch room(backend, (size_t)pairs * (sizeof(sort_key) + sizeof(uint32_t)));
    if (!room.data) return MT_ERR_MEMORY;
    w.key = static_cast<sort_key *>(room.data);
    w.at = reinterpret_cast<uint32_t *>(w.key + pairs);
    w.count = pairs;
    const unsigned block = block_for(pairs);
    mt_status status =
        MT_START(backend, "argsort load", sort_load, dim3((unsigned)ceil_div(pairs, block)), dim3(block), w);
    if (status == MT_OK) status = sort_pairs(backend, w);
    w.count = lines * w.k;
    const unsigned last = block_for(w.count);
    return status == MT_OK ? MT_START(backend, "argsort store", sort_store,
                                      dim3((unsigned)ceil_div(w.count, last)), dim3(last), w)
                           : status;
}

} // namespace MT_TWIN
