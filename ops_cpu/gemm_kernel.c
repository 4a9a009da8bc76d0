/* ops_cpu/gemm_kernel.c - the inner loops of matmul, compiled once for each instruction set (MT_ISA_NAME).
 *
 * A tile of C stays in registers while k runs: each step loads a row of B as vectors and one number of A for
 * each row, and multiplies all pairs. The tile is as large as the registers allow: 6 rows x 2 vectors of 16
 * registers, 6 x 4 of 32, where a taller and narrower one would load more often for each multiplication.
 * There are more independent sums than the latency of a fused multiply-add (4 cycles, 2 a cycle) asks for.
 * Columns that are left over get tiles as wide as they need, and taller ones. No alignment is assumed
 * anywhere.
 */
#include "gemm_tile.h"
#include "kernels.h"

static const int most_rows[VECS + 1] = MT_MOST_ROWS;
enum { ASK_STEPS = 16 };
enum { HALVES = MT_SIMD_BYTES == 64 }; /* whether half a vector is worth an instruction of its own */

/* ---- a tile with a row of B in vectors ---- */

typedef struct tile_work {
    int64_t k, n;      /* n: columns of this tile; only cut tiles look */
    mt_matrix a, b, c; /* rows x k, k x n, rows x n. Columns of b are neighbours, and those of c for tile() */
    bool add;
    mt_real *strip; /* where tiles that pack write what they read of B */
    /* What whole tiles of packed blocks ask the caches for, a row every ASK_STEPS steps: their part of C, and
     * lines lines of each row at next, which is A for the panel to come. ask: rows still to be asked for. */
    int ask, lines;
    const mt_real *next;
} tile_work;

typedef void (*tile_fn)(const tile_work *w);

/* The last vector of a tile's columns: whole, cut to the first lanes, or cut to lanes of its lower half. */
typedef enum tile_end { WHOLE, CUT, HALF } tile_end;

/* c (+)= a b for rows rows and vecs vectors, whose last ends as end says. A tile that packs writes B's rows
 * to a strip, and asks for the columns behind them, which the next strip needs. Inlined with constants:
 * everything but the loop over k is unrolled and acc lives in registers. */
MT_ALWAYS_INLINE void tile(const int rows, const int vecs, const tile_end end, const bool asks,
                           const bool packs, const tile_work *w)
{
    const int whole = end == WHOLE ? vecs : vecs - 1, full = end == HALF ? vecs - 1 : vecs;
    mt_vec acc[TALLEST][MAX_VECS];
    mt_half half[TALLEST];
    const mt_real *a = w->a.data, *b = w->b.data;
    mt_real *c = w->c.data, *strip = w->strip;
    const int64_t a_row = w->a.row, a_col = w->a.col, b_row = w->b.row, c_row = w->c.row;
    const bool add = w->add;
    const int64_t last = end == WHOLE ? MT_LANES : w->n - whole * MT_LANES; /* lanes of the last vector */
    const mt_mask mask = mt_mask_first(last);
    MT_UNROLL for (int r = 0; r < rows; r++)
    {
        MT_UNROLL for (int v = 0; v < full; v++) acc[r][v] = mt_vec_zero();
        half[r] = mt_half_zero();
    }
    const mt_real *soon = c, *next = w->next;
    for (int64_t left = w->k, ask = asks ? w->ask : 0; left > 0; ask--) {
        int64_t steps = left;
        if (asks && ask > 0) {
            steps = left < ASK_STEPS ? left : ASK_STEPS;
            MT_UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(soon + v * MT_LANES, 1);
            for (int q = 0; q < w->lines; q++) __builtin_prefetch(next + q * LINE);
            soon += c_row;
            next += a_row;
        }
        left -= steps;
        for (; steps > 0; steps--) {
            mt_vec bv[MAX_VECS];
            mt_half bh = mt_half_zero();
            MT_UNROLL for (int v = 0; v < full; v++)
            {
                bv[v] =
                    v < whole ? mt_vec_load(b + v * MT_LANES) : mt_vec_load_masked(b + v * MT_LANES, mask);
                if (packs) mt_vec_store(strip + v * MT_LANES, bv[v]);
                if (packs) __builtin_prefetch(b + (vecs + v) * MT_LANES);
            }
            if (end == HALF) bh = mt_half_load_masked(b + whole * MT_LANES, mask);
            MT_UNROLL for (int r = 0; r < rows; r++)
            {
                mt_vec av = mt_vec_set(a[r * a_row]);
                MT_UNROLL for (int v = 0; v < full; v++) acc[r][v] = mt_vec_fma(av, bv[v], acc[r][v]);
                if (end == HALF) half[r] = mt_half_fma(mt_half_of(av), bh, half[r]);
            }
            a += a_col;
            b += b_row;
            if (packs) strip += vecs * MT_LANES;
        }
    }
    MT_UNROLL for (int r = 0; r < rows; r++)
    {
        MT_UNROLL for (int v = 0; v < whole; v++)
        {
            if (add) acc[r][v] = mt_vec_add(mt_vec_load(c + v * MT_LANES), acc[r][v]);
            mt_vec_store(c + v * MT_LANES, acc[r][v]);
        }
        mt_real *rest = c + whole * MT_LANES;
        if (end == CUT) {
            if (add) acc[r][whole] = mt_vec_add(mt_vec_load_masked(rest, mask), acc[r][whole]);
            mt_vec_store_first(rest, last, acc[r][whole]);
        } else if (end == HALF) {
            if (add) half[r] = mt_half_add(mt_half_load_masked(rest, mask), half[r]);
            mt_half_store_first(rest, last, half[r]);
        }
        c += c_row;
    }
}

#define DEFINE_FULL(rows, vecs)                                                                       \
    static void next_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, WHOLE, true, false, w); } \
    static void pack_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, WHOLE, true, true, w); }
#define DEFINE_EDGE(rows, vecs)                                                                      \
    static void edge_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, CUT, false, false, w); } \
    static void even_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, WHOLE, false, false, w); }
#define DEFINE_WIDE(rows, vecs) \
    static void wide_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, WHOLE, false, false, w); }
MT_EACH_FULL(DEFINE_FULL)
MT_EACH_EDGE(DEFINE_EDGE)
MT_EACH_WIDE(DEFINE_WIDE)

#define LIST_NEXT(rows, vecs) [rows] = next_##rows##x##vecs,
#define LIST_PACK(rows, vecs) [rows] = pack_##rows##x##vecs,
#define LIST_EDGE(rows, vecs) [vecs][rows] = edge_##rows##x##vecs,
#define LIST_EVEN(rows, vecs) [vecs][rows] = even_##rows##x##vecs,
#define LIST_WIDE(rows, vecs) [rows] = {wide_##rows##x##vecs, (vecs)*MT_LANES},
static const tile_fn tile_next[MR + 1] = {MT_EACH_FULL(LIST_NEXT)};
static const tile_fn tile_pack[MR + 1] = {MT_EACH_FULL(LIST_PACK)};
static const tile_fn tile_edge[VECS + 1][TALLEST + 1] = {MT_EACH_EDGE(LIST_EDGE)};
static const tile_fn tile_even[VECS + 1][TALLEST + 1] = {MT_EACH_EDGE(LIST_EVEN)};
#if MT_SIMD_BYTES == 64
#define DEFINE_HALF(rows, vecs) \
    static void half_##rows##x##vecs(const tile_work *w) { tile(rows, vecs, HALF, false, false, w); }
#define LIST_HALF(rows, vecs) [vecs][rows] = half_##rows##x##vecs,
MT_EACH_EDGE(DEFINE_HALF)
static const tile_fn tile_half[VECS + 1][TALLEST + 1] = {MT_EACH_EDGE(LIST_HALF)};
#endif
static const struct {
    tile_fn run;
    int width;
} tile_wide[WIDE_ROWS + 1] = {MT_EACH_WIDE(LIST_WIDE)};

/* The tiles for n columns, 0 < n <= NR, by their rows. */
static const tile_fn *tiles_for(int64_t n)
{
    const int64_t vecs = mt_gemm_panels(n, MT_LANES), rest = n % MT_LANES;
#if MT_SIMD_BYTES == 64
    if (rest > 0 && rest <= MT_LANES / 2) return tile_half[vecs];
#endif
    return (rest > 0 ? tile_edge : tile_even)[vecs];
}

/* Runs a tile whose columns of C are not neighbours: into a buffer, and from there to C. */
static void tile_scattered(tile_fn run, tile_work *w, int rows)
{
    mt_real buffer[TALLEST * NR];
    const mt_matrix c = w->c;
    const bool add = w->add;
    w->c = (mt_matrix){NR, 1, buffer};
    w->add = false;
    run(w);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < w->n; j++) {
            mt_real *out = mt_matrix_from(c, r, j).data, value = buffer[r * NR + j];
            *out = add ? *out + value : value;
        }
    w->c = c;
    w->add = add;
}

static inline void run_tile(tile_fn run, tile_work *w, int rows)
{
    if (w->c.col == 1)
        run(w);
    else
        tile_scattered(run, w, rows);
}

/* A strip of B and a panel of A meet. Whole strips of a block that packs are read in place and packed by the
 * first panel; lines is the share of the next panel's rows that this tile asks for. */
static inline void packed_tile(const mt_gemm_block *g, tile_work *w, int rows, int64_t j, bool first)
{
    const bool packs = g->packs_b && first && g->n - j >= NR;
    w->n = g->n - j < NR ? g->n - j : NR;
    w->strip = g->strips + j * g->k;
    w->b.data = packs ? g->b.data + j : w->strip;
    w->b.row = packs ? g->b.row : NR;
    w->ask = g->c.col == 1 ? rows : 0;
    run_tile(packs ? tile_pack[rows] : w->n == NR ? tile_next[rows] : tiles_for(w->n)[rows], w, rows);
}

/* A panel of A stays in the first cache while all strips of B, which are in the second, go by; or, where a
 * strip is small enough to stay in the first cache, a strip while all panels do. */
static void gemm_packed(const mt_gemm_block *g)
{
    const panel cut = panel_cut(g->m, MR);
    const int64_t strips = mt_gemm_panels(g->n, NR),
                  lines = g->panels || g->a.col != 1 ? 0 : mt_gemm_panels(g->k, LINE);
    tile_work w = {.k = g->k, .a = g->a, .c = g->c, .add = g->add};
    if (g->panels) w.a = (mt_matrix){1, MR, NULL};
    const int64_t outer = PANELS_FIRST ? 1 : strips, inner = PANELS_FIRST ? strips : 1;
    for (int64_t o = 0; o < outer; o++) {
        int64_t row = 0;
        for (int64_t i = 0; i < cut.count; i++) {
            const int rows = (int)(cut.rows + (i < cut.longer));
            const mt_real *next = NULL;
            w.a.data = g->panels ? g->panels + i * MR * g->k : g->a.data + row * g->a.row;
            next = w.a.data + rows * w.a.row;
            for (int64_t s = o; s < o + inner; s++) {
                const int64_t from = PANELS_FIRST ? s * lines / strips : 0,
                              to = PANELS_FIRST ? (s + 1) * lines / strips : 0;
                w.lines = (int)(to - from);
                w.next = next + from * LINE;
                w.c.data = g->c.data + row * g->c.row + s * NR * g->c.col;
                packed_tile(g, &w, rows, s * NR, i == 0);
            }
            row += rows;
        }
    }
}

/* Columns from j on, width of them: whole strips, or what is left; and how their rows are cut. */
typedef struct part {
    int64_t j, width;
    panel cut;
    const tile_fn *tiles;
} part;

static part part_from(const mt_gemm_block *g, int64_t j)
{
    const int64_t left = g->n - j, vecs = left < NR ? mt_gemm_panels(left, MT_LANES) : VECS;
    return (part){.j = j,
                  .width = left < NR ? left : left / NR * NR,
                  .cut = panel_cut(g->m, most_rows[vecs]),
                  .tiles = tiles_for(left < NR ? left : NR)};
}

/* A part of one product. */
static void direct_part(const mt_gemm_block *g, const part *q, mt_real *a, mt_real *b, mt_real *c,
                        tile_work *w)
{
    const bool along = q->cut.count == 1 || g->rows_first;
    const int64_t group = along ? q->width : NR;
    w->n = q->width < NR ? q->width : NR;
    for (int64_t j = q->j; j < q->j + q->width; j += group) {
        mt_real *to = c + j * g->c.col;
        w->a.data = a;
        for (int64_t i = 0; i < q->cut.count; i++) {
            const int rows = (int)(q->cut.rows + (i < q->cut.longer));
            for (int64_t s = 0; s < group; s += NR) {
                w->b.data = b + j + s;
                w->c.data = to + s * g->c.col;
                run_tile(q->tiles[rows], w, rows);
            }
            w->a.data += rows * g->a.row;
            to += rows * g->c.row;
        }
    }
}

/* What is decided by sizes is decided once for all blocks: a small one feels a division. Up to four rows are
 * computed in tiles as wide as the registers allow. */
static void gemm_direct(const mt_gemm_block *g)
{
    tile_work w = {.k = g->k, .a = g->a, .b = g->b, .c = g->c, .add = g->add};
    const bool wide = g->m <= WIDE_ROWS && g->c.col == 1;
    const int64_t step = wide ? tile_wide[g->m].width : 1, whole = wide ? g->n - g->n % step : 0;
    part parts[2];
    int count = 0;
    for (int64_t j = whole; j < g->n; j += parts[count++].width) parts[count] = part_from(g, j);
    for (int64_t x = 0; x < g->count; x++) {
        mt_real *a = g->a.data + x * g->a_step, *b = g->b.data + x * g->b_step;
        mt_real *c = g->c.data + x * g->c_step;
        for (int64_t j = 0; j < whole; j += step) {
            w.a.data = a;
            w.b.data = b + j;
            w.c.data = c + j;
            tile_wide[g->m].run(&w);
        }
        for (int q = 0; q < count; q++) direct_part(g, &parts[q], a, b, c, &w);
    }
}

/* ---- a tile of dot products along k ---- */

typedef void (*dot_fn)(const mt_gemm_block *g, const mt_real *a, const mt_real *b, mt_real *c);

/* Sums go to out, step by step. */
MT_ALWAYS_INLINE void dot_store(const mt_gemm_block *g, mt_piece sums, mt_real *out, int64_t step)
{
    if (step == 1 && !g->add) {
        memcpy(out, &sums, sizeof sums);
        return;
    }
    MT_UNROLL for (int i = 0; i < MT_PIECE; i++) out[i * step] = g->add ? out[i * step] + sums[i] : sums[i];
}

/* What is left of k behind whole vectors comes first, so that half a vector of it can begin the sums. */
MT_ALWAYS_INLINE void dot_tile(const int rows, const int columns, const mt_gemm_block *g, const mt_real *a,
                               const mt_real *b, mt_real *c)
{
    mt_vec acc[DOT_ROWS][MAX_VECS], av[DOT_ROWS];
    const mt_real *row[DOT_ROWS], *column[MAX_VECS];
    const int64_t k = g->k, rest = k % MT_LANES, whole = k - rest;
    const mt_mask mask = mt_mask_first(rest);
    MT_UNROLL for (int j = 0; j < columns; j++) column[j] = b + j * g->b.col;
    MT_UNROLL for (int r = 0; r < rows; r++) row[r] = a + r * g->a.row;
    if (HALVES && rest > 0 && rest <= MT_LANES / 2) {
        mt_half ah[DOT_ROWS];
        MT_UNROLL for (int r = 0; r < rows; r++) ah[r] = mt_half_load_masked(row[r] + whole, mask);
        MT_UNROLL for (int j = 0; j < columns; j++)
        {
            const mt_half bh = mt_half_load_masked(column[j] + whole, mask);
            MT_UNROLL for (int r = 0; r < rows; r++) acc[r][j] =
                mt_half_widen(mt_half_fma(ah[r], bh, mt_half_zero()));
        }
    } else {
        MT_UNROLL for (int r = 0; r < rows; r++) MT_UNROLL for (int j = 0; j < columns; j++) acc[r][j] =
            mt_vec_zero();
        if (rest > 0) {
            MT_UNROLL for (int r = 0; r < rows; r++) av[r] = mt_vec_load_masked(row[r] + whole, mask);
            MT_UNROLL for (int j = 0; j < columns; j++)
            {
                const mt_vec bv = mt_vec_load_masked(column[j] + whole, mask);
                MT_UNROLL for (int r = 0; r < rows; r++) acc[r][j] = mt_vec_fma(av[r], bv, acc[r][j]);
            }
        }
    }
    for (int64_t p = 0; p < whole; p += MT_LANES) {
        MT_UNROLL for (int r = 0; r < rows; r++) av[r] = mt_vec_load(row[r] + p);
        MT_UNROLL for (int j = 0; j < columns; j++)
        {
            const mt_vec bv = mt_vec_load(column[j] + p);
            MT_UNROLL for (int r = 0; r < rows; r++) acc[r][j] = mt_vec_fma(av[r], bv, acc[r][j]);
        }
    }
    /* Columns are summed together where there are enough, else rows. */
    const int by_column = columns / MT_PIECE * MT_PIECE,
              by_row = by_column > 0 ? 0 : rows / MT_PIECE * MT_PIECE;
    MT_UNROLL for (int j = 0; j < columns; j++) MT_UNROLL for (int r = 0; r < by_row; r += MT_PIECE)
    {
        mt_vec together[MT_PIECE];
        MT_UNROLL for (int i = 0; i < MT_PIECE; i++) together[i] = acc[r + i][j];
        dot_store(g, mt_vec_sums(together), c + r * g->c.row + j * g->c.col, g->c.row);
    }
    MT_UNROLL for (int r = by_row; r < rows; r++)
    {
        mt_real *out = c + r * g->c.row;
        MT_UNROLL for (int j = 0; j < by_column; j += MT_PIECE)
            dot_store(g, mt_vec_sums(&acc[r][j]), out + j * g->c.col, g->c.col);
        MT_UNROLL for (int j = by_column; j < columns; j++)
        {
            const mt_real sum = mt_vec_sum(acc[r][j]);
            out[j * g->c.col] = g->add ? out[j * g->c.col] + sum : sum;
        }
    }
}

#define DEFINE_DOT(rows, columns)                                                                        \
    static void dot_##rows(const mt_gemm_block *g, const mt_real *a, const mt_real *b, mt_real *c)       \
    {                                                                                                    \
        dot_tile(rows, columns, g, a, b, c);                                                             \
    }                                                                                                    \
    static void dot_##rows##_one(const mt_gemm_block *g, const mt_real *a, const mt_real *b, mt_real *c) \
    {                                                                                                    \
        dot_tile(rows, 1, g, a, b, c);                                                                   \
    }
MT_EACH_DOT(DEFINE_DOT)

#define LIST_DOT(rows, columns) [rows] = {dot_##rows, dot_##rows##_one, columns},
static const struct {
    dot_fn run, one;
    int columns;
} dot_table[DOT_ROWS + 1] = {MT_EACH_DOT(LIST_DOT)};

/* Columns of B go by in groups that stay in the second cache while every row of A meets them. */
static void gemm_dot(const mt_gemm_block *g)
{
    const int64_t group = 32, count = mt_gemm_panels(g->m, DOT_ROWS);
    for (int64_t j0 = 0; j0 < g->n; j0 += group) {
        const int64_t end = g->n - j0 < group ? g->n : j0 + group;
        int64_t i = 0;
        for (int64_t p = 0; p < count; p++) {
            const int64_t rows = g->m / count + (p < g->m % count);
            const mt_real *a = g->a.data + i * g->a.row, *b = g->b.data;
            mt_real *c = g->c.data + i * g->c.row;
            int64_t j = j0;
            for (; j + dot_table[rows].columns <= end; j += dot_table[rows].columns)
                dot_table[rows].run(g, a, b + j * g->b.col, c + j * g->c.col);
            for (; j < end; j++) dot_table[rows].one(g, a, b + j * g->b.col, c + j * g->c.col);
            i += rows;
        }
    }
}

/* ---- the table ---- */

static void add(int64_t m, int64_t n, mt_matrix to, mt_matrix from)
{
    const bool rows = to.col == 1 && from.col == 1;
    const int64_t whole = rows ? n - n % MT_LANES : 0, rest = n - whole;
    const mt_mask mask = mt_mask_first(rest);
    for (int64_t i = 0; i < m; i++) {
        mt_real *c = to.data + i * to.row;
        const mt_real *x = from.data + i * from.row;
        for (int64_t j = 0; j < whole; j += MT_LANES)
            mt_vec_store(c + j, mt_vec_add(mt_vec_load(c + j), mt_vec_load(x + j)));
        if (rows && rest > 0)
            mt_vec_store_first(
                c + whole, rest,
                mt_vec_add(mt_vec_load_masked(c + whole, mask), mt_vec_load_masked(x + whole, mask)));
        for (int64_t j = 0; j < n && !rows; j++) c[j * to.col] += x[j * from.col];
    }
}

const struct mt_gemm_kernels MT_FOR_ISA(mt_gemm_kernels) = {
    .lanes = MT_LANES,
    .mr = MR,
    .nr = NR,
    .few_rows = FEW_ROWS,
    .small = (double)SMALL * SMALL * SMALL,
    .direct_b = DIRECT_B,
    .dot_ratio = DOT_RATIO,
    .mc = MC,
    .nc = NC,
    .kc = KC,
    .direct_kc = DIRECT_KC,
    .dot_kc = DOT_KC,
    .pack_a_from = PACK_A_FROM,
    .columns_of_a = COLUMNS_OF_A,
    .direct = gemm_direct,
    .dot = gemm_dot,
    .packed = gemm_packed,
    .packing = &MT_FOR_ISA(mt_gemm_packing),
    .add = add,
};
