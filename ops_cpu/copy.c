/* ops_cpu/copy.c - copies between layouts and kinds, and fills.
 *
 * A contiguous row is one memcpy. Where the input runs along another dimension than the output (a transpose),
 * the two are walked in square tiles, so that each cache line of both is used up while it is there.
 */
#include <string.h>

#include "cpu.h"
#include "tensor/plan.h"

enum { PIECE = 1 << 15, TILE = 32 };

typedef struct {
    mt_elementwise_plan plan;
    int across; /* the dimension along which the input is contiguous; rank - 1 when there is none better */
    void (*tile)(char *out, const char *in, const int64_t size[2], const int64_t out_step[2],
                 const int64_t in_step[2]);
    char *out;
    const char *in;
    size_t out_bytes, in_bytes; /* of an element */
    int64_t cuts_across, cuts_inner;
} copy_job;

/* size[0] rows of size[1] elements; steps in elements, [0] from row to row. */
#define TILE_COPY(name, to, from, convert)                                                          \
    static void name(char *out, const char *in, const int64_t size[2], const int64_t out_step[2],   \
                     const int64_t in_step[2])                                                      \
    {                                                                                               \
        to *y = (to *)(void *)out;                                                                  \
        const from *x = (const from *)(const void *)in;                                             \
        if (out_step[1] == 1 && in_step[1] == 1 && sizeof(to) == sizeof(from) && size[0] == 1) {    \
            for (int64_t j = 0; j < size[1]; j++) y[j] = convert(x[j]);                             \
            return;                                                                                 \
        }                                                                                           \
        for (int64_t i = 0; i < size[0]; i++)                                                       \
            for (int64_t j = 0; j < size[1]; j++)                                                   \
                y[i * out_step[0] + j * out_step[1]] = convert(x[i * in_step[0] + j * in_step[1]]); \
    }

/* Towards zero; the ends of the range where it does not fit, 0 for NaN. */
static int64_t to_index(double x)
{
    if (x != x) return 0;
    if (x >= 9223372036854775808.0) return INT64_MAX;
    if (x < -9223372036854775808.0) return INT64_MIN;
    return (int64_t)x;
}

TILE_COPY(copy_real, mt_real, mt_real, )
TILE_COPY(copy_index, int64_t, int64_t, )
TILE_COPY(copy_real_to_index, int64_t, mt_real, to_index)
TILE_COPY(copy_index_to_real, mt_real, int64_t, (mt_real))

/* Piece i: a block of the across and the inner dimension at one index of the others. */
static void run_piece(const copy_job *job, int64_t i)
{
    const mt_elementwise_plan *plan = &job->plan;
    const int inner = plan->rank - 1, across = job->across;
    int64_t cut_inner = i % job->cuts_inner;
    i /= job->cuts_inner;
    int64_t cut_across = i % job->cuts_across, out = 0, in = 0;
    i /= job->cuts_across;
    for (int d = inner - 1; d >= 0; d--) {
        if (d == across) continue;
        int64_t index = i % plan->size[d];
        i /= plan->size[d];
        out += index * plan->stride[0][d];
        in += index * plan->stride[1][d];
    }
    int64_t piece = across == inner ? PIECE : TILE, begin[2] = {0, cut_inner * piece}, size[2] = {1, 0};
    int64_t out_step[2] = {0, plan->stride[0][inner]}, in_step[2] = {0, plan->stride[1][inner]};
    size[1] = plan->size[inner] - begin[1] < piece ? plan->size[inner] - begin[1] : piece;
    if (across != inner) {
        begin[0] = cut_across * TILE;
        size[0] = plan->size[across] - begin[0] < TILE ? plan->size[across] - begin[0] : TILE;
        out_step[0] = plan->stride[0][across];
        in_step[0] = plan->stride[1][across];
    }
    out += begin[0] * out_step[0] + begin[1] * out_step[1];
    in += begin[0] * in_step[0] + begin[1] * in_step[1];
    char *to = job->out + (size_t)out * job->out_bytes;
    const char *from = job->in + (size_t)in * job->in_bytes;
    if (size[0] == 1 && out_step[1] == 1 && in_step[1] == 1 &&
        (job->tile == copy_real || job->tile == copy_index))
        memmove(to, from, (size_t)size[1] * job->out_bytes);
    else
        job->tile(to, from, size, out_step, in_step);
}

mt_status mt_cpu_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    (void)backend;
    copy_job job = {.out_bytes = mt_kind_bytes(out_kind), .in_bytes = mt_kind_bytes(in_kind)};
    mt_elementwise_plan *plan = &job.plan;
    mt_plan_elementwise((mt_operand[]){out, in}, 2, plan);
    if (plan->count == 0) return MT_OK;
    job.tile = out_kind == MT_REAL ? (in_kind == MT_REAL ? copy_real : copy_index_to_real)
                                   : (in_kind == MT_REAL ? copy_real_to_index : copy_index);
    job.out = (char *)out.data + (size_t)out.layout->offset * job.out_bytes;
    job.in = (const char *)in.data + (size_t)in.layout->offset * job.in_bytes;
    const int inner = plan->rank - 1;
    job.across = inner;
    for (int d = 0; d < inner && plan->stride[1][inner] > 1; d++)
        if (plan->stride[1][d] == 1) job.across = d;
    int64_t piece = job.across == inner ? PIECE : TILE;
    job.cuts_inner = (plan->size[inner] + piece - 1) / piece;
    job.cuts_across = job.across == inner ? 1 : (plan->size[job.across] + TILE - 1) / TILE;
    int64_t others = plan->count / plan->size[inner] / (job.across == inner ? 1 : plan->size[job.across]);
    int64_t pieces = others * job.cuts_across * job.cuts_inner;
    int threads = mt_cpu_threads((double)plan->count);
    if (threads > pieces) threads = (int)pieces;
    if (threads <= 1) {
        for (int64_t i = 0; i < pieces; i++) run_piece(&job, i);
        return MT_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < pieces; i++) run_piece(&job, i);
    return MT_OK;
}

mt_status mt_cpu_fill(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    /* A fill is a copy from one element, stretched by strides of 0. */
    mt_real real = (mt_real)value;
    int64_t index = to_index(value);
    mt_layout one = {.rank = 1, .size = {1}, .stride = {1}};
    mt_operand in = {kind == MT_REAL ? (void *)&real : (void *)&index, &one};
    return mt_cpu_copy(backend, out, kind, in, kind);
}
