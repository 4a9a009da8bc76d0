/* ops_cpu/sort.c - the order of the elements along a dimension: argsort, or the first of it.
 *
 * An element becomes a key, an unsigned integer with the same order, and its position; pairs are sorted by
 * key, from the last digit to the first, each pass stable, so that equal elements keep their order. A digit
 * that all keys share costs no pass. Short lines are sorted by insertion. Where a few of many are asked for,
 * those that cannot be among them are left out first, by the first digit.
 */
#include <string.h>

#include "cpu.h"
#include "lines.h"
#include "share.h"
#include "tensor/alloc.h"
#include "workspace.h"

#ifdef MT_DOUBLE
typedef uint64_t key;
enum { DIGIT = 11 };
#else
typedef uint32_t key;
enum { DIGIT = 11 };
#endif
enum { OUT, IN, OPERANDS };
enum {
    BITS = 8 * (int)sizeof(key),
    SHORT = 48,        /* a line of fewer is sorted by insertion */
    LONG = 2048,       /* a line of fewer has digits of 8 bits, whose counters are cleared sooner */
    FEW = 8,           /* at most one of so many asked for: the others are left out */
    MOST = 1 << DIGIT, /* counters of a digit */
    PASSES = (BITS + 7) / 8
};
static const key SIGN = (key)1 << (BITS - 1);

typedef struct {
    key key;
#ifdef MT_DOUBLE
    int64_t at;
#else
    uint32_t at; /* lines of 2^32 and more do not fit */
#endif
} pair;

typedef struct {
    mt_elementwise_plan lines;
    int64_t *out;
    const mt_real *in;
    int64_t n, k, step[OPERANDS];
    key turn; /* all ones: the largest first */
    char *room;
    size_t bytes; /* of a thread's room */
} sort_job;

/* The bits of a number, so changed that they have its order: NaN behind all, zeros of both signs equal. */
static inline key key_of(mt_real x)
{
    key bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return ~(key)0;
    if (x == 0) return SIGN;
    return bits & SIGN ? ~bits : bits | SIGN;
}

static void insert(pair *p, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const pair x = p[i];
        int64_t at = i;
        while (at > 0 && p[at - 1].key > x.key) p[at] = p[at - 1], at--;
        p[at] = x;
    }
}

/* Sorts n pairs by key; the result is in p or in q, which is returned. count: counters for all digits. */
static pair *sort_digits(pair *p, pair *q, int64_t n, int bits, int64_t (*count)[MOST])
{
    const int passes = (BITS + bits - 1) / bits;
    const key mask = ((key)1 << bits) - 1;
    for (int d = 0; d < passes; d++) memset(count[d], 0, sizeof(int64_t) << bits);
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < passes; d++) count[d][p[i].key >> (d * bits) & mask]++;
    for (int d = 0; d < passes; d++) {
        int64_t *place = count[d], before = 0;
        if (place[p[0].key >> (d * bits) & mask] == n) continue;
        for (int64_t v = 0; v <= (int64_t)mask; v++) {
            const int64_t own = place[v];
            place[v] = before;
            before += own;
        }
        for (int64_t i = 0; i < n; i++) q[place[p[i].key >> (d * bits) & mask]++] = p[i];
        pair *const other = p;
        p = q, q = other;
    }
    return p;
}

/* Leaves out of n pairs those whose first digit is above that of the k-th: how many are left, in their order.
 */
static int64_t leave_out(pair *p, int64_t n, int64_t k, int64_t *count)
{
    memset(count, 0, MOST * sizeof *count);
    for (int64_t i = 0; i < n; i++) count[p[i].key >> (BITS - DIGIT)]++;
    key most = 0;
    for (int64_t before = count[0]; before < k; before += count[most]) most++;
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        p[left] = p[i];
        left += p[i].key >> (BITS - DIGIT) <= most;
    }
    return left;
}

static void sort_line(const sort_job *job, int64_t line, char *room)
{
    const mt_elementwise_plan *lines = &job->lines;
    const mt_real *x = job->in + mt_plan_position(lines->rank, lines->size, lines->stride[IN], line);
    int64_t *y = job->out + mt_plan_position(lines->rank, lines->size, lines->stride[OUT], line);
    int64_t n = job->n;
    int64_t(*count)[MOST] = (int64_t(*)[MOST])(void *)room;
    pair *p = (pair *)(void *)(count + PASSES), *q = p + n;
    for (int64_t i = 0; i < n; i++) {
        p[i].key = key_of(x[i * job->step[IN]]) ^ job->turn;
        p[i].at = (__typeof__(p[i].at))i;
    }
    if (job->k < n / FEW && n >= SHORT) n = leave_out(p, n, job->k, count[0]);
    if (n < SHORT)
        insert(p, n);
    else
        p = sort_digits(p, q, n, n < LONG ? 8 : DIGIT, count);
    for (int64_t i = 0; i < job->k; i++) y[i * job->step[OUT]] = (int64_t)p[i].at;
}

static void sort_lines(const void *context, int share, int shares)
{
    const sort_job *job = context;
    const int64_t last = mt_share_begin(job->lines.count, share + 1, shares);
    for (int64_t i = mt_share_begin(job->lines.count, share, shares); i < last; i++)
        sort_line(job, i, job->room + (size_t)share * job->bytes);
}

mt_status mt_cpu_argsort(mt_backend *backend, mt_operand out, mt_operand in, int dim, bool descending)
{
    (void)backend;
    sort_job job = {.n = in.layout->size[dim],
                    .k = out.layout->size[dim],
                    .step = {out.layout->stride[dim], in.layout->stride[dim]},
                    .turn = descending ? ~(key)0 : 0,
                    .out = (int64_t *)out.data + out.layout->offset,
                    .in = (const mt_real *)in.data + in.layout->offset};
    mt_plan_lines((mt_operand[]){out, in}, OPERANDS, dim, &job.lines);
    if (job.lines.count == 0 || job.k == 0) return MT_OK;
    if ((uint64_t)job.n >= SIZE_MAX / sizeof(pair) / 4 || (sizeof job.n > sizeof(key) && job.n > UINT32_MAX))
        return mt_fail(MT_ERR_SHAPE, "argsort: lines of %lld elements are too long", (long long)job.n);
    /* About eight passes of two steps each. */
    int threads = mt_cpu_threads(16 * (double)job.lines.count * (double)job.n);
    if (threads > job.lines.count) threads = (int)job.lines.count;
    job.bytes = sizeof(int64_t[PASSES][MOST]) + 2 * (size_t)job.n * sizeof(pair);
    job.bytes = (job.bytes + MT_ALIGN - 1) / MT_ALIGN * MT_ALIGN;
    mt_workspace room;
    if (!mt_workspace_borrow(job.bytes * (size_t)threads, &room)) return MT_ERR_MEMORY;
    job.room = (char *)room.data;
    mt_share_out(threads, sort_lines, &job);
    mt_workspace_give_back(&room);
    return MT_OK;
}
