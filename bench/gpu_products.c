/* gpu_products.c - gpu_numbers' products of matrices: sizes, batches, layouts and odd sizes, beside cuBLAS.
 *
 * "nt 2x64x32x16" is a batch of 2 products C (64 x 32) = A (64 x 16) B (16 x 32) with B stored as its
 * transpose. An element may be off by (4 + sqrt k) epsilon of the sum of |a b|: k roundings, each of at most
 * half an epsilon of a partial sum, with signs as good as random. Elements are drawn at random, and the
 * corners are among them.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "gpu_figures.h"
#include "tensor/ops.h"
#include "tensor/storage.h"

enum { CHECKED = 512, LINE_FLOATS = 64 /* of 256 bytes, at which every piece begins */ };

/* The matrices of every piece, each in one tensor with a row for a piece. */
typedef struct matrices {
    gpu_product product;
    int64_t pieces;
    mt_tensor *all[3];      /* A, B, C: (pieces, floats) */
    mt_tensor **stored[3];  /* of each piece, as it lies: (batch, rows, columns) */
    mt_tensor **operand[3]; /* and as the product takes it: turned where it must be */
    const gpu_cublas *cublas;
} matrices;

static bool run_ours(void *context, int64_t i)
{
    const matrices *m = context;
    return mt_op_matmul(m->operand[2][i], m->operand[0][i], m->operand[1][i]) == MT_OK;
}

static float *data_of(const mt_tensor *x)
{
    const mt_operand operand = mt_tensor_operand(x);
    return (float *)operand.data + operand.layout->offset;
}

static bool run_cublas(void *context, int64_t i)
{
    const matrices *m = context;
    return gpu_cublas_multiply(m->cublas, &m->product, data_of(m->stored[0][i]), data_of(m->stored[1][i]),
                               data_of(m->stored[2][i]));
}

/* ---- making and freeing ---- */

static void free_matrices(matrices *m)
{
    for (int k = 0; k < 3; k++) {
        for (int64_t i = 0; i < m->pieces; i++) {
            if (m->stored[k] != NULL && m->operand[k] != NULL && m->operand[k][i] != m->stored[k][i])
                mt_tensor_free(m->operand[k][i]);
            if (m->stored[k] != NULL) mt_tensor_free(m->stored[k][i]);
        }
        free(m->stored[k]);
        free(m->operand[k]);
        mt_tensor_free(m->all[k]);
    }
}

/* Piece i of all as batch matrices of that shape. */
static mt_tensor *piece_of(mt_tensor *all, int64_t i, int64_t batch, int64_t rows, int64_t columns)
{
    mt_tensor *row = mt_tensor_select(all, 0, i),
              *part = mt_tensor_slice(row, 0, 0, batch * rows * columns, 1),
              *matrix = mt_tensor_view(part, mt_shape(batch, rows, columns));
    mt_tensor_free(row);
    mt_tensor_free(part);
    return matrix;
}

static bool make_matrices(matrices *m, gpu_bench *bench, const gpu_product *p, int64_t pieces)
{
    const int64_t shape[3][2] = {{p->turn_a ? p->k : p->m, p->turn_a ? p->m : p->k},
                                 {p->turn_b ? p->n : p->k, p->turn_b ? p->k : p->n},
                                 {p->m, p->n}};
    const bool turned[3] = {p->turn_a, p->turn_b, false};
    *m = (matrices){.product = *p, .pieces = pieces, .cublas = &bench->cublas};
    for (int k = 0; k < 3; k++) {
        const int64_t count = p->batch * shape[k][0] * shape[k][1];
        const mt_shape all = mt_shape(pieces, (count + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS);
        m->all[k] = k < 2 ? mt_uniform(bench->backend, all, &bench->rng, -1, 1)
                          : mt_empty(bench->backend, all, MT_REAL);
        m->stored[k] = calloc((size_t)pieces, sizeof *m->stored[k]);
        m->operand[k] = calloc((size_t)pieces, sizeof *m->operand[k]);
        if (m->all[k] == NULL) return false;
        if (m->stored[k] == NULL || m->operand[k] == NULL)
            return mt_fail(MT_ERR_MEMORY, "no memory is left for %lld handles", (long long)pieces) == MT_OK;
        for (int64_t i = 0; i < pieces; i++) {
            mt_tensor *x = piece_of(m->all[k], i, p->batch, shape[k][0], shape[k][1]);
            m->stored[k][i] = x;
            m->operand[k][i] = turned[k] ? mt_tensor_transpose(x, 1, 2) : x;
            if (m->operand[k][i] == NULL) return false;
        }
    }
    return true;
}

/* ---- checking ---- */

/* The largest error among elements of a product, in units of its sum of |a b|. */
static double largest_error(const gpu_product *p, const float *a, const float *b, const float *c, mt_rng *rng)
{
    const int64_t m = p->m, n = p->n, k = p->k, count = p->batch * m * n;
    const int64_t a_row = p->turn_a ? 1 : k, a_column = p->turn_a ? m : 1;
    const int64_t b_row = p->turn_b ? 1 : n, b_column = p->turn_b ? k : 1;
    const int64_t corners[] = {0, n - 1, (m - 1) * n, count - 1};
    double largest = 0;
    for (int s = 0; s < CHECKED; s++) {
        const int64_t at = s < 4 ? corners[s] : (int64_t)mt_rng_below(rng, (uint64_t)count);
        const int64_t matrix = at / (m * n), i = at / n % m, j = at % n;
        const float *x = a + matrix * m * k + i * a_row, *y = b + matrix * k * n + j * b_column;
        double sum = 0, size = 0;
        for (int64_t l = 0; l < k; l++) {
            const double term = (double)x[l * a_column] * (double)y[l * b_row];
            sum += term, size += fabs(term);
        }
        const double error = fabs((double)c[at] - sum) / size;
        if (!(error <= largest)) largest = error;
        if (isnan(largest)) break;
    }
    return largest;
}

/* Multiplies piece 0, into a C that held NaN, and compares. False when something refused. */
static bool check(matrices *m, gpu_bench *bench, gpu_turn *turn)
{
    mt_tensor *const *const first[3] = {m->stored[0], m->stored[1], m->stored[2]};
    float *values[3] = {NULL, NULL, NULL};
    bool good = mt_op_fill(first[2][0], NAN) == MT_OK && turn->body(m, 0);
    for (int k = 0; k < 3 && good; k++) good = (values[k] = gpu_read(first[k][0])) != NULL;
    if (good) turn->error = largest_error(&m->product, values[0], values[1], values[2], &bench->rng);
    for (int k = 0; k < 3; k++) free(values[k]);
    return good;
}

/* ---- the cases ---- */

void gpu_time_product(gpu_bench *bench, const char *stage, const gpu_product *p)
{
    const double batch = p->batch, m = p->m, n = p->n, k = p->k;
    gpu_work work = {.stage = stage,
                     .what = "matmul",
                     .flops = 2 * batch * m * n * k,
                     .bytes = sizeof(float) * batch * (m * k + k * n + m * n),
                     .tolerance = (4 + sqrt(k)) * FLT_EPSILON};
    int used = snprintf(work.text, sizeof work.text, "%c%c ", p->turn_a ? 't' : 'n', p->turn_b ? 't' : 'n');
    if (p->batch > 1) used += snprintf(work.text + used, sizeof work.text - (size_t)used, "%dx", p->batch);
    snprintf(work.text + used, sizeof work.text - (size_t)used, "%dx%dx%d", p->m, p->n, p->k);
    matrices all;
    gpu_turn turns[2] = {{.by = "ours", .body = run_ours, .context = &all},
                         {.by = "cublas", .body = run_cublas, .context = &all}};
    const int64_t pieces = gpu_pieces(bench, work.bytes);
    if (!make_matrices(&all, bench, p, pieces) || !check(&all, bench, &turns[0])) {
        gpu_refused(bench, &work, "ours");
    } else {
        bool peer = bench->cublas.handle != NULL;
        if (peer && !(peer = check(&all, bench, &turns[1])))
            gpu_peer_refused(&work, "cublas", mt_last_message());
        gpu_time(bench, &work, turns, peer ? 2 : 1, pieces);
    }
    free_matrices(&all);
}

/* Squares of these sizes, as batches of 1 and 2, in these layouts. 0 ends a list. */
typedef struct family {
    int sizes[10], tiny[4], batches[3];
    bool every_layout;
} family;

static const family families[] = {
    {{64, 128, 256, 512, 1024, 2048, 4096, 8192}, {16, 64, 128}, {1, 2}, false},
    {{256, 1024, 4096}, {32}, {1}, true},
    {{63, 127, 257, 511, 1023, 2047, 4095}, {17, 63}, {1}, false},
};

void gpu_products(gpu_bench *bench)
{
    if (bench->cublas.handle == NULL) gpu_not_here("numbers", "matmul", NULL, "cublas", bench->cublas.about);
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        const int *sizes = bench->tiny ? families[f].tiny : families[f].sizes;
        for (int s = 0; sizes[s] > 0; s++)
            for (int b = 0; families[f].batches[b] > 0; b++)
                for (int layout = families[f].every_layout; layout < (families[f].every_layout ? 4 : 1);
                     layout++) {
                    const gpu_product p = {
                        families[f].batches[b], sizes[s], sizes[s], sizes[s], layout & 2, layout & 1};
                    gpu_time_product(bench, "numbers", &p);
                }
    }
}
