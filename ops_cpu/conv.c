/* ops_cpu/conv.c - conv of the cpu backend, as products of matrices of which one is never written down.
 *
 * The rows of an image stand pitch numbers apart, with the zeros around it. There the element that (c, p, q)
 * of the kernel meets in window (i, j) stands at i*pitch + j plus an offset, which (c, p, q) alone decides.
 * So y is the weights (O, C KH KW) times a matrix whose rows are the windows' positions, each from another
 * offset on, and which is packed from there into strips for the tiles of gemm_kernel.c. With a stride, every
 * stride-th row and column is an image of its own, a phase. The gradient for x adds, for each place of the
 * kernel, weights times the gradient for y to where that place stands; that for w is a product over
 * positions.
 *
 * An image is cut into blocks of rows that stay in the second cache with what they give; cuts follow sizes,
 * and a sum the order of its offsets, so threads change no bit.
 */
#include <string.h>

#include "cpu.h"
#include "gemm.h"
#include "share.h"
#include "workspace.h"

/* Images: element (n, c, i, j) is data[n*stride[0] + c*stride[1] + i*stride[2] + j*stride[3]]. */
typedef struct images {
    mt_real *data;
    int64_t stride[4], size[2]; /* size: height and width */
} images;

static images images_of(mt_operand x)
{
    images result = {.data = (mt_real *)x.data + x.layout->offset,
                     .size = {x.layout->size[2], x.layout->size[3]}};
    memcpy(result.stride, x.layout->stride, sizeof result.stride);
    return result;
}

/* Windows over the images of from, and where they go: count[0] x count[1] of them, for groups of channels. In
 * each direction d, window i begins at element first[d] + i*phases[d] of from; those before and behind it are
 * 0. A place of the kernel is at most reach[d] elements of its phase further. */
typedef struct pass {
    const struct mt_gemm_kernels *kernels;
    images from, to;
    int64_t number, groups, channels, outputs; /* of images; of each: groups; of a group, in from and to */
    int64_t count[2], first[2], phases[2], reach[2];
    int64_t k; /* offsets: channels times places of the kernel */
    int64_t *offset;
    mt_matrix weight; /* outputs x k, of the first group; the next ones are weight_step further */
    int64_t weight_step;
    const mt_real *bias; /* NULL: none */
    int64_t bias_step;
    bool copies;            /* from is copied in any case */
    int64_t column_step;    /* elements of from between neighbours of a row: phases[1], but where one phase of
                               columns serves */
    bool in_place, direct;  /* from needs no copy; `to` is written by the tiles */
    int64_t pitch, channel; /* numbers from row to row, and from channel to channel, of a block */
    int64_t rows, blocks;   /* of windows in a block; of them in an image */
    int64_t room_from, room_strips, room_to; /* numbers of workspace of a thread */
    mt_real *space;                          /* of all threads, own numbers each */
    int64_t own;
} pass;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t line_up(int64_t n) { return (n + 15) / 16 * 16; }

/* ---- the cut of a pass, when its windows are known ---- */

/* Numbers of a block in the second cache, and of workspace that a thread may have. */
enum { BLOCK = (1 << 18) / (int)sizeof(mt_real), MOST_SPACE = 1 << 26 };

/* Whether the rows of x, which has windows' sizes, follow one another. */
static bool without_gaps(const pass *p, const images *x)
{
    return x->stride[3] == 1 && (p->count[0] == 1 || x->stride[2] == p->count[1]);
}

/* False where a block takes more memory than is reasonable: a stride far beyond the kernel, or padding far
 * beyond the image. */
static bool cut(pass *p)
{
    const images *from = &p->from, *to = &p->to;
    const bool one_row = p->count[0] == 1 && p->reach[0] == 0;
    p->in_place = !p->copies && from->stride[3] == 1 && (one_row || from->stride[2] >= from->size[1]);
    double phases = 1;
    for (int d = 0; d < 2; d++) {
        p->in_place = p->in_place && p->phases[d] == 1 && p->first[d] >= 0 &&
                      p->first[d] + p->count[d] + p->reach[d] <= from->size[d];
        phases *= (double)p->phases[d];
    }
    p->pitch = p->in_place && !one_row ? from->stride[2] : p->count[1] + p->reach[1];
    const double in = p->in_place ? 0 : phases * (double)p->channels, out = (double)p->outputs;
    const double row = (in + out) * (double)p->pitch, extra = in * (double)p->pitch * (double)p->reach[0];
    if (row + extra > MOST_SPACE) return false;
    const double fit = (BLOCK - extra) / row;
    const int64_t rows = fit < 1 ? 1 : fit > (double)p->count[0] ? p->count[0] : (int64_t)fit;
    p->blocks = (p->count[0] + rows - 1) / rows;
    p->rows = (p->count[0] + p->blocks - 1) / p->blocks;
    p->channel = p->in_place ? from->stride[1] : (p->rows + p->reach[0]) * p->pitch;
    p->direct = without_gaps(p, to);
    const int64_t positions = p->rows * p->count[1], nc = p->kernels->nc, nr = p->kernels->nr;
    const int64_t deep = least(p->k, p->kernels->kc + 4), strips = (least(positions, nc) + nr - 1) / nr * nr;
    p->room_from = p->in_place ? 0 : line_up((int64_t)phases * p->channels * p->channel);
    p->room_strips = line_up(strips * deep);
    p->room_to = p->direct ? 0 : line_up(p->outputs * line_up(positions));
    p->own = p->room_from + p->room_strips + p->room_to;
    return true;
}

/* Where, from the first of a block on, the element stands that is `shift` elements of from behind the first
 * of a window. */
static int64_t offset_of(const pass *p, int64_t c, const int64_t shift[2])
{
    const int64_t phase = shift[0] % p->phases[0] * p->phases[1] + shift[1] % p->phases[1];
    return (phase * p->channels + c) * p->channel + shift[0] / p->phases[0] * p->pitch +
           shift[1] / p->phases[1];
}

/* ---- an image as rows with zeros around ---- */

/* to[k] = from[(first + k*step) * stride] for k < count where that lies in 0..size-1, elsewhere 0. */
static void lay_row(mt_real *to, int64_t count, const mt_real *from, int64_t stride, int64_t size,
                    int64_t first, int64_t step)
{
    int64_t low = first < 0 ? (-first + step - 1) / step : 0;
    int64_t high = size > first ? (size - first + step - 1) / step : 0;
    low = least(low, count), high = least(high, count);
    if (high < low) high = low;
    for (int64_t k = 0; k < low; k++) to[k] = 0;
    if (stride * step == 1 && low < high)
        memcpy(to + low, from + first + low, (size_t)(high - low) * sizeof *to);
    else
        for (int64_t k = low; k < high; k++) to[k] = from[(first + k * step) * stride];
    for (int64_t k = high; k < count; k++) to[k] = 0;
}

/* The phases of a block: rows of each from window row `begin` on, from `right` elements of from further on.
 * from: the group's first channel. */
static void lay_block(const pass *p, const mt_real *from, int64_t begin, int64_t right, mt_real *to)
{
    const int64_t *stride = p->from.stride, rows = p->rows + p->reach[0];
    for (int64_t a = 0; a < p->phases[0]; a++)
        for (int64_t b = 0; b < p->phases[1]; b++)
            for (int64_t c = 0; c < p->channels; c++, to += p->channel)
                for (int64_t r = 0; r < rows; r++) {
                    const int64_t i = p->first[0] + (begin + r) * p->phases[0] + a;
                    mt_real *row = to + r * p->pitch;
                    if (i < 0 || i >= p->from.size[0])
                        memset(row, 0, (size_t)p->pitch * sizeof *row);
                    else
                        lay_row(row, p->pitch, from + c * stride[1] + i * stride[2], stride[3],
                                p->from.size[1], p->first[1] + right + b, p->column_step);
                }
}

/* The first window's element of a block, for offset_of: in place, or in space. */
static const mt_real *block_of(const pass *p, int64_t image, int64_t group, int64_t begin, int64_t right,
                               mt_real *space)
{
    const int64_t *stride = p->from.stride;
    const mt_real *from = p->from.data + image * stride[0] + group * p->channels * stride[1];
    if (p->in_place) return from + (p->first[0] + begin) * stride[2] + p->first[1];
    lay_block(p, from, begin, right, space);
    return space;
}

/* ---- windows times weights ---- */

/* Rows of the result from their places in c to those in `to`. */
static void put_rows(const pass *p, mt_matrix c, mt_real *to, int64_t rows)
{
    const int64_t *stride = p->to.stride;
    for (int64_t o = 0; o < p->outputs; o++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < p->count[1]; j++)
                to[o * stride[1] + i * stride[2] + j * stride[3]] = c.data[o * c.row + i * p->count[1] + j];
}

static void run_block(const pass *p, int64_t task, mt_real *space)
{
    const struct mt_gemm_kernels *t = p->kernels;
    const int64_t begin = task % p->blocks * p->rows, group = task / p->blocks % p->groups,
                  image = task / p->blocks / p->groups, rows = least(p->rows, p->count[0] - begin),
                  positions = rows * p->count[1];
    const mt_real *from = block_of(p, image, group, begin, 0, space);
    mt_real *strips = space + p->room_from;
    const int64_t *stride = p->to.stride;
    mt_real *to = p->to.data + image * stride[0] + group * p->outputs * stride[1] + begin * stride[2];
    mt_matrix c = {line_up(positions), 1, strips + p->room_strips};
    if (p->direct) c = (mt_matrix){stride[1], 1, to};
    const int64_t pieces = (p->k + t->kc - 1) / t->kc;
    const int64_t deep = pieces > 0 ? ((p->k + pieces - 1) / pieces + 3) / 4 * 4 : 0;
    for (int64_t j = 0; j < positions; j += t->nc)
        for (int64_t q = 0; q < p->k; q += deep) {
            mt_gemm_block block = {.m = p->outputs,
                                   .n = least(t->nc, positions - j),
                                   .k = least(deep, p->k - q),
                                   .a = mt_matrix_from(p->weight, 0, q),
                                   .c = mt_matrix_from(c, 0, j),
                                   .add = q > 0,
                                   .strips = strips};
            block.a.data += group * p->weight_step;
            t->packing->pack_shifted(block.k, j, block.n, p->count[1], p->pitch, from, p->offset + q, strips);
            t->packed(&block);
        }
    for (int64_t o = 0; p->bias && o < p->outputs; o++) {
        const mt_real bias = p->bias[(group * p->outputs + o) * p->bias_step];
        for (int64_t j = 0; j < positions; j++) c.data[o * c.row + j] += bias;
    }
    if (!p->direct) put_rows(p, c, to, rows);
}

static void run_blocks(const void *context, int share, int shares)
{
    const pass *p = context;
    const int64_t tasks = p->number * p->groups * p->blocks;
    const int64_t end = mt_share_begin(tasks, share + 1, shares);
    for (int64_t i = mt_share_begin(tasks, share, shares); i < end; i++)
        run_block(p, i, p->space + share * p->own);
}

/* ---- the result ---- */

static mt_status no_memory(size_t bytes)
{
    return mt_fail(
        MT_ERR_MEMORY,
        "conv needs %zu bytes of workspace, which there are not: free tensors or use fewer threads", bytes);
}

/* For so many tasks. */
static int threads_for(const pass *p, int64_t tasks)
{
    const double products = (double)p->number * (double)p->groups * (double)p->outputs * (double)p->k *
                            (double)p->count[0] * (double)p->count[1];
    const int threads = mt_cpu_threads(products / 4);
    return threads < tasks ? threads : (int)tasks;
}

/* A pass over x, as the value and the gradient for w have it. */
static void over_x(pass *p, const mt_conv_work *work)
{
    const mt_layout *w = work->w.layout, *y = work->y.layout;
    *p = (pass){.kernels = mt_cpu_kernels_get()->gemm,
                .from = images_of(work->x),
                .to = images_of(work->y),
                .number = y->size[0],
                .groups = work->groups,
                .channels = w->size[1],
                .outputs = w->size[0] / work->groups,
                .k = w->size[1] * w->size[2] * w->size[3],
                .column_step = work->stride[1]};
    for (int d = 0; d < 2; d++) {
        p->count[d] = y->size[d + 2];
        p->first[d] = -work->before[d];
        p->phases[d] = work->stride[d];
        p->reach[d] = (w->size[d + 2] - 1) * work->dilation[d] / work->stride[d];
    }
}

static void fill_offsets(pass *p, const mt_conv_work *work)
{
    const int64_t *size = work->w.layout->size;
    int64_t *offset = p->offset;
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t r = 0; r < size[2]; r++)
            for (int64_t s = 0; s < size[3]; s++) {
                const int64_t shift[2] = {r * work->dilation[0], s * work->dilation[1]};
                *offset++ = offset_of(p, c, shift);
            }
}

/* The weights stay where they are when each output's are contiguous. */
static bool weights_in_place(const mt_conv_work *work)
{
    const mt_layout *w = work->w.layout;
    int64_t expected = 1;
    for (int d = 3; d >= 1; d--) {
        if (w->size[d] != 1 && w->stride[d] != expected) return false;
        expected *= w->size[d];
    }
    return true;
}

static void fill_weights(pass *p, const mt_conv_work *work, mt_real *weight)
{
    const mt_layout *w = work->w.layout;
    const mt_real *from = (const mt_real *)work->w.data + w->offset;
    if (weights_in_place(work)) {
        p->weight = (mt_matrix){w->stride[0], 1, (mt_real *)work->w.data + w->offset};
        p->weight_step = p->outputs * w->stride[0];
        return;
    }
    p->weight = (mt_matrix){p->k, 1, weight};
    p->weight_step = p->outputs * p->k;
    for (int64_t o = 0; o < w->size[0]; o++)
        for (int64_t c = 0; c < w->size[1]; c++)
            for (int64_t r = 0; r < w->size[2]; r++)
                for (int64_t s = 0; s < w->size[3]; s++)
                    *weight++ =
                        from[o * w->stride[0] + c * w->stride[1] + r * w->stride[2] + s * w->stride[3]];
}

static mt_status run_value(mt_backend *backend, const mt_conv_work *work)
{
    pass p;
    over_x(&p, work);
    if (work->bias.data) {
        p.bias = (const mt_real *)work->bias.data + work->bias.layout->offset;
        p.bias_step = work->bias.layout->stride[0];
    }
    if (!cut(&p)) return mt_simple_conv(backend, work);
    const int64_t weights = weights_in_place(work) ? 0 : line_up(work->w.layout->size[0] * p.k);
    const int threads = threads_for(&p, p.number * p.groups * p.blocks);
    const size_t numbers = (size_t)(p.own * threads + weights);
    const size_t bytes = numbers * sizeof(mt_real) + (size_t)p.k * sizeof(int64_t);
    mt_workspace memory;
    if (!mt_workspace_borrow(bytes, &memory)) return no_memory(bytes);
    p.space = memory.data;
    p.offset = (int64_t *)(void *)(memory.data + numbers);
    fill_offsets(&p, work);
    fill_weights(&p, work, memory.data + p.own * threads);
    mt_share_out(threads, run_blocks, &p);
    mt_workspace_give_back(&memory);
    return MT_OK;
}

/* ---- for x: what each place of the kernel brings ----
 *
 * The gradient for y stands as the windows do, with zeros between its rows. */

/* Channels are shared out, where there are few images, in parts of about so many. */
enum { FEW_IMAGES = 16, CHANNELS = 32 };

typedef struct spread_job {
    pass p;   /* over x: reach, count, phases, pitch */
    images g; /* the gradient of y */
    const mt_conv_work *work;
    int64_t parts, part; /* of a group's channels; channels in one */
    int64_t wide, high;  /* positions from the first window to the last; rows of a phase */
    bool onto_x;         /* sums are added where x stands */
    bool g_in_place;
    int64_t room_g, room_strips;
} spread_job;

/* Adds what all places of the kernel bring to m channels from c on, whose phases begin at sums, channel
 * numbers apart. */
static void spread(const spread_job *j, int64_t group, int64_t c, int64_t m, mt_matrix g, mt_real *sums,
                   int64_t channel, mt_real *strips)
{
    const pass *p = &j->p;
    const struct mt_gemm_kernels *t = p->kernels;
    const mt_layout *w = j->work->w.layout;
    mt_real *weight =
        (mt_real *)j->work->w.data + w->offset + group * p->outputs * w->stride[0] + c * w->stride[1];
    const int64_t pieces = (p->outputs + t->kc - 1) / t->kc, deep = (p->outputs + pieces - 1) / pieces;
    for (int64_t first = 0; first < j->wide; first += t->nc)
        for (int64_t o = 0; o < p->outputs; o += deep) {
            const int64_t n = least(t->nc, j->wide - first), k = least(deep, p->outputs - o);
            t->packing->pack_b(k, n, mt_matrix_from(g, o, first), strips);
            for (int64_t r = 0; r < w->size[2]; r++)
                for (int64_t s = 0; s < w->size[3]; s++) {
                    const int64_t down = r * j->work->dilation[0], right = s * j->work->dilation[1];
                    const int64_t phase = down % p->phases[0] * p->phases[1] + right % p->phases[1];
                    mt_real *to = sums + phase * m * channel + down / p->phases[0] * p->pitch +
                                  right / p->phases[1] + first;
                    mt_real *of = weight + o * w->stride[0] + r * w->stride[2] + s * w->stride[3];
                    const mt_gemm_block block = {.m = m,
                                                 .n = n,
                                                 .k = k,
                                                 .a = {w->stride[1], w->stride[0], of},
                                                 .c = {channel, 1, to},
                                                 .add = true,
                                                 .strips = strips};
                    t->packed(&block);
                }
        }
}

/* x (+)= what stands in the phases; elements that no window meets are 0. */
static void put_phases(const spread_job *j, int64_t m, const mt_real *sums, mt_real *x)
{
    const pass *p = &j->p;
    const int64_t *stride = p->from.stride, *before = j->work->before, channel = j->high * p->pitch;
    for (int64_t c = 0; c < m; c++)
        for (int64_t h = 0; h < p->from.size[0]; h++) {
            const int64_t down = (h + before[0]) / p->phases[0], a = (h + before[0]) % p->phases[0];
            const mt_real *row = sums + (a * p->phases[1] * m + c) * channel + down * p->pitch;
            mt_real *to = x + c * stride[1] + h * stride[2];
            for (int64_t v = 0; v < p->from.size[1]; v++, to += stride[3]) {
                const int64_t right = (v + before[1]) / p->phases[1], b = (v + before[1]) % p->phases[1];
                const bool met = down < j->high && right < p->pitch;
                const mt_real sum = met ? row[b * m * channel + right] : 0;
                *to = j->work->accumulate ? *to + sum : sum;
            }
        }
}

static void run_spread(const spread_job *j, int64_t task, mt_real *space)
{
    const pass *p = &j->p;
    const int64_t part = task % j->parts, group = task / j->parts % p->groups,
                  image = task / j->parts / p->groups;
    const int64_t c = part * j->part, m = least(j->part, p->channels - c), *stride = p->from.stride;
    if (m <= 0) return;
    mt_real *from = j->g.data + image * j->g.stride[0] + group * p->outputs * j->g.stride[1];
    mt_real *x = p->from.data + image * stride[0] + (group * p->channels + c) * stride[1];
    mt_real *strips = space + j->room_g, *sums = strips + j->room_strips;
    mt_matrix g = {j->g.stride[1], 1, from};
    if (!j->g_in_place) {
        g = (mt_matrix){line_up(j->wide), 1, space};
        for (int64_t o = 0; o < p->outputs; o++)
            for (int64_t i = 0; i < p->count[0]; i++)
                lay_row(space + o * g.row + i * p->pitch, i + 1 < p->count[0] ? p->pitch : p->count[1],
                        from + o * j->g.stride[1] + i * j->g.stride[2], j->g.stride[3], p->count[1], 0, 1);
    }
    if (j->onto_x) {
        for (int64_t i = 0; i < m && !j->work->accumulate; i++)
            memset(x + i * stride[1], 0, (size_t)(p->from.size[0] * p->from.size[1]) * sizeof *x);
        spread(j, group, c, m, g, x, stride[1], strips);
    } else {
        const int64_t channel = j->high * p->pitch;
        memset(sums, 0, (size_t)(p->phases[0] * p->phases[1] * m * channel) * sizeof *sums);
        spread(j, group, c, m, g, sums, channel, strips);
        put_phases(j, m, sums, x);
    }
}

static void run_spreads(const void *context, int share, int shares)
{
    const spread_job *j = context;
    const int64_t tasks = j->p.number * j->p.groups * j->parts,
                  end = mt_share_begin(tasks, share + 1, shares);
    for (int64_t i = mt_share_begin(tasks, share, shares); i < end; i++)
        run_spread(j, i, j->p.space + share * j->p.own);
}

static mt_status run_grad_x(mt_backend *backend, const mt_conv_work *work)
{
    spread_job j = {.work = work, .g = images_of(work->y)};
    pass *p = &j.p;
    over_x(p, work);
    const int64_t *stride = p->from.stride;
    p->pitch = p->count[1] + p->reach[1];
    j.onto_x = stride[3] == 1 && stride[2] == p->from.size[1] && stride[2] >= p->pitch;
    for (int d = 0; d < 2; d++)
        j.onto_x =
            j.onto_x && p->phases[d] == 1 && p->first[d] == 0 && p->count[d] + p->reach[d] <= p->from.size[d];
    if (j.onto_x) p->pitch = stride[2];
    j.high = p->count[0] + p->reach[0];
    j.parts = p->number * p->groups >= FEW_IMAGES ? 1 : (p->channels + CHANNELS - 1) / CHANNELS;
    j.part = (p->channels + j.parts - 1) / j.parts;
    j.g_in_place = j.g.stride[3] == 1 && (p->count[0] == 1 || j.g.stride[2] == p->count[1]) &&
                   (p->count[0] == 1 || p->pitch == p->count[1]);
    const double of_g = (double)p->outputs * (double)p->pitch * (double)p->count[0];
    const double of_x =
        (double)p->phases[0] * (double)p->phases[1] * (double)j.part * (double)j.high * (double)p->pitch;
    if (of_g + of_x > MOST_SPACE) return mt_simple_conv(backend, work);
    j.wide = (p->count[0] - 1) * p->pitch + p->count[1];
    const int64_t nr = p->kernels->nr, strips = (least(j.wide, p->kernels->nc) + nr - 1) / nr * nr;
    j.room_g = j.g_in_place ? 0 : p->outputs * line_up(j.wide);
    j.room_strips = line_up(strips * least(p->outputs, p->kernels->kc));
    p->own = j.room_g + j.room_strips + (j.onto_x ? 0 : line_up((int64_t)of_x));

    const int threads = threads_for(p, p->number * p->groups * j.parts);
    const size_t bytes = (size_t)(p->own * threads) * sizeof(mt_real);
    mt_workspace memory;
    if (!mt_workspace_borrow(bytes, &memory)) return no_memory(bytes);
    p->space = memory.data;
    mt_share_out(threads, run_spreads, &j);
    mt_workspace_give_back(&memory);
    return MT_OK;
}

/* ---- for w: a sum over positions ----
 *
 * What lies between the rows of an image may be anything, and times 0 that is not always 0. So the columns
 * that a place of the kernel meets are copied, for each place along the width, and stand without gaps. */

/* Images are cut into parts, each with sums of its own, which are added in their order. */
enum { PARTS = 16, SUMS = (1 << 22) / (int)sizeof(mt_real) };

typedef struct weight_job {
    pass p;   /* over x, for one column of the kernel */
    images g; /* the gradient of y */
    const mt_conv_work *work;
    int64_t parts, size;   /* size: numbers of a part of a group */
    int64_t room_g;        /* of the gradient's rows, where they do not stand without gaps */
    bool g_in_place, dots; /* dots: few outputs, which vectors along positions serve better */
    mt_real *sums;         /* of part, then group: [place][channel][output] */
} weight_job;

/* Adds the products of a block for column s of the kernel: for each place in it, channels times outputs over
 * the block's positions. */
static void add_block(const weight_job *j, int64_t s, const mt_real *x, mt_matrix g, int64_t positions,
                      mt_real *strips, mt_real *sums)
{
    const pass *p = &j->p;
    const struct mt_gemm_kernels *t = p->kernels;
    const int64_t *size = j->work->w.layout->size, outputs = p->outputs, down = j->work->dilation[0];
    /* What the rows of a product are: channels, or the places of the column. */
    const bool by_place = p->channels < size[2] && p->phases[0] == 1;
    const int64_t m = by_place ? size[2] : p->channels, row = by_place ? down * p->pitch : p->channel,
                  sums_row = by_place ? size[3] * p->channels * outputs : outputs;
    const int64_t deep = j->dots ? 1024 : t->kc;
    for (int64_t q = 0; q < positions; q += deep) {
        const int64_t k = least(deep, positions - q);
        if (!j->dots) t->packing->pack_b(k, outputs, mt_matrix_transpose(mt_matrix_from(g, 0, q)), strips);
        for (int64_t i = 0; i < (by_place ? p->channels : size[2]); i++) {
            const int64_t c = by_place ? i : 0, place = by_place ? 0 : i, shift[2] = {place * down, 0};
            mt_real *to = sums + ((place * size[3] + s) * p->channels + c) * outputs;
            mt_gemm_block block = {.m = m, .n = outputs, .k = k, .add = true, .count = 1, .strips = strips};
            block.a = (mt_matrix){row, 1, (mt_real *)(uintptr_t)(x + offset_of(p, c, shift) + q)};
            block.c = (mt_matrix){sums_row, 1, to};
            if (j->dots) {
                block.m = outputs, block.n = m;
                block.b = mt_matrix_transpose(block.a);
                block.a = mt_matrix_from(g, 0, q);
                block.c = mt_matrix_transpose(block.c);
                t->dot(&block);
            } else {
                t->packed(&block);
            }
        }
    }
}

/* A part of a group: some blocks of some images, in their order. */
static void run_part(const weight_job *j, int64_t task, mt_real *space)
{
    const pass *p = &j->p;
    const int64_t part = task % j->parts, group = task / j->parts, units = p->number * p->blocks;
    mt_real *sums = j->sums + (part * p->groups + group) * j->size;
    mt_real *strips = space + p->room_from, *room = strips + p->room_strips;
    memset(sums, 0, (size_t)j->size * sizeof *sums);
    for (int64_t u = units * part / j->parts; u < units * (part + 1) / j->parts; u++) {
        const int64_t image = u / p->blocks, begin = u % p->blocks * p->rows;
        const int64_t rows = least(p->rows, p->count[0] - begin);
        mt_real *from =
            j->g.data + image * j->g.stride[0] + group * p->outputs * j->g.stride[1] + begin * j->g.stride[2];
        mt_matrix g = {j->g.stride[1], 1, from};
        if (!j->g_in_place) {
            g = (mt_matrix){p->rows * p->pitch, 1, room};
            for (int64_t o = 0; o < p->outputs; o++)
                for (int64_t i = 0; i < rows; i++)
                    lay_row(room + o * g.row + i * p->pitch, p->pitch,
                            from + o * j->g.stride[1] + i * j->g.stride[2], j->g.stride[3], p->count[1], 0,
                            1);
        }
        for (int64_t s = 0; s < j->work->w.layout->size[3]; s++) {
            const mt_real *x = block_of(p, image, group, begin, s * j->work->dilation[1], space);
            add_block(j, s, x, g, (rows - 1) * p->pitch + p->count[1], strips, sums);
        }
    }
}

static void run_parts(const void *context, int share, int shares)
{
    const weight_job *j = context;
    const int64_t tasks = j->parts * j->p.groups, end = mt_share_begin(tasks, share + 1, shares);
    for (int64_t i = mt_share_begin(tasks, share, shares); i < end; i++)
        run_part(j, i, j->p.space + share * j->p.own);
}

/* Adds the parts in their order, for a share of the outputs. */
static void join_parts(const void *context, int share, int shares)
{
    const weight_job *j = context;
    const pass *p = &j->p;
    const mt_layout *w = j->work->w.layout;
    mt_real *to = (mt_real *)j->work->w.data + w->offset;
    const int64_t places = w->size[2] * w->size[3], end = mt_share_begin(w->size[0], share + 1, shares);
    for (int64_t o = mt_share_begin(w->size[0], share, shares); o < end; o++)
        for (int64_t c = 0; c < w->size[1]; c++)
            for (int64_t place = 0; place < places; place++) {
                const mt_real *from = j->sums + o / p->outputs * j->size +
                                      (place * p->channels + c) * p->outputs + o % p->outputs;
                mt_real sum = *from;
                for (int64_t part = 1; part < j->parts; part++) sum += from[part * p->groups * j->size];
                mt_real *y = to + o * w->stride[0] + c * w->stride[1] + place / w->size[3] * w->stride[2] +
                             place % w->size[3] * w->stride[3];
                *y = j->work->accumulate ? *y + sum : sum;
            }
}

static mt_status run_grad_w(mt_backend *backend, const mt_conv_work *work)
{
    weight_job j = {.work = work, .g = images_of(work->y)};
    pass *p = &j.p;
    over_x(p, work);
    if (p->number == 0 || p->count[0] == 0 || p->count[1] == 0)
        return work->accumulate ? MT_OK : mt_cpu_fill(backend, work->w, MT_REAL, 0);
    const bool no_gaps = p->count[0] == 1 || p->from.stride[2] == p->count[1];
    p->copies = work->w.layout->size[3] > 1 || p->column_step > 1 || !no_gaps;
    p->phases[1] = 1, p->reach[1] = 0;
    if (!cut(p)) return mt_simple_conv(backend, work);
    const struct mt_gemm_kernels *t = p->kernels;
    j.dots = p->outputs < t->lanes;
    j.g_in_place = without_gaps(p, &j.g);
    j.size = p->k * p->outputs;
    const int64_t whole = p->groups * j.size, units = p->number * p->blocks;
    j.parts = least(least(PARTS, units), whole > SUMS ? 1 : SUMS / whole);
    p->room_strips = j.dots ? 0 : line_up((p->outputs + t->nr - 1) / t->nr * t->nr * t->kc);
    j.room_g = j.g_in_place ? 0 : line_up(p->outputs * p->rows * p->pitch);
    p->own = p->room_from + p->room_strips + j.room_g;

    const int threads = threads_for(p, j.parts * p->groups);
    const size_t numbers = (size_t)(p->own * threads + line_up(whole * j.parts));
    const size_t bytes = numbers * sizeof(mt_real);
    mt_workspace memory;
    if (!mt_workspace_borrow(bytes, &memory)) return no_memory(bytes);
    p->space = memory.data;
    j.sums = memory.data + p->own * threads;
    if (threads > 1) {
        mt_share_region(threads, run_parts, join_parts, &j);
    } else {
        run_parts(&j, 0, 1);
        join_parts(&j, 0, 1);
    }
    mt_workspace_give_back(&memory);
    return MT_OK;
}

mt_status mt_cpu_conv(mt_backend *backend, const mt_conv_work *work)
{
    static mt_status (*const run[])(mt_backend * backend, const mt_conv_work *work) = {
        [MT_CONV_VALUE] = run_value, [MT_CONV_GRAD_X] = run_grad_x, [MT_CONV_GRAD_W] = run_grad_w};
    const mt_operand *out = work->part == MT_CONV_VALUE    ? &work->y
                            : work->part == MT_CONV_GRAD_X ? &work->x
                                                           : &work->w;
    return mt_layout_count(out->layout) == 0 ? MT_OK : run[work->part](backend, work);
}
