/* ops_cuda/matmul_tiles.cuh - the kernel that multiplies matrices in tiles of shared memory. */
#ifndef MT_MATMUL_TILES_CUH
#define MT_MATMUL_TILES_CUH

#include "matmul.cuh"

namespace MT_TWIN {
namespace {

/* A block computes ROWS x COLUMNS of C in pieces of DEPTH steps of k. SPLIT groups of its threads share every
 * piece: each takes DEPTH / SPLIT steps of it for the whole tile, and their sums are added in order at the
 * end. A thread of a group has ITEM_ROWS x ITEM_COLUMNS sums, in groups of four that stand far apart, so that
 * the threads of a warp read neighbouring words of shared memory. BLOCKS of them must find registers on a
 * multiprocessor at once. */
template <int ROWS_, int COLUMNS_, int DEPTH_, int ITEM_ROWS_, int ITEM_COLUMNS_, int SPLIT_, int BLOCKS_>
struct tile {
    enum {
        ROWS = ROWS_,
        COLUMNS = COLUMNS_,
        DEPTH = DEPTH_,
        ITEM_ROWS = ITEM_ROWS_,
        ITEM_COLUMNS = ITEM_COLUMNS_,
        SPLIT = SPLIT_,
        BLOCKS = BLOCKS_,
        STEPS = DEPTH / SPLIT,
        ACROSS = COLUMNS / ITEM_COLUMNS, /* threads of a group along a row of C */
        DOWN = ROWS / ITEM_ROWS,
        GROUP = ACROSS * DOWN,
        THREADS = GROUP * SPLIT,
        A_PITCH = ROWS + 4, /* the four spread a column over the banks, and keep rows aligned to 16 bytes */
        B_PITCH = COLUMNS + 4,
        A_ROOM = DEPTH * A_PITCH,
        HALF = A_ROOM + DEPTH * B_PITCH, /* a piece of both operands */
        STAGED = 4,                      /* rows of a thread that go through shared memory at a time */
        STAGE_ROWS = DOWN * STAGED,
        STAGE_PITCH = COLUMNS + 4, /* so that rows four apart are half of the banks apart */
        STAGE_ROOM = STAGE_ROWS * STAGE_PITCH,
        ROOM = 2 * HALF > SPLIT *STAGE_ROOM ? 2 * HALF : SPLIT *STAGE_ROOM,
        QUADS = COLUMNS / 4,    /* threads that share a row of C at the end */
        LINES = THREADS / QUADS /* rows that all threads take at a time then */
    };
    static_assert(ACROSS % 8 == 0 && DOWN % 4 == 0, "a warp is 8 threads across and 4 down");
    static_assert(STAGE_ROWS % LINES == 0 || ITEM_ROWS == STAGED, "stages follow each other without a gap");
};

/* One thread's part of moving a SPAN x DEPTH piece of an operand to shared memory as [k][span]. ALONG_K says
 * which of the two the operand's stride 1 (or its smaller stride) runs along: neighbouring threads load along
 * it, no more than 32 bytes of it along k, so that they store to different banks. With WIDTH above 1 that
 * stride is 1, and 16 bytes at a time are loaded: 16 divides every address, and the sizes. The block takes
 * the piece in passes of PASS_SPAN x PASS_DEPTH. */
template <int SPAN, int DEPTH, int PITCH, int THREADS, bool ALONG_K, int WIDTH> struct mover {
    enum {
        LINE = ALONG_K ? 32 / (int)sizeof(mt_real) / WIDTH : SPAN / WIDTH, /* loads side by side */
        LINES = THREADS / LINE,
        PASS_SPAN = !ALONG_K || LINES > SPAN ? SPAN : LINES,
        PASS_DEPTH = ALONG_K ? LINES / PASS_SPAN * LINE * WIDTH : LINES,
        SPANS = SPAN / PASS_SPAN,
        DEPTHS = DEPTH / PASS_DEPTH
    };
    static_assert(THREADS % LINE == 0 && SPANS * PASS_SPAN == SPAN && DEPTHS * PASS_DEPTH == DEPTH,
                  "passes make up the piece");
    mt_real held[SPANS][DEPTHS][WIDTH];
    const mt_real *at; /* the first pass's place */
    int span, depth;   /* the same, in the piece */

    __device__ __forceinline__ void begin(int thread, const mt_real *from, int64_t span_step, int64_t k_step)
    {
        const int along = thread % LINE * WIDTH, line = thread / LINE;
        depth = ALONG_K ? line / PASS_SPAN * (LINE * WIDTH) + along : line;
        span = ALONG_K ? line % PASS_SPAN : along;
        at = from + span * span_step + depth * k_step;
        MT_UNROLL
        for (int s = 0; s < SPANS; s++) MT_UNROLL
        for (int d = 0; d < DEPTHS; d++) MT_UNROLL
        for (int j = 0; j < WIDTH; j++) held[s][d][j] = 0;
    }
    /* Loads ks steps. What lies outside stays as it is: 0, for only the first piece may be shorter than
     * DEPTH. */
    __device__ __forceinline__ void load(int64_t span_step, int64_t k_step, int spans, int ks)
    {
        MT_UNROLL
        for (int s = 0; s < SPANS; s++) MT_UNROLL
        for (int d = 0; d < DEPTHS; d++) {
            const mt_real *from = at + s * PASS_SPAN * span_step + d * PASS_DEPTH * k_step;
            if (span + s * PASS_SPAN >= spans || depth + d * PASS_DEPTH >= ks) continue;
            if constexpr (WIDTH > 1)
                load16(from, held[s][d]);
            else
                held[s][d][0] = *from;
        }
    }
    __device__ __forceinline__ void advance(int64_t bytes)
    {
        at = reinterpret_cast<const mt_real *>(reinterpret_cast<const char *>(at) + bytes);
    }
    __device__ __forceinline__ void store(mt_real *to) const
    {
        to += depth * PITCH + span;
        MT_UNROLL
        for (int s = 0; s < SPANS; s++) MT_UNROLL
        for (int d = 0; d < DEPTHS; d++) {
            mt_real *there = to + d * PASS_DEPTH * PITCH + s * PASS_SPAN;
            if constexpr (WIDTH > 1 && !ALONG_K)
                store16(there, held[s][d]);
            else
                for (int j = 0; j < WIDTH; j++) there[j * PITCH] = held[s][d][j];
        }
    }
};

/* COUNT numbers in groups of four, GAP words apart, each group aligned to 16 bytes. */
template <int COUNT, int GAP>
static __device__ __forceinline__ void fragment(const mt_real *from, mt_real (&to)[COUNT])
{
    const int WIDTH = 16 / (int)sizeof(mt_real);
    MT_UNROLL
    for (int i = 0; i < COUNT; i += WIDTH) {
        mt_real v[WIDTH];
        load16(from + i / 4 * GAP + i % 4, v);
        for (int j = 0; j < WIDTH; j++) to[i + j] = v[j];
    }
}

/* The tile's kernel: while one half of shared memory is multiplied, the next piece is on its way in
 * registers. The first piece takes what whole ones leave of k, so that the loop need not look. Rows of the
 * result go through shared memory at the end, so that C is written along its own stride of 1 and the
 * activation stands in the code once. */
template <class T, bool A_ALONG_K, bool B_ALONG_K, int WIDTH>
MT_KERNEL void __launch_bounds__(T::THREADS, T::BLOCKS) product_tiles(product w)
{
    MT_SHARED(__align__(16) mt_real, room, [T::ROOM]); /* fragment() reads 16 bytes at a time */
    MT_SHARED(int64_t, place, [4]); /* what only the end needs, out of the registers until then */
    const uint32_t number = w.tiles_m.quotient(blockIdx.x), slice = w.tiles_n.quotient(number),
                   chunk = w.products.quotient(slice);
    const int64_t row = (int64_t)(blockIdx.x - number * w.tiles_m.by) * T::ROWS,
                  column = (int64_t)(number - slice * w.tiles_n.by) * T::COLUMNS, first = chunk * w.chunk;
    const int rows = (int)min(w.m - row, (int64_t)T::ROWS),
              columns = (int)min(w.n - column, (int64_t)T::COLUMNS);
    const int thread = threadIdx.x, group = thread / T::GROUP, warp = thread % T::GROUP / 32,
              lane = thread % 32;
    /* A warp is 8 threads across and 4 down. Bits 0, 2 and 3 of a lane count across, 1 and 4 down: so lanes n
     * and n ^ 2 read the same of B, n and n ^ 1 the same of A, which halves what a read of 16 bytes takes. */
    const int across = warp % (T::ACROSS / 8) * 8 + (lane & 1) + (lane >> 1 & 6),
              down = warp / (T::ACROSS / 8) * 4 + (lane >> 1 & 1) + (lane >> 3 & 2);

    uint64_t at[4];
    find_product(w, slice - chunk * w.products.by, at);
    mover<T::ROWS, T::DEPTH, T::A_PITCH, T::THREADS, A_ALONG_K, WIDTH> move_a;
    mover<T::COLUMNS, T::DEPTH, T::B_PITCH, T::THREADS, B_ALONG_K, WIDTH> move_b;
    move_a.begin(thread, w.a + at[0] + row * w.a_row + first * w.a_col, w.a_row, w.a_col);
    move_b.begin(thread, w.b + at[1] + column * w.b_col + first * w.b_row, w.b_col, w.b_row);
    mt_real sum[T::ITEM_ROWS][T::ITEM_COLUMNS];
    MT_UNROLL
    for (int i = 0; i < T::ITEM_ROWS; i++) MT_UNROLL
    for (int j = 0; j < T::ITEM_COLUMNS; j++) sum[i][j] = 0;

    const int64_t length = min(w.chunk, w.k - first);
    int left = (int)((length - 1) / T::DEPTH);            /* pieces after this one */
    int steps = (int)(length - (int64_t)left * T::DEPTH); /* of this one */
    move_a.load(w.a_row, w.a_col, rows, steps);
    move_b.load(w.b_col, w.b_row, columns, steps);
    move_a.at += steps * w.a_col, move_b.at += steps * w.b_row;
    if (thread == 0) {
        place[0] = row, place[1] = column;
        place[2] = (int64_t)at[2] + slice * w.c_slice, place[3] = (int64_t)at[3];
    }
    int here = 0; /* where the half that is read begins in room */
    move_a.store(room);
    move_b.store(room + T::A_ROOM);
    __syncthreads();
    MT_NO_UNROLL
    for (; left >= 0; left--) {
        if (left > 0) {
            move_a.load(w.a_row, w.a_col, rows, T::DEPTH);
            move_b.load(w.b_col, w.b_row, columns, T::DEPTH);
            move_a.advance(w.a_next), move_b.advance(w.b_next);
        }
        if (T::SPLIT == 1 || group * T::STEPS < steps) { /* else nothing but zeros */
            const mt_real *a = room + here + group * T::STEPS * T::A_PITCH + down * 4,
                          *b = room + here + T::A_ROOM + group * T::STEPS * T::B_PITCH + across * 4;
            MT_UNROLL_EIGHT /* more would ask for more registers than there are */
                for (int k = 0; k < T::STEPS; k++)
            {
                mt_real x[T::ITEM_ROWS], y[T::ITEM_COLUMNS];
                fragment<T::ITEM_ROWS, 4 * T::DOWN>(a + k * T::A_PITCH, x);
                fragment<T::ITEM_COLUMNS, 4 * T::ACROSS>(b + k * T::B_PITCH, y);
                MT_UNROLL
                for (int i = 0; i < T::ITEM_ROWS; i++) MT_UNROLL
                for (int j = 0; j < T::ITEM_COLUMNS; j++) sum[i][j] = multiply_add(x[i], y[j], sum[i][j]);
            }
        }
        steps = T::DEPTH;
        if (left > 0) {
            here = T::HALF - here;
            move_a.store(room + here);
            move_b.store(room + here + T::A_ROOM);
        }
        __syncthreads();
    }

    /* Rows of a stage stand together. A thread takes four neighbours of a row when they can be moved at once,
     * else four that are as far apart as makes threads neighbours. */
    const int quad = thread % T::QUADS, first_column = w.wide ? 4 * quad : quad;
    const int width = (int)min(w.n - place[1], (int64_t)T::COLUMNS) - first_column;
    const int height = (int)min(w.m - place[0], (int64_t)T::ROWS);
    part p = part_at(w, (uint64_t)place[2], (uint64_t)place[3], place[0] + thread / T::QUADS,
                     place[1] + first_column, w.wide ? 1 : T::QUADS,
                     w.wide ? 4 : (width + T::QUADS - 1) / T::QUADS, w.wide);
    MT_UNROLL
    for (int stage = 0; stage < T::ITEM_ROWS; stage += T::STAGED) {
        MT_UNROLL
        for (int i = 0; i < T::STAGED; i++) MT_UNROLL
        for (int j = 0; j < T::ITEM_COLUMNS; j += 4) {
            mt_real v[4] = {sum[stage + i][j], sum[stage + i][j + 1], sum[stage + i][j + 2],
                            sum[stage + i][j + 3]};
            put(room + group * T::STAGE_ROOM + (down * T::STAGED + i) * T::STAGE_PITCH + j * T::ACROSS +
                    across * 4,
                1, true, 4, v);
        }
        __syncthreads();
        MT_NO_UNROLL
        for (int r = thread / T::QUADS; r < T::STAGE_ROWS; r += T::LINES) {
            if (stage * T::DOWN + r >= height || width <= 0) break;
            const mt_real *sums = room + r * T::STAGE_PITCH + first_column;
            mt_real v[4];
            get(sums, p.gap, p.wide, p.count, v);
            for (int g = 1; g < T::SPLIT; g++) {
                mt_real next[4];
                get(sums + g * T::STAGE_ROOM, p.gap, p.wide, p.count, next);
                for (int e = 0; e < 4; e++) v[e] += next[e];
            }
            finish(w, p, v);
            p.c += T::LINES * w.c_row, p.pre += T::LINES * w.pre_row;
        }
        __syncthreads();
    }
}

} // namespace
} // namespace MT_TWIN

#endif
