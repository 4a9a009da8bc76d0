/* ops_cuda/reduce.cu - how a reduction is shared out: lanes for an output, and chunks of a long one. By shape
 * alone, so that the same reduction has the same bits on every card. The kernels stand in folds.cuh. */
#include "folds.cuh"

namespace MT_TWIN {

namespace {

/* A turn is what the lanes of one output take at a time: lanes * FOLD_WIDTH elements of a row, lanes elements
 * of a column. */
enum {
    BLOCKS = 1024,   /* blocks that keep a card busy: where outputs give fewer, they are cut into chunks */
    ALONE = 16,      /* outputs of up to so many turns are not cut: a second kernel would cost more */
    TURNS_LEAST = 2, /* the fewest turns of a chunk */
    TURNS_MOST = 32, /* the most: a lane adds them in order, and so its error grows with them */
    WARP_TURNS = 16, /* rows of more turns of a warp get a block each instead of a warp */
    WARP_TURNS_OF_FEW = 4, /* the same where there are fewer than BLOCKS rows */
    SHORT_COLUMN = 32,     /* columns of up to so many elements get one lane where there are MANY_COLUMNS */
    CHUNKS_MOST = 65535    /* the most blocks of a grid along y */
};
static const int64_t MANY_COLUMNS = 1 << 15;

/* lanes: threads that share an output; chunk: elements of a chunk; chunks: of an output. */
struct fold_cut {
    int64_t lanes, chunk, chunks;
};

static fold_cut cut(int64_t kept, int64_t reduced, bool columns)
{
    fold_cut c;
    int64_t turn, outputs = 1; /* elements of one turn of all lanes; outputs of a block */
    if (columns) {
        outputs = columns_of_block(kept);
        c.lanes = lanes_of_columns(kept, reduced);
        if (kept >= MANY_COLUMNS && reduced <= SHORT_COLUMN) c.lanes = 1;
        turn = c.lanes;
    } else {
        const int64_t warp = WARP * FOLD_WIDTH;
        c.lanes = reduced <= warp ? power_of_two_from(ceil_div(reduced, FOLD_WIDTH)) : (int64_t)WARP;
        if (reduced > warp * (kept < BLOCKS ? WARP_TURNS_OF_FEW : WARP_TURNS)) c.lanes = FOLD_THREADS;
        turn = c.lanes * FOLD_WIDTH;
    }
    const int64_t blocks = ceil_div(kept, outputs);
    int64_t wanted = blocks < BLOCKS ? BLOCKS / blocks : 1;
    if (wanted > ALONE * turn) wanted = ALONE * turn; /* which the second kernel takes alone */
    c.chunk = reduced;
    if (wanted > 1 && reduced > ALONE * turn) c.chunk = ceil_div(reduced, wanted);
    if (c.chunk < TURNS_LEAST * turn) c.chunk = TURNS_LEAST * turn;
    if (c.chunk > TURNS_MOST * turn) c.chunk = TURNS_MOST * turn;
    if (c.chunk < ceil_div(reduced, CHUNKS_MOST)) c.chunk = ceil_div(reduced, CHUNKS_MOST);
    c.chunk = ceil_div(c.chunk, turn) * turn;
    c.chunks = reduced > 0 ? ceil_div(reduced, c.chunk) : 1;
    return c;
}

/* What a kernel reads and where its results go (fold_work). Of two kernels the second has the first one's
 * partial and partial_index as in and origin. */
struct stage {
    mt_reduce_plan plan;
    const mt_real *in;
    const int64_t *origin;
    mt_real *partial;
    int64_t *partial_index, partial_output, partial_chunk;
};

/* Whether 16 divides data's address and every stride of a dimension of more than one element, in bytes. */
static bool divides(const void *data, int rank, const int64_t *size, const int64_t *stride)
{
    bool fits = (uintptr_t)data % 16 == 0;
    for (int d = 0; d < rank; d++) fits = fits && (size[d] == 1 || stride[d] % FOLD_WIDTH == 0);
    return fits;
}

/* Whether FOLD_WIDTH neighbours of a row lie side by side, and each row begins where 16 divides. */
static bool is_row_wide(const stage &s)
{
    const mt_reduce_plan &p = s.plan;
    const int last = p.reduced_rank - 1;
    return p.reduced_in[last] == 1 && (last == 0 || p.reduced_size[last] % FOLD_WIDTH == 0) &&
           divides(s.in, p.kept_rank, p.kept_size, p.kept_in) &&
           divides(s.in, last, p.reduced_size, p.reduced_in);
}

/* The same for neighbouring columns. */
static bool is_column_wide(const stage &s)
{
    const mt_reduce_plan &p = s.plan;
    const int last = p.kept_rank - 1;
    return p.kept_size[last] % FOLD_WIDTH == 0 && divides(s.in, last, p.kept_size, p.kept_in) &&
           divides(s.in, p.reduced_rank, p.reduced_size, p.reduced_in);
}

template <class N>
static fold_work<N> fold_work_of(const mt_reduce_work *work, const stage &s, const fold_cut &c, bool columns,
                                 bool line)
{
    const mt_reduce_plan &p = s.plan;
    fold_work<N> w;
    w.in = s.in, w.origin = s.origin;
    w.out = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.out_index = static_cast<int64_t *>(first_of(work->out, sizeof(int64_t)));
    w.partial = s.partial, w.partial_index = s.partial_index;
    w.partial_output = s.partial_output, w.partial_chunk = s.partial_chunk;
    w.kept = p.kept_count, w.reduced = p.reduced_count, w.chunk = c.chunk;
    w.step = p.reduced_in[0];
    w.divisor = work->divisor, w.accumulate = work->accumulate;
    w.wide = columns ? is_column_wide(s) : is_row_wide(s);
    w.wide_out = s.partial || divides(w.out, p.kept_rank - 1, p.kept_size, p.kept_out);
    w.kept_dims.rank = w.reduced_dims.rank = 0;
    for (int d = 0; d < p.kept_rank; d++) {
        const int64_t stride[2] = {p.kept_in[d], p.kept_out[d]};
        add_dimension(&w.kept_dims, p.kept_size[d], stride);
    }
    for (int d = 0; d < p.reduced_rank && !line; d++) {
        const int64_t stride[1] = {p.reduced_in[d]};
        add_dimension(&w.reduced_dims, p.reduced_size[d], stride);
    }
    return w;
}

template <class N>
static mt_status start_fold(mt_backend *backend, const char *name, const fold_work<N> &w,
                            void (*kernel)(fold_work<N>), int64_t blocks, const fold_cut &c, dim3 block)
{
    if (blocks > 0x7fffffff)
        return mt_fail(MT_ERR_SHAPE, "%s: %lld results are more than a grid has blocks; work in pieces", name,
                       (long long)w.kept);
    return MT_START(backend, name, kernel, dim3((unsigned)blocks, (unsigned)c.chunks), block, w);
}

/* Rows that share a block: fewer, where more would leave too few blocks, but whole warps. */
template <class N>
static mt_status start_rows(mt_backend *backend, const char *name, const fold_work<N> &w,
                            void (*kernel)(fold_work<N>), const fold_cut &c)
{
    int64_t warps = ceil_div(ceil_div(w.kept * c.lanes, WARP), BLOCKS / 4);
    if (warps > FOLD_THREADS / WARP) warps = FOLD_THREADS / WARP;
    const int64_t rows = c.lanes > WARP ? 1 : warps * WARP / c.lanes;
    return start_fold(backend, name, w, kernel, ceil_div(w.kept, rows), c,
                      dim3((unsigned)c.lanes, (unsigned)rows));
}

static mt_status start_columns(mt_backend *backend, const char *name, const fold_work<uint32_t> &w,
                               void (*kernel)(fold_work<uint32_t>), const fold_cut &c, int width)
{
    const int64_t threads = ceil_div(w.kept, width), most = c.lanes == 1 ? FOLD_THREADS / 2 : (int)WARP;
    const int64_t x = threads < most ? power_of_two_from(threads) : most;
    return start_fold(backend, name, w, kernel, ceil_div(threads, x), c,
                      dim3((unsigned)x, (unsigned)c.lanes));
}

/* Starts the right kernel. Rows that run along several dimensions, and numbers from 2^31 on, which the quick
 * division does not take, are counted in 64 bits; columns of such numbers are rows whose elements lie apart.
 */
template <class OP>
static mt_status choose(mt_backend *backend, const char *name, const mt_reduce_work *work, const stage &s,
                        const fold_cut &c, bool columns, bool small)
{
    const bool line = s.plan.reduced_rank == 1 && small;
    if (!columns && !line)
        return start_rows(backend, name, fold_work_of<uint64_t>(work, s, c, false, false),
                          fold_rows<OP, uint64_t, false>, c);
    const fold_work<uint32_t> w = fold_work_of<uint32_t>(work, s, c, columns, line);
    if (!columns) return start_rows(backend, name, w, fold_rows<OP, uint32_t, true>, c);
    if (line && w.wide)
        return start_columns(backend, name, w, fold_columns<OP, FOLD_WIDTH, true>, c, FOLD_WIDTH);
    return start_columns(backend, name, w, line ? fold_columns<OP, 1, true> : fold_columns<OP, 1, false>, c,
                         1);
}

/* Chunks of the plan, and then what they have come to, until there is one for each output. Results of chunks
 * lie as the elements did: side by side along a row, or across columns. */
template <class OP>
static mt_status run(mt_backend *backend, const char *name, const mt_reduce_work *work, stage s)
{
    const mt_reduce_plan &p = s.plan;
    const bool small = fits_quick(p.kept_count) && (p.reduced_rank == 1 || fits_quick(p.reduced_count));
    const bool columns = small && p.reduce_class == MT_REDUCE_OUTER;
    const fold_cut c = cut(p.kept_count, p.reduced_count, columns);
    if (c.chunks == 1) return choose<OP>(backend, name, work, s, c, columns, small);
    const int64_t pitch = ceil_div(c.chunks, FOLD_WIDTH) * FOLD_WIDTH;
    const size_t count = (size_t)(p.kept_count * (columns ? c.chunks : pitch));
    scratch values(backend, count * sizeof(mt_real));
    scratch indices(backend, OP::gives_index ? count * sizeof(int64_t) : 0);
    if (!values.data || (OP::gives_index && !indices.data)) return MT_ERR_MEMORY;
    s.partial = static_cast<mt_real *>(values.data);
    s.partial_index = static_cast<int64_t *>(indices.data);
    s.partial_output = columns ? 1 : pitch, s.partial_chunk = columns ? p.kept_count : 1;
    mt_status status = choose<OP>(backend, name, work, s, c, columns, small);
    if (status != MT_OK) return status;
    stage next = s;
    next.in = s.partial, next.origin = s.partial_index;
    next.partial = nullptr, next.partial_index = nullptr;
    next.plan.reduced_rank = 1;
    next.plan.reduced_count = next.plan.reduced_size[0] = c.chunks;
    next.plan.reduced_in[0] = s.partial_chunk;
    int64_t stride = s.partial_output;
    for (int d = p.kept_rank - 1; d >= 0; d--) next.plan.kept_in[d] = stride, stride *= p.kept_size[d];
    return run<OP>(backend, name, work, next);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(reduce)(mt_backend *backend, const mt_reduce_work *work)
{
    static const struct {
        mt_reduction op;
        const char *name;
        mt_status (*run)(mt_backend *, const char *, const mt_reduce_work *, stage);
    } kinds[] = {
        {MT_SUM, "reduce sum", run<op_sum>},           {MT_PROD, "reduce prod", run<op_prod>},
        {MT_MAX, "reduce max", run<op_max>},           {MT_MIN, "reduce min", run<op_min>},
        {MT_ALL, "reduce all", run<op_all>},           {MT_ARGMAX, "reduce argmax", run<op_arg<1>>},
        {MT_ARGMIN, "reduce argmin", run<op_arg<-1>>},
    };
    stage s = {};
    mt_plan_reduce(&work->out, &work->in, work->reduced, &s.plan);
    if (s.plan.kept_count == 0) return MT_OK;
    if (s.plan.reduced_count == 0) s.plan.reduced_rank = 1; /* no place is asked for */
    s.in = static_cast<const mt_real *>(first_of(work->in, sizeof(mt_real)));
    for (const auto &kind : kinds)
        if (kind.op == work->op) return kind.run(backend, kind.name, work, s);
    return mt_fail(MT_ERR_VALUE, "reduce: there is no reduction %d", (int)work->op);
}

} // namespace MT_TWIN
