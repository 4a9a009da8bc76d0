/* ops_cpu/gemm_pack.c - copies of A and B in the order in which matmul's tiles read them, compiled once for
 * each instruction set (MT_ISA_NAME).
 *
 * What lies contiguous along the panel's rows is copied in runs; what lies contiguous along k is turned, some
 * rows by some steps of k at a time, in registers; anything else goes number by number.
 */
#include <string.h>

#include "gemm_tile.h"
#include "kernels.h"

/* ---- turning rows into columns ---- */

/* Turns MT_PIECE columns of as many rows: out[j * out_step + i] = in[i * lane + j]. */
MT_ALWAYS_INLINE void turn_piece(const mt_real *in, int64_t lane, mt_real *out, int64_t out_step)
{
    mt_piece row[MT_PIECE], turned[MT_PIECE];
    MT_UNROLL for (int i = 0; i < MT_PIECE; i++) memcpy(&row[i], in + i * lane, sizeof *row);
#ifdef MT_DOUBLE
    turned[0] = __builtin_shufflevector(row[0], row[1], 0, 2);
    turned[1] = __builtin_shufflevector(row[0], row[1], 1, 3);
#else
    const mt_piece low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5),
                   low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5),
                   high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7),
                   high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    turned[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    turned[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    turned[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    turned[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
#endif
    MT_UNROLL for (int j = 0; j < MT_PIECE; j++) memcpy(out + j * out_step, &turned[j], sizeof *turned);
}

/* The same for a pair of pieces of rows. 256 bits are best also where vectors have 512, of which an insertion
 * or a shuffle takes two passes on some processors. */
#if MT_SIMD_BYTES > 16
enum { PAIR = 2 * MT_PIECE };

MT_ALWAYS_INLINE void turn_pair(const mt_real *in, int64_t lane, mt_real *out, int64_t out_step)
{
#ifdef MT_DOUBLE
    __m256d row[MT_PIECE], turned[MT_PIECE];
    MT_UNROLL for (int i = 0; i < MT_PIECE; i++) row[i] = _mm256_insertf128_pd(
        _mm256_castpd128_pd256(_mm_loadu_pd(in + i * lane)), _mm_loadu_pd(in + (i + MT_PIECE) * lane), 1);
    turned[0] = _mm256_unpacklo_pd(row[0], row[1]);
    turned[1] = _mm256_unpackhi_pd(row[0], row[1]);
#else
    __m256 row[MT_PIECE], turned[MT_PIECE];
    MT_UNROLL for (int i = 0; i < MT_PIECE; i++) row[i] = _mm256_insertf128_ps(
        _mm256_castps128_ps256(_mm_loadu_ps(in + i * lane)), _mm_loadu_ps(in + (i + MT_PIECE) * lane), 1);
    const __m256 low01 = _mm256_unpacklo_ps(row[0], row[1]), low23 = _mm256_unpacklo_ps(row[2], row[3]),
                 high01 = _mm256_unpackhi_ps(row[0], row[1]), high23 = _mm256_unpackhi_ps(row[2], row[3]);
    turned[0] = _mm256_shuffle_ps(low01, low23, 0x44);
    turned[1] = _mm256_shuffle_ps(low01, low23, 0xEE);
    turned[2] = _mm256_shuffle_ps(high01, high23, 0x44);
    turned[3] = _mm256_shuffle_ps(high01, high23, 0xEE);
#endif
    MT_UNROLL for (int j = 0; j < MT_PIECE; j++) MT_MM256(storeu)(out + j * out_step, turned[j]);
}
#else
enum { PAIR = MT_PIECE };

MT_ALWAYS_INLINE void turn_pair(const mt_real *in, int64_t lane, mt_real *out, int64_t out_step)
{
    turn_piece(in, lane, out, out_step);
}
#endif

MT_ALWAYS_INLINE void turn(const int together, const mt_real *in, int64_t lane, mt_real *out,
                           int64_t out_step)
{
    if (together == PAIR)
        turn_pair(in, lane, out, out_step);
    else
        turn_piece(in, lane, out, out_step);
}

/* Turns width lanes, a multiple of together, for k steps, a multiple of MT_PIECE. */
MT_ALWAYS_INLINE void turn_side_by_side(const int width, const int together, int64_t k, const mt_real *in,
                                        int64_t lane, mt_real *out, int64_t out_step)
{
    for (int64_t p = 0; p < k; p += MT_PIECE, out += MT_PIECE * out_step)
        MT_UNROLL for (int i = 0; i < width; i += together)
            turn(together, in + i * lane + p, lane, out + i, out_step);
}

/* Turns lanes that are contiguous along k: out[p * out_step + i] = in[i * lane + p] for i < lanes and p below
 * the result, which is k rounded down to a multiple of MT_PIECE. Lanes go by in pairs of `together`, so that
 * whole lines are written; the last end with the panel, and may write again what others wrote. */
MT_ALWAYS_INLINE int64_t turn_lanes(const int together, int64_t lanes, int64_t k, const mt_real *in,
                                    int64_t lane, mt_real *out, int64_t out_step)
{
    const int64_t last = lanes - together, turned = k / MT_PIECE * MT_PIECE;
    int64_t i = 0;
    for (; i + 2 * together <= lanes; i += 2 * together)
        turn_side_by_side(2 * together, together, turned, in + i * lane, lane, out + i, out_step);
    for (; i < lanes; i += together) {
        const int64_t from = i < last ? i : last;
        turn_side_by_side(together, together, turned, in + from * lane, lane, out + from, out_step);
    }
    return turned;
}

/* One panel: out[p * out_step + i] = in[i,p] for i < lanes and p < k. */
static inline void pack_panel(int64_t lanes, int64_t k, mt_matrix in, mt_real *out, int64_t out_step)
{
    int64_t p = 0;
    if (in.row == 1) {
        for (; p < k; p++) memcpy(out + p * out_step, in.data + p * in.col, (size_t)lanes * sizeof *out);
    } else if (in.col == 1 && lanes >= PAIR) {
        p = turn_lanes(PAIR, lanes, k, in.data, in.row, out, out_step);
    } else if (in.col == 1 && lanes >= MT_PIECE) {
        p = turn_lanes(MT_PIECE, lanes, k, in.data, in.row, out, out_step);
    }
    for (; p < k; p++)
        for (int64_t i = 0; i < lanes; i++) out[p * out_step + i] = in.data[i * in.row + p * in.col];
}

/* Steps of k for panels of as many rows, which stand side by side in memory: the compiler is told how many,
 * since a call of memcpy would take longer than the copy. */
MT_ALWAYS_INLINE void copy_panels(const int rows, int64_t panels, int64_t steps, const mt_real *a,
                                  int64_t a_col, mt_real *out, int64_t panel_size)
{
    for (int64_t p = 0; p < steps; p++)
        for (int64_t i = 0; i < panels; i++)
            memcpy(out + i * panel_size + p * MR, a + p * a_col + i * rows, (size_t)rows * sizeof *a);
}

enum { K_GROUP = 16 };
_Static_assert(MR == 6, "copy_columns_of_a has a case for each number of rows");

/* A few steps of k at a time fill all panels, so that what is read is read in runs and once. The second cache
 * is asked for the next ones: in the first they would take the place of the lines that are being written. */
static void copy_columns_of_a(const panel *cut, int64_t m, int64_t k, mt_matrix a, mt_real *panels)
{
    const struct {
        int64_t rows, count;
    } runs[2] = {{cut->rows + 1, cut->longer}, {cut->rows, cut->count - cut->longer}};
    for (int64_t p = 0; p < k; p += K_GROUP) {
        const int64_t steps = k - p < K_GROUP ? k - p : K_GROUP;
        const mt_real *in = a.data + p * a.col;
        mt_real *out = panels + p * MR;
        for (int64_t next = p + K_GROUP; next < p + 2 * K_GROUP && next < k; next++)
            for (int64_t i = 0; i < m; i += LINE) __builtin_prefetch(a.data + next * a.col + i, 0, 2);
        for (int r = 0; r < 2; r++) {
            switch (runs[r].rows) {
#define COPY_PANELS(rows) \
    case rows: copy_panels(rows, runs[r].count, steps, in, a.col, out, k *MR); break;
                COPY_PANELS(1) COPY_PANELS(2) COPY_PANELS(3) COPY_PANELS(4) COPY_PANELS(5) COPY_PANELS(6)
            }
            in += runs[r].count * runs[r].rows;
            out += runs[r].count * k * MR;
        }
    }
}

static void pack_a(int64_t m, int64_t k, mt_matrix a, mt_real *panels)
{
    const panel cut = panel_cut(m, MR);
    if (a.row == 1) {
        copy_columns_of_a(&cut, m, k, a, panels);
        return;
    }
    for (int64_t i = 0; i < cut.count; i++) {
        const int64_t rows = cut.rows + (i < cut.longer);
        pack_panel(rows, k, a, panels + i * k * MR, MR);
        a.data += rows * a.row;
    }
}

/* The columns of b from j on, up to NR of them, as lanes. */
static inline void pack_columns(int64_t k, int64_t n, int64_t j, mt_matrix b, mt_real *out, int64_t row)
{
    pack_panel(n - j < NR ? n - j : NR, k, mt_matrix_transpose(mt_matrix_from(b, 0, j)), out, row);
}

static void pack_b(int64_t k, int64_t n, mt_matrix b, mt_real *strips)
{
    for (int64_t j = 0; j < n; j += NR) pack_columns(k, n, j, b, strips + j * k, NR);
}

/* Neighbours in a row of from that stand in a strip: strip[to + i] is from[at + i] for i < length, of which
 * `whole` in whole vectors. */
typedef struct run {
    int64_t at, to, whole, length;
} run;

/* How positions first .. first+columns-1 are made of runs; returns how many there are. */
static int cut_runs(int64_t first, int64_t columns, int64_t width, int64_t pitch, run *runs)
{
    int count = 0;
    for (int64_t j = 0; j < columns; j += runs[count++].length) {
        const int64_t row = (first + j) / width, column = (first + j) % width;
        const int64_t length = width - column < columns - j ? width - column : columns - j;
        runs[count] = (run){row * pitch + column, j, length / MT_LANES * MT_LANES, length};
    }
    return count;
}

enum { HALF = (int)(sizeof(mt_half) / sizeof(mt_real)) };

MT_ALWAYS_INLINE void store_half(mt_real *to, int64_t n, bool whole, mt_half x)
{
    if (whole)
        memcpy(to, &x, sizeof x);
    else
        mt_half_store_first(to, n, x);
}

static void pack_shifted(int64_t k, int64_t first, int64_t n, int64_t width, int64_t pitch,
                         const mt_real *from, const int64_t *offset, mt_real *strips)
{
    run runs[NR];
    for (int64_t j = 0; j < n; j += NR) {
        mt_real *out = strips + j * k;
        const int count = cut_runs(first + j, n - j < NR ? n - j : NR, width, pitch, runs);
        if (runs[0].length == NR) {
            for (int64_t p = 0; p < k; p++, out += NR) {
                const mt_real *in = from + offset[p] + runs[0].at;
                MT_UNROLL for (int v = 0; v < VECS; v++)
                    mt_vec_store(out + v * MT_LANES, mt_vec_load(in + v * MT_LANES));
            }
            continue;
        }
        if (width == HALF && runs[count - 1].length == HALF && count == NR / HALF) {
            for (int64_t p = 0; p < k; p++, out += NR)
                MT_UNROLL for (int r = 0; r < NR / HALF; r++)
                    memcpy(out + r * HALF, from + offset[p] + runs[r].at, HALF * sizeof *out);
            continue;
        }
        for (int r = 0; r < count; r++) {
            const run w = runs[r];
            const int64_t rest = w.length - w.whole;
            const mt_mask mask = mt_mask_first(rest);
            const mt_real *in = from + w.at;
            mt_real *to = out + w.to;
            /* A whole vector, or half of one, is stored sooner than a part, and the next run writes over its
             * end. */
            const bool halves = rest <= HALF, spills = w.to + w.whole + (halves ? HALF : MT_LANES) <= NR;
            for (int64_t p = 0; p < k; p++, to += NR) {
                const mt_real *x = in + offset[p];
                for (int64_t i = 0; i < w.whole; i += MT_LANES) mt_vec_store(to + i, mt_vec_load(x + i));
                if (rest == 0) continue;
                if (halves)
                    store_half(to + w.whole, rest, spills, mt_half_load_masked(x + w.whole, mask));
                else if (spills)
                    mt_vec_store(to + w.whole, mt_vec_load_masked(x + w.whole, mask));
                else
                    mt_vec_store_first(to + w.whole, rest, mt_vec_load_masked(x + w.whole, mask));
            }
        }
    }
}

static void copy_b(int64_t k, int64_t n, mt_matrix b, mt_real *out, int64_t row)
{
    for (int64_t j = 0; j < n; j += NR) pack_columns(k, n, j, b, out + j, row);
}

const struct mt_gemm_packing MT_FOR_ISA(mt_gemm_packing) = {
    .pack_a = pack_a, .pack_b = pack_b, .pack_shifted = pack_shifted, .copy_b = copy_b};
