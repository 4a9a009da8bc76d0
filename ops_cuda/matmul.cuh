/* ops_cuda/matmul.cuh - the kernels of matrix multiplication: tiles, a direct one, and the end of a split
 * sum.
 *
 * C[b, i, j] = act(sum over k of A[b, i, k] B[b, k, j] + bias[j]). Every operand has a row and a column
 * stride, so a transpose or a broadcast is absorbed where elements are loaded. A long sum over k in a product
 * with few tiles is cut into chunks, chosen by shape alone, that are added in order.
 */
#ifndef MT_MATMUL_CUH
#define MT_MATMUL_CUH

#include "backend.cuh"
#include "tensor/scalar_ops.h"

namespace MT_TWIN {
namespace {

struct product {
    const mt_real *a, *b, *bias; /* bias null: none */
    mt_real *c, *pre;            /* pre null: not kept */
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col, pre_row, pre_col, bias_step;
    int64_t a_next, b_next;                       /* bytes from a piece of k to the next */
    int64_t batch, chunk, chunks;                 /* chunk: steps of k, of which there are chunks */
    divisor<uint32_t> tiles_m, tiles_n, products; /* how a tile's block finds its place; products = batch */
    mt_real *partial;                             /* [chunk][batch][m][n] when there are chunks, else null */
    int act;                                      /* -1: none */
    bool accumulate;
    walk<uint64_t, 4> batches; /* a, b, c, pre */
};

/* A switch over the table instead of a pointer: one inlined copy of each function. */
static __device__ __forceinline__ mt_real activate(int act, mt_real x)
{
    switch (act) {
        /* clang-format off */
#define MT_MAP(name, params, needs, low, high, formula) case MT_OP_##name: return mt_f_##name(x, 0, 0);
#include "tensor/op_table.inc"
    /* clang-format on */
    default: return x;
    }
}

/* The end of every path: bias, pre-activation, and C or C plus. at holds the batch's positions in a, b, c,
 * pre. */
static __device__ __forceinline__ void finish(const product &w, const uint64_t (&at)[4], int64_t i, int64_t j,
                                              mt_real value)
{
    if (w.bias) value += w.bias[j * w.bias_step];
    if (w.pre) w.pre[(int64_t)at[3] + i * w.pre_row + j * w.pre_col] = value;
    mt_real *c = w.c + at[2] + i * w.c_row + j * w.c_col;
    if (w.accumulate)
        *c = *c + value;
    else
        *c = activate(w.act, value);
}

/* ---- tiles ---- */

/* A block computes ROWS x COLUMNS of C in steps of DEPTH along k; a thread ITEM_ROWS x ITEM_COLUMNS of them,
 * in groups of four that stand far apart, so that the threads of a warp read neighbouring words of shared
 * memory. */
template <int ROWS_, int COLUMNS_, int DEPTH_, int ITEM_ROWS_, int ITEM_COLUMNS_, int BLOCKS_> struct tile {
    enum {
        ROWS = ROWS_,
        COLUMNS = COLUMNS_,
        DEPTH = DEPTH_,
        ITEM_ROWS = ITEM_ROWS_,
        ITEM_COLUMNS = ITEM_COLUMNS_,
        ACROSS = COLUMNS / ITEM_COLUMNS, /* threads along a row of C */
        DOWN = ROWS / ITEM_ROWS,
        THREADS = ACROSS * DOWN,
        A_PITCH = ROWS + 4, /* the four spread a column over the banks, and keep rows aligned to 16 bytes */
        B_PITCH = COLUMNS + 4,
        A_ROOM = DEPTH * A_PITCH,
        B_ROOM = DEPTH * B_PITCH,
        STAGED = 4, /* rows of a thread that go through shared memory at a time */
        STAGE_ROWS = DOWN * STAGED,
        STAGE_ROOM = STAGE_ROWS * COLUMNS,
        HALF = A_ROOM + B_ROOM, /* a piece of both operands */
        LOAD_ROOM = 2 * HALF,
        ROOM = LOAD_ROOM > STAGE_ROOM ? LOAD_ROOM : STAGE_ROOM,
        BLOCKS = BLOCKS_ /* that must find registers on a multiprocessor at once */
    };
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
    MT_SHARED(int64_t, place, [5]); /* what only the end needs, out of the registers until then */
    const uint32_t number = w.tiles_m.quotient(blockIdx.x), slice = w.tiles_n.quotient(number),
                   chunk = w.products.quotient(slice);
    const int64_t row = (int64_t)(blockIdx.x - number * w.tiles_m.by) * T::ROWS,
                  column = (int64_t)(number - slice * w.tiles_n.by) * T::COLUMNS, first = chunk * w.chunk;
    const int rows = (int)min(w.m - row, (int64_t)T::ROWS),
              columns = (int)min(w.n - column, (int64_t)T::COLUMNS);
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    /* A warp is 8 threads across and 4 down. Bits 0, 2 and 3 of a lane count across, 1 and 4 down: so lanes n
     * and n ^ 2 read the same of B, n and n ^ 1 the same of A, which halves what a read of 16 bytes takes. */
    const int across = warp % (T::ACROSS / 8) * 8 + (lane & 1) + (lane >> 1 & 6),
              down = warp / (T::ACROSS / 8) * 4 + (lane >> 1 & 1) + (lane >> 3 & 2);

    uint64_t at[4] = {0, 0, 0, 0};
    position_of<0>(w.batches, (uint64_t)(slice - chunk * w.products.by), at);
    mover<T::ROWS, T::DEPTH, T::A_PITCH, T::THREADS, A_ALONG_K, WIDTH> move_a;
    mover<T::COLUMNS, T::DEPTH, T::B_PITCH, T::THREADS, B_ALONG_K, WIDTH> move_b;
    move_a.begin(thread, w.a + at[0] + row * w.a_row + first * w.a_col, w.a_row, w.a_col);
    move_b.begin(thread, w.b + at[1] + column * w.b_col + first * w.b_row, w.b_col, w.b_row);
    mt_real sum[T::ITEM_ROWS][T::ITEM_COLUMNS];
    MT_UNROLL
    for (int i = 0; i < T::ITEM_ROWS; i++) MT_UNROLL
    for (int j = 0; j < T::ITEM_COLUMNS; j++) sum[i][j] = 0;

    const int64_t length = min(w.chunk, w.k - first);
    int left = (int)((length - 1) / T::DEPTH); /* pieces after this one */
    const int rest = (int)(length - (int64_t)left * T::DEPTH);
    move_a.load(w.a_row, w.a_col, rows, rest);
    move_b.load(w.b_col, w.b_row, columns, rest);
    move_a.at += rest * w.a_col, move_b.at += rest * w.b_row;
    if (thread == 0) {
        place[0] = row, place[1] = column, place[2] = slice;
        place[3] = (int64_t)at[2], place[4] = (int64_t)at[3];
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
        const mt_real *a = room + here + down * 4, *b = room + here + T::A_ROOM + across * 4;
        MT_UNROLL_EIGHT /* more would ask for more registers than there are */
            for (int k = 0; k < T::DEPTH; k++)
        {
            mt_real x[T::ITEM_ROWS], y[T::ITEM_COLUMNS];
            fragment<T::ITEM_ROWS, 4 * T::DOWN>(a + k * T::A_PITCH, x);
            fragment<T::ITEM_COLUMNS, 4 * T::ACROSS>(b + k * T::B_PITCH, y);
            MT_UNROLL
            for (int i = 0; i < T::ITEM_ROWS; i++) MT_UNROLL
            for (int j = 0; j < T::ITEM_COLUMNS; j++) sum[i][j] = multiply_add(x[i], y[j], sum[i][j]);
        }
        if (left > 0) {
            here = T::HALF - here;
            move_a.store(room + here);
            move_b.store(room + here + T::A_ROOM);
        }
        __syncthreads();
    }

    const bool along_row = w.c_col <= w.c_row;
    const int64_t c_row = place[0], c_column = place[1], c_slice = place[2];
    const uint64_t end[4] = {0, 0, (uint64_t)place[3], (uint64_t)place[4]};
    MT_UNROLL
    for (int stage = 0; stage < T::ITEM_ROWS; stage += T::STAGED) {
        MT_UNROLL
        for (int i = 0; i < T::STAGED; i++) MT_UNROLL
        for (int j = 0; j < T::ITEM_COLUMNS; j++)
            room[(down * T::STAGED + i) * T::COLUMNS + j / 4 * 4 * T::ACROSS + across * 4 + j % 4] =
                sum[stage + i][j];
        __syncthreads();
        MT_NO_UNROLL
        for (int e = thread; e < T::STAGE_ROOM; e += T::THREADS) {
            int r = along_row ? e / T::COLUMNS : e % T::STAGE_ROWS,
                j = along_row ? e % T::COLUMNS : e / T::STAGE_ROWS;
            int line = stage * T::DOWN + r; /* the rows of a stage stand together */
            if (line >= rows || j >= columns) continue;
            if (w.partial)
                w.partial[(c_slice * w.m + c_row + line) * w.n + c_column + j] = room[r * T::COLUMNS + j];
            else
                finish(w, end, c_row + line, c_column + j, room[r * T::COLUMNS + j]);
        }
        __syncthreads();
    }
}

/* ---- without tiles ---- */

/* LANES threads an element of C: 1 where k is short, so that loading tiles would not pay; a warp for a
 * product with a vector whose rows are contiguous. Chunks of k as in the tiles. */
template <int LANES> MT_KERNEL void product_direct(product w)
{
    const int64_t number = thread_number() / LANES;
    const int lane = threadIdx.x % LANES;
    const int64_t each = w.m * w.n, i = number % each / w.n, j = number % w.n;
    const uint64_t slice = (uint64_t)(number / each), batch = slice % w.batch, chunk = slice / w.batch;
    uint64_t at[4] = {0, 0, 0, 0};
    mt_real sum = 0;
    const bool inside = slice < (uint64_t)(w.batch * w.chunks);
    if (inside) {
        position_of<0>(w.batches, batch, at);
        const int64_t first = (int64_t)chunk * w.chunk, end = min(first + w.chunk, w.k);
        const mt_real *a = w.a + at[0] + i * w.a_row, *b = w.b + at[1] + j * w.b_col;
        for (int64_t k = first + lane; k < end; k += LANES)
            sum = multiply_add(a[k * w.a_col], b[k * w.b_row], sum);
    }
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, (unsigned)distance);
    if (!inside || lane > 0) return;
    if (w.partial)
        w.partial[((int64_t)chunk * w.batch + (int64_t)batch) * each + i * w.n + j] = sum;
    else
        finish(w, at, i, j, sum);
}

/* Adds the chunks of an element in order. */
MT_KERNEL void product_join(product w)
{
    const int64_t number = thread_number(), each = w.m * w.n;
    if (number >= each * w.batch) return;
    uint64_t at[4] = {0, 0, 0, 0};
    position_of<0>(w.batches, (uint64_t)(number / each), at);
    mt_real sum = 0;
    for (int64_t chunk = 0; chunk < w.chunks; chunk++) sum += w.partial[chunk * each * w.batch + number];
    finish(w, at, number % each / w.n, number % w.n, sum);
}

} // namespace
} // namespace MT_TWIN

#endif
