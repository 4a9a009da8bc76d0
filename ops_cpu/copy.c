/* ops_cpu/copy.c - copies between layouts and kinds, and fills.
 *
 * A contiguous row is one memcpy. Where the input runs along another dimension than the output (a transpose),
 * blocks of one cache line by one are turned in registers. A large result is streamed (stream.h).
 */
#include <string.h>

#include "cpu.h"
#include "share.h"
#include "stream.h"
#include "tensor/plan.h"

enum {
    PIECE = 1 << 15,
    SHORT = 4096, /* elements of a row that is copied with its neighbours */
    SHORT_STREAMED = 512,
    TILE = 32,   /* a square of other layouts */
    SPAN = 1024, /* elements along which a band of a transpose goes */
    TALL = 64,   /* rows turned at once when the lines of the output are not aligned */
    AHEAD = 256  /* bytes */
};

typedef struct {
    mt_elementwise_plan plan;
    int across; /* the dimension along which the input is contiguous; rank - 1 when there is none better */
    mt_tile_fn tile; /* operands of any kind, by the addresses of their first elements */
    bool converts;
    char *out;
    const char *in;
    size_t out_bytes, in_bytes; /* of an element */
    int64_t cuts_across, cuts_inner;
    int64_t piece_across, piece_inner;
    int64_t pieces; /* in all */
    bool turns;     /* a transpose: the output contiguous along the inner dimension, the input across */
    bool streams;   /* a large result */
    bool aligned;   /* with each row of the output at the start of a cache line */
} copy_job;

#define INLINE static inline __attribute__((always_inline))

/* *y = *x, of the kinds to and from; not both are REAL. */
INLINE void copy_element(mt_kind to, char *y, mt_kind from, const char *x)
{
    if (to == MT_REAL)
        *(mt_real *)(void *)y = (mt_real) * (const int64_t *)(const void *)x;
    else if (from == MT_REAL)
        *(int64_t *)(void *)y = mt_m_to_index(*(const mt_real *)(const void *)x);
    else
        *(int64_t *)(void *)y = *(const int64_t *)(const void *)x;
}

/* A tile as mt_tile_fn has it (kernels.h), whose data point to elements of the kinds to and from. */
INLINE void copy_tile(mt_kind to, mt_kind from, const int64_t size[2], mt_real *const *data,
                      const int64_t (*step)[2])
{
    const int64_t y_bytes = (int64_t)mt_kind_bytes(to), x_bytes = (int64_t)mt_kind_bytes(from);
    const int64_t y_step = step[0][1] * y_bytes, x_step = step[1][1] * x_bytes;
    for (int64_t i = 0; i < size[0]; i++) {
        char *y = (char *)data[0] + i * step[0][0] * y_bytes;
        const char *x = (const char *)data[1] + i * step[1][0] * x_bytes;
        if (y_step == y_bytes && x_step == x_bytes)
            for (int64_t j = 0; j < size[1]; j++) copy_element(to, y + j * y_bytes, from, x + j * x_bytes);
        else
            for (int64_t j = 0; j < size[1]; j++) copy_element(to, y + j * y_step, from, x + j * x_step);
    }
}

#define TILE_ARGS const int64_t size[2], mt_real *const *data, const int64_t(*step)[2], const mt_real *p
static void copy_index(TILE_ARGS) { (void)p, copy_tile(MT_INDEX, MT_INDEX, size, data, step); }
static void copy_real_to_index(TILE_ARGS) { (void)p, copy_tile(MT_INDEX, MT_REAL, size, data, step); }
static void copy_index_to_real(TILE_ARGS) { (void)p, copy_tile(MT_REAL, MT_INDEX, size, data, step); }

/* ---- transposes ---- */

#if defined(__SSE2__)
/* y[j][i] = x[i][j] for a square of 16 bytes by 16 / bytes rows; y_row and x_row in bytes. */
INLINE void turn_square(size_t bytes, char *y, int64_t y_row, const char *x, int64_t x_row)
{
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)x);
    const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(x + x_row));
    if (bytes == 8) {
        _mm_storeu_si128((__m128i *)(void *)y, _mm_unpacklo_epi64(a, b));
        _mm_storeu_si128((__m128i *)(void *)(y + y_row), _mm_unpackhi_epi64(a, b));
        return;
    }
    const __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(x + 2 * x_row));
    const __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(x + 3 * x_row));
    const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
    const __m128i ef = _mm_unpackhi_epi32(a, b), gh = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128((__m128i *)(void *)y, _mm_unpacklo_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)(y + y_row), _mm_unpackhi_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)(y + 2 * y_row), _mm_unpacklo_epi64(ef, gh));
    _mm_storeu_si128((__m128i *)(void *)(y + 3 * y_row), _mm_unpackhi_epi64(ef, gh));
}
#endif

/* y[j*y_row + i] = x[i*x_row + j] for rows of x by columns of x, of `bytes` = 4 or 8 bytes each: squares of
 * 16 bytes, and what they leave over one by one. */
INLINE void turn_elements(const size_t bytes, char *y, int64_t y_row, const char *x, int64_t x_row,
                          int64_t rows, int64_t columns)
{
    const int64_t width = (int64_t)bytes;
    int64_t whole_rows = 0, whole_columns = 0;
#if defined(__SSE2__)
    const int64_t side = 16 / width;
    whole_rows = rows - rows % side;
    whole_columns = columns - columns % side;
    for (int64_t i = 0; i < whole_rows; i += side)
        for (int64_t j = 0; j < whole_columns; j += side)
            turn_square(bytes, y + (j * y_row + i) * width, y_row * width, x + (i * x_row + j) * width,
                        x_row * width);
#endif
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            memcpy(y + (j * y_row + i) * width, x + (i * x_row + j) * width, bytes);
}

static void turn(size_t bytes, char *y, int64_t y_row, const char *x, int64_t x_row, int64_t rows,
                 int64_t columns)
{
    if (bytes == 4)
        turn_elements(4, y, y_row, x, x_row, rows, columns);
    else
        turn_elements(8, y, y_row, x, x_row, rows, columns);
}

/* Turns rows by columns in a block of the first cache and streams each row of the result to its place. The
 * lines at ahead[0], ahead[step], ... are asked for meanwhile, as many as the block has in the input. */
static void stream_turned(size_t bytes, char *y, int64_t y_row, const char *x, int64_t x_row, int64_t rows,
                          int64_t columns, const char *ahead, int64_t step)
{
    _Alignas(MT_LINE) char block[TALL * MT_LINE];
    const int64_t line = MT_LINE / (int64_t)bytes, length = rows * (int64_t)bytes;
    turn(bytes, block, rows, x, x_row, rows, columns);
    for (int64_t j = 0; j < columns; j++) {
        char *to = y + j * y_row * (int64_t)bytes;
        const char *from = block + j * length;
        int64_t head = (int64_t)mt_to_line(to);
        if (head > length) head = length;
        if (head > 0) memcpy(to, from, (size_t)head);
        for (; head + MT_LINE <= length; head += MT_LINE) mt_stream_line(to + head, from + head);
        if (head < length) memcpy(to + head, from + head, (size_t)(length - head));
        for (int64_t i = j * rows / line; i < (j + 1) * rows / line; i++) mt_prefetch(ahead + i * step);
    }
}

/* A band of a transpose: rows of the input, each columns long. */
static void turn_band(const copy_job *job, char *to, const char *from, int64_t rows, int64_t columns,
                      int64_t to_row, int64_t from_row)
{
    const int64_t bytes = (int64_t)job->out_bytes, line = MT_LINE / bytes;
    if (!job->streams) {
        for (int64_t j = 0; j < columns; j += line)
            turn(job->out_bytes, to + j * to_row * bytes, to_row, from + j * bytes, from_row, rows,
                 columns - j < line ? columns - j : line);
    } else if (job->aligned) { /* along the rows of the input */
        for (int64_t j = 0; j < columns; j += line)
            stream_turned(job->out_bytes, to + j * to_row * bytes, to_row, from + j * bytes, from_row, rows,
                          columns - j < line ? columns - j : line, from + j * bytes + AHEAD,
                          from_row * bytes);
    } else { /* along the rows of the output */
        for (int64_t i = 0; i < rows; i += TALL)
            stream_turned(job->out_bytes, to + i * bytes, to_row, from + i * from_row * bytes, from_row,
                          rows - i < TALL ? rows - i : TALL, columns, from + (i + TALL) * from_row * bytes,
                          from_row * bytes);
    }
}

/* How a transpose is cut: bands of one line, along the rows of the input or of the output. */
static void cut_turn(copy_job *job)
{
    const mt_elementwise_plan *plan = &job->plan;
    const int64_t line = MT_LINE / (int64_t)job->out_bytes;
    job->aligned = mt_to_line(job->out) == 0;
    for (int d = 0; d < plan->rank - 1; d++) job->aligned &= plan->stride[0][d] % line == 0;
    bool tall = job->streams && !job->aligned;
    job->piece_across = tall ? line : SPAN;
    job->piece_inner = tall ? SPAN : line;
}

/* ---- pieces ---- */

/* Piece i: a block of the across and the inner dimension at one index of the others. */
static void run_piece(const copy_job *job, int64_t i)
{
    const mt_elementwise_plan *plan = &job->plan;
    const int inner = plan->rank - 1, across = job->across;
    /* Neighbouring pieces follow each other along the input, where its rows are long. */
    bool inner_first = across == inner || job->piece_inner >= job->piece_across;
    int64_t cut_inner, cut_across, out = 0, in = 0;
    if (inner_first) {
        cut_inner = i % job->cuts_inner, i /= job->cuts_inner;
        cut_across = i % job->cuts_across, i /= job->cuts_across;
    } else {
        cut_across = i % job->cuts_across, i /= job->cuts_across;
        cut_inner = i % job->cuts_inner, i /= job->cuts_inner;
    }
    for (int d = inner - 1; d >= 0; d--) {
        if (d == across) continue;
        int64_t index = i % plan->size[d];
        i /= plan->size[d];
        out += index * plan->stride[0][d];
        in += index * plan->stride[1][d];
    }
    int64_t begin[2] = {0, cut_inner * job->piece_inner}, size[2] = {1, 0};
    int64_t step[2][2] = {{0, plan->stride[0][inner]}, {0, plan->stride[1][inner]}};
    size[1] = plan->size[inner] - begin[1];
    if (size[1] > job->piece_inner) size[1] = job->piece_inner;
    if (across != inner) {
        begin[0] = cut_across * job->piece_across;
        size[0] = plan->size[across] - begin[0];
        if (size[0] > job->piece_across) size[0] = job->piece_across;
        for (int k = 0; k < 2; k++) step[k][0] = plan->stride[k][across];
    }
    out += begin[0] * step[0][0] + begin[1] * step[0][1];
    in += begin[0] * step[1][0] + begin[1] * step[1][1];
    char *to = job->out + out * (int64_t)job->out_bytes;
    const char *from = job->in + in * (int64_t)job->in_bytes;
    if (job->turns) {
        turn_band(job, to, from, size[1], size[0], step[0][0], step[1][1]);
    } else if (across == inner && step[0][1] == 1 && step[1][1] == 1 && !job->converts) {
        if (job->streams)
            mt_stream_copy(to, from, (size_t)size[1] * job->out_bytes);
        else
            memmove(to, from, (size_t)size[1] * job->out_bytes);
    } else {
        mt_real *const data[2] = {(mt_real *)(void *)to, (mt_real *)(uintptr_t)from};
        job->tile(size, data, step, (const mt_real[]){0, 0});
    }
}

static void run_pieces(const void *context, int share, int shares)
{
    const copy_job *job = context;
    const int64_t last = mt_share_begin(job->pieces, share + 1, shares);
    for (int64_t i = mt_share_begin(job->pieces, share, shares); i < last; i++) run_piece(job, i);
    if (job->streams) mt_stream_end();
}

mt_status mt_cpu_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    (void)backend;
    copy_job job = {.out_bytes = mt_kind_bytes(out_kind), .in_bytes = mt_kind_bytes(in_kind)};
    mt_elementwise_plan *plan = &job.plan;
    mt_plan_loops((mt_operand[]){out, in}, 2, plan);
    if (plan->count == 0) return MT_OK;
    job.converts = out_kind != in_kind;
    job.tile = out_kind == MT_REAL
                   ? (in_kind == MT_REAL ? mt_cpu_kernels_get()->slot[MT_SLOT_copy] : copy_index_to_real)
                   : (in_kind == MT_REAL ? copy_real_to_index : copy_index);
    job.out = (char *)out.data + (size_t)out.layout->offset * job.out_bytes;
    job.in = (const char *)in.data + (size_t)in.layout->offset * job.in_bytes;
    const int inner = plan->rank - 1;
    job.across = inner;
    for (int d = 0; d < inner && plan->stride[1][inner] > 1; d++)
        if (plan->stride[1][d] == 1) job.across = d;
    job.streams = job.out != job.in && mt_cpu_streams((double)plan->count * (double)job.out_bytes);
    job.turns = job.across != inner && !job.converts && plan->stride[0][inner] == 1;
    job.piece_inner = job.across == inner ? PIECE : TILE;
    job.piece_across = TILE;
    const int64_t few = job.streams ? SHORT_STREAMED : SHORT;
    if (job.across == inner && inner > 0 && plan->size[inner] < few) { /* rows together */
        job.across = inner - 1;
        job.piece_across = PIECE / plan->size[inner];
        job.streams = false;
    }
    if (job.turns) cut_turn(&job);
    job.cuts_inner = (plan->size[inner] + job.piece_inner - 1) / job.piece_inner;
    job.cuts_across =
        job.across == inner ? 1 : (plan->size[job.across] + job.piece_across - 1) / job.piece_across;
    int64_t others = plan->count / plan->size[inner] / (job.across == inner ? 1 : plan->size[job.across]);
    job.pieces = others * job.cuts_across * job.cuts_inner;
    int threads = mt_cpu_threads((double)plan->count);
    if (threads > job.pieces) threads = (int)job.pieces;
    mt_share_out(threads, run_pieces, &job);
    return MT_OK;
}

mt_status mt_cpu_fill(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    /* A fill is a copy from one element, stretched by strides of 0. */
    mt_real real = (mt_real)value;
    int64_t index = mt_m_to_index(value);
    mt_layout one = {.rank = 1, .size = {1}, .stride = {1}};
    mt_operand in = {kind == MT_REAL ? (void *)&real : (void *)&index, &one};
    return mt_cpu_copy(backend, out, kind, in, kind);
}
