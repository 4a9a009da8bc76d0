/* ops_cpu/gemm_long.c - few sums that are long: k is cut into pieces, threads share these, and what they come
 * to is joined in pairs.
 *
 * A piece is read in place where both operands are contiguous along k (dot products) or rows of B are
 * contiguous (direct); other layouts are turned into rows first, a stretch of k at a time. Where k is cut
 * follows from its length, and the tree from the number of pieces: so the bits do not depend on the number of
 * threads, and the error grows with the logarithm of the length.
 */
#include "gemm_long.h"
#include "share.h"

/* Products of the batch from first on: their pieces' sums stand at sums, m x n numbers each. */
typedef struct {
    const mt_gemm *g;
    mt_real *sums;
    int64_t first, products, pieces;
} long_job;

/* Where the index-th product of the batch begins in an operand. */
static int64_t position(const mt_matmul_plan *plan, const int64_t *strides, int64_t index)
{
    return mt_plan_position(plan->batch_rank, plan->batch_size, strides, index);
}

/* sums (m x n) = A B of the index-th product along one piece of k. */
static void run_piece(const long_job *job, int64_t index, int64_t piece, mt_real *copies, mt_real *sums)
{
    const mt_gemm *g = job->g;
    const struct mt_gemm_kernels *t = g->kernels;
    const int64_t of_a = position(g->plan, g->plan->batch_a, index),
                  of_b = position(g->plan, g->plan->batch_b, index);
    mt_matrix a = g->a, b = g->b;
    a.data += g->turned ? of_b : of_a;
    b.data += g->turned ? of_a : of_b;
    const mt_gemm_layout layout = mt_gemm_long_layout(g);
    /* Where a step of k is one vector of few rows it waits for the one before, and to begin anew would be
     * felt; wider sums, which take longer anyway, are begun anew more often, for their error. */
    const bool narrow = g->m <= t->mr && g->n <= t->lanes;
    const int64_t begin = piece * g->kc, end = mt_gemm_least(begin + g->kc, g->k),
                  stretch = layout == MT_GEMM_ROWS && !narrow ? t->kc : t->dot_kc;
    for (int64_t p = begin; p < end; p += stretch) {
        mt_gemm_block block = {.m = g->m,
                               .n = g->n,
                               .k = mt_gemm_least(stretch, end - p),
                               .a = mt_matrix_from(a, 0, p),
                               .b = mt_matrix_from(b, p, 0),
                               .c = {g->n, 1, sums},
                               .count = 1,
                               .add = p > begin};
        if (layout == MT_GEMM_ROWS) {
            t->direct(&block);
            continue;
        }
        if (layout == MT_GEMM_NEITHER) {
            mt_real *turned = copies + g->m * stretch;
            t->packing->copy_b(g->m, block.k, block.a, copies, stretch);
            t->packing->copy_b(g->n, block.k, mt_matrix_transpose(block.b), turned, stretch);
            block.a = (mt_matrix){stretch, 1, copies};
            block.b = (mt_matrix){1, stretch, turned};
        }
        t->dot(&block);
    }
}

static void run_pieces(const void *context, int share, int shares)
{
    const long_job *job = context;
    const int64_t size = job->g->m * job->g->n, all = job->products * job->pieces,
                  last = mt_share_begin(all, share + 1, shares);
    for (int64_t i = mt_share_begin(all, share, shares); i < last; i++)
        run_piece(job, job->first + i / job->pieces, i % job->pieces, mt_gemm_own(job->g, share),
                  job->sums + i * size);
}

/* Joins the pieces of a share of the products, and writes each to its C. */
static void join_pieces(const void *context, int share, int shares)
{
    const long_job *job = context;
    const mt_gemm *g = job->g;
    const int64_t size = g->m * g->n, last = mt_share_begin(job->products, share + 1, shares);
    for (int64_t i = mt_share_begin(job->products, share, shares); i < last; i++) {
        mt_real *sums = job->sums + i * job->pieces * size;
        for (int64_t span = 1; span < job->pieces; span *= 2)
            for (int64_t piece = 0; piece + span < job->pieces; piece += 2 * span)
                for (int64_t e = 0; e < size; e++) sums[piece * size + e] += sums[(piece + span) * size + e];
        mt_gemm one = *g;
        one.c.data += position(g->plan, g->plan->batch_c, job->first + i);
        if (g->pre.data) one.pre.data += position(g->plan, g->plan->batch_pre, job->first + i);
        for (int64_t r = 0; r < g->m; r++)
            for (int64_t j = 0; j < g->n; j++) {
                mt_real *c = mt_matrix_from(one.c, r, j).data;
                *c = g->add ? *c + sums[r * g->n + j] : sums[r * g->n + j];
            }
        mt_gemm_finish(&one, (mt_gemm_cell){0, 0, g->m, g->n});
    }
}

void mt_gemm_run_long(const mt_gemm *g)
{
    const int64_t batch = g->plan->batch;
    long_job job = {.g = g, .sums = mt_gemm_partial(g)};
    job.pieces = mt_gemm_panels(g->k, g->kc);
    for (; job.first < batch; job.first += job.products) {
        job.products = mt_gemm_least(mt_gemm_group(g), batch - job.first);
        if (g->threads > 1) {
            mt_share_region(g->threads, run_pieces, join_pieces, &job);
        } else {
            run_pieces(&job, 0, 1);
            join_pieces(&job, 0, 1);
        }
    }
}
