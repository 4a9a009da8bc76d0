/* ops_cpu/scan.c - sums so far along a dimension.
 *
 * Sums are in double, in both libraries. A line is cut into segments of SEGMENT elements; an element is what
 * the segments before its own add up to, plus the sum so far within its own: so the bits follow from the
 * length of the line alone, not from layout or threads. LANES lines, or segments of one line, are taken at a
 * time, since each sum waits for the one before it; columns, where another dimension is the inner one, all at
 * once.
 */
#include "cpu.h"
#include "lines.h"
#include "share.h"
#include "workspace.h"

enum { OUT, IN, OPERANDS };
enum { SEGMENT = 4096, LANES = 4, COLUMNS = 128 /* that one task adds to */ };

typedef struct {
    mt_elementwise_plan lines;
    mt_real *out;
    const mt_real *in;
    int64_t n, step[OPERANDS]; /* along dim; from the end when the sums come from there */
    int64_t inner[OPERANDS];   /* across: along the rows of columns */
    int64_t width, pieces;     /* across: columns side by side, and pieces of COLUMNS of them */
    bool across;
    int64_t segments, units;
    double *before; /* of several segments: what stands before each, line by line */
} scan_job;

#define INLINE static inline __attribute__((always_inline))

/* y[k][i] = base[k] + x[k][0] + ... + x[k][i] for that many lanes k, all n long. */
INLINE void scan_lanes(int lanes, int64_t n, mt_real *const *y, int64_t sy, const mt_real *const *x,
                       int64_t sx, const double *base)
{
    double sum[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < lanes; k++) {
            sum[k] += (double)x[k][i * sx];
            y[k][i * sy] = (mt_real)(base[k] + sum[k]);
        }
}

/* Lanes first .. first + count - 1: a lane is a segment of a line, number % segments of line number /
 * segments. All are of length n. */
static void run_lanes(const scan_job *job, int64_t first, int count, int64_t n)
{
    const mt_elementwise_plan *lines = &job->lines;
    mt_real *y[LANES];
    const mt_real *x[LANES];
    double base[LANES] = {0};
    for (int k = 0; k < count; k++) {
        const int64_t line = (first + k) / job->segments, begin = (first + k) % job->segments * SEGMENT;
        y[k] = job->out + mt_plan_position(lines->rank, lines->size, lines->stride[OUT], line) +
               begin * job->step[OUT];
        x[k] = job->in + mt_plan_position(lines->rank, lines->size, lines->stride[IN], line) +
               begin * job->step[IN];
        if (job->before) base[k] = job->before[first + k];
    }
    const bool touch = job->step[OUT] == 1 && job->step[IN] == 1;
    if (count == LANES && touch)
        scan_lanes(LANES, n, y, 1, x, 1, base);
    else if (count == LANES)
        scan_lanes(LANES, n, y, job->step[OUT], x, job->step[IN], base);
    else
        for (int k = 0; k < count; k++)
            scan_lanes(1, n, y + k, job->step[OUT], x + k, job->step[IN], base + k);
}

static int64_t length_of(const scan_job *job, int64_t lane)
{
    const int64_t begin = lane % job->segments * SEGMENT;
    return job->n - begin < SEGMENT ? job->n - begin : SEGMENT;
}

/* Neighbours of one length together. */
static void run_segments(const void *context, int share, int shares)
{
    const scan_job *job = context;
    const int64_t last = mt_share_begin(job->units, share + 1, shares);
    for (int64_t i = mt_share_begin(job->units, share, shares); i < last;) {
        const int64_t n = length_of(job, i);
        int count = 1;
        while (count < LANES && i + count < last && length_of(job, i + count) == n) count++;
        run_lanes(job, i, count, n);
        i += count;
    }
}

/* The sum of each segment, in LANES sums by turns that are added in their order. */
static void sum_segments(const void *context, int share, int shares)
{
    const scan_job *job = context;
    const mt_elementwise_plan *lines = &job->lines;
    const int64_t last = mt_share_begin(job->units, share + 1, shares), sx = job->step[IN];
    for (int64_t i = mt_share_begin(job->units, share, shares); i < last; i++) {
        const mt_real *x = job->in + i % job->segments * SEGMENT * sx +
                           mt_plan_position(lines->rank, lines->size, lines->stride[IN], i / job->segments);
        double sum[LANES] = {0};
        const int64_t n = length_of(job, i);
        int64_t k = 0;
        for (; k + LANES <= n; k += LANES)
            for (int lane = 0; lane < LANES; lane++) sum[lane] += (double)x[(k + lane) * sx];
        for (; k < n; k++) sum[k % LANES] += (double)x[k * sx];
        job->before[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}

/* Sums of segments become what stands before each. */
static void add_segments(const scan_job *job)
{
    for (int64_t i = 0; i < job->units; i += job->segments) {
        double sum = 0;
        for (int64_t k = i; k < i + job->segments; k++) {
            const double own = job->before[k];
            job->before[k] = sum;
            sum += own;
        }
    }
}

/* ---- columns ---- */

/* Columns of a piece side by side, down all rows. */
static void run_columns(const scan_job *job, int64_t i)
{
    const mt_elementwise_plan *lines = &job->lines;
    const int64_t first = i % job->pieces * COLUMNS, number = i / job->pieces;
    const int64_t n = job->width - first < COLUMNS ? job->width - first : COLUMNS;
    mt_real *y = job->out + mt_plan_position(lines->rank - 1, lines->size, lines->stride[OUT], number) +
                 first * job->inner[OUT];
    const mt_real *x = job->in + mt_plan_position(lines->rank - 1, lines->size, lines->stride[IN], number) +
                       first * job->inner[IN];
    const int64_t sy = job->inner[OUT], sx = job->inner[IN];
    /* Of each column: the sum so far within its segment; what stands before that; four parts of the segment's
     * sum, as sum_segments has them. */
    double sum[COLUMNS] = {0}, before[COLUMNS] = {0}, part[LANES][COLUMNS] = {{0}};
    for (int64_t row = 0; row < job->n; row++) {
        if (row % SEGMENT == 0 && row > 0)
            for (int64_t j = 0; j < n; j++) {
                before[j] += (part[0][j] + part[1][j]) + (part[2][j] + part[3][j]);
                sum[j] = part[0][j] = part[1][j] = part[2][j] = part[3][j] = 0;
            }
        mt_real *to = y + row * job->step[OUT];
        const mt_real *from = x + row * job->step[IN];
        if (job->segments > 1)
            for (int64_t j = 0; j < n; j++) part[row % LANES][j] += (double)from[j * sx];
        if (sx == 1 && sy == 1)
            for (int64_t j = 0; j < n; j++) sum[j] += (double)from[j], to[j] = (mt_real)(before[j] + sum[j]);
        else
            for (int64_t j = 0; j < n; j++)
                sum[j] += (double)from[j * sx], to[j * sy] = (mt_real)(before[j] + sum[j]);
    }
}

static void run_pieces(const void *context, int share, int shares)
{
    const scan_job *job = context;
    const int64_t last = mt_share_begin(job->units, share + 1, shares);
    for (int64_t i = mt_share_begin(job->units, share, shares); i < last; i++) run_columns(job, i);
}

mt_status mt_cpu_cumsum(mt_backend *backend, mt_operand out, mt_operand in, int dim, bool back)
{
    (void)backend;
    const mt_operand operand[OPERANDS] = {out, in};
    scan_job job = {.n = out.layout->size[dim],
                    .out = (mt_real *)out.data + out.layout->offset,
                    .in = (const mt_real *)in.data + in.layout->offset};
    mt_elementwise_plan *lines = &job.lines;
    mt_plan_lines(operand, OPERANDS, dim, lines);
    if (lines->count == 0 || job.n == 0) return MT_OK;
    const int inner = lines->rank - 1;
    for (int k = 0; k < OPERANDS; k++) {
        job.step[k] = operand[k].layout->stride[dim];
        job.inner[k] = lines->stride[k][inner];
    }
    job.width = lines->size[inner];
    job.across = job.width > 1 && job.inner[OUT] < job.step[OUT];
    if (back) {
        job.out += (job.n - 1) * job.step[OUT], job.in += (job.n - 1) * job.step[IN];
        job.step[OUT] = -job.step[OUT], job.step[IN] = -job.step[IN];
    }
    job.segments = (job.n + SEGMENT - 1) / SEGMENT;
    job.pieces = (job.width + COLUMNS - 1) / COLUMNS;
    job.units = job.across ? lines->count / job.width * job.pieces : lines->count * job.segments;
    int threads = mt_cpu_threads(2 * (double)lines->count * (double)job.n);
    if (threads > job.units) threads = (int)job.units;
    if (job.across) {
        mt_share_out(threads, run_pieces, &job);
        return MT_OK;
    }
    mt_workspace room = {.data = NULL};
    if (job.segments > 1) {
        if (!mt_workspace_borrow((size_t)job.units * sizeof(double), &room)) return MT_ERR_MEMORY;
        job.before = (double *)(void *)room.data;
        mt_share_out(threads, sum_segments, &job);
        add_segments(&job);
    }
    mt_share_out(threads, run_segments, &job);
    mt_workspace_give_back(&room);
    return MT_OK;
}
