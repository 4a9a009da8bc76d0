/* ops_cuda/softmax.cu - softmax and cross entropy along a dimension: the lanes of a row read it together,
 * once for its largest element, once for the sum, and write; what they read again is in a cache by then.
 */
#include "lanes.cuh"

namespace MT_TWIN {

namespace {

MT_DEVICE mt_real largest_of(int64_t n, mt_real (&room)[LANES / WARP], const mt_real *x, int64_t step)
{
    mt_real most = (mt_real)-INFINITY;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) most = larger(most, x[i * step]);
    return joined<true>(most, room);
}

/* The rows of the arrays of a slot's work, without the dimension that a row lies along. */
template <int OPERANDS> struct row_walk {
    int64_t rows, n;
    int64_t step[OPERANDS]; /* from element to element of a row */
    walk<uint64_t, OPERANDS> dims;
};

/* The row of this thread, and where it begins in each array; past the last there is none, but the thread
 * takes part in what the block does together. */
template <int OPERANDS>
MT_DEVICE bool find_row(const row_walk<OPERANDS> &w, int64_t *row, uint64_t (&at)[OPERANDS])
{
    *row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    for (int k = 0; k < OPERANDS; k++) at[k] = 0;
    if (*row >= w.rows) return false;
    rolled_position_of(w.dims, (uint64_t)*row, at);
    return true;
}

/* ---- softmax ---- */

struct softmax_rows {
    mt_real *out;
    const mt_real *in, *g; /* g: of back */
    row_walk<3> walk;      /* out, in, g */
};

template <bool LOG> MT_KERNEL void softmax_value(softmax_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t row;
    uint64_t at[3];
    const int64_t n = find_row(w.walk, &row, at) ? w.walk.n : 0, step = w.walk.step[1];
    const mt_real *x = w.in + at[1];
    mt_real *out = w.out + at[0];
    const mt_real most = largest_of(n, room, x, step);
    const mt_real sum = sum_of(n, room, [&](int64_t i) { return mt_m_exp_down(x[i * step] - most); });
    const mt_real last = LOG ? mt_m_log(sum) : 1 / sum;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const mt_real below = x[i * step] - most;
        out[i * w.walk.step[0]] = LOG ? below - last : mt_m_exp_down(below) * last;
    }
}

template <bool LOG> MT_KERNEL void softmax_back(softmax_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t row;
    uint64_t at[3];
    const int64_t n = find_row(w.walk, &row, at) ? w.walk.n : 0, step = w.walk.step[1],
                  step_g = w.walk.step[2];
    const mt_real *y = w.in + at[1], *g = w.g + at[2];
    mt_real *out = w.out + at[0];
    const mt_real sum =
        sum_of(n, room, [&](int64_t i) { return LOG ? g[i * step_g] : y[i * step] * g[i * step_g]; });
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const mt_real here = g[i * step_g];
        out[i * w.walk.step[0]] = LOG ? here - mt_m_exp_down(y[i * step]) * sum : y[i * step] * (here - sum);
    }
}

/* ---- cross entropy ---- */

enum { X, LABELS, TARGET, OUT, G, OPERANDS };

struct entropy_rows {
    const mt_real *x, *target, *weight, *g;
    const int64_t *labels;
    mt_real *out, *loss, *row_weight, *most, *sum;
    unsigned long long *first_bad; /* the least number of a row whose label is no class */
    int64_t weight_step, ignore_index;
    mt_real rest, part; /* 1 - smoothing, smoothing / classes */
    bool logarithms;
    row_walk<OPERANDS> walk;
};

/* u_c of a row's target. */
MT_DEVICE mt_real target_at(const entropy_rows &w, const mt_real *target, int64_t c)
{
    return w.weight[c * w.weight_step] * (w.rest * target[c * w.walk.step[TARGET]] + w.part);
}

template <bool SOFT> MT_KERNEL void entropy_value(entropy_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t row;
    uint64_t at[OPERANDS];
    const bool here = find_row(w.walk, &row, at);
    const int64_t n = here ? w.walk.n : 0, step = w.walk.step[X],
                  label = here && !SOFT ? w.labels[at[LABELS]] : 0;
    const mt_real *x = w.x + at[X], *target = SOFT ? w.target + at[TARGET] : nullptr;
    mt_real most = 0, log_sum = 0, loss = 0;
    if (!w.logarithms) {
        most = largest_of(n, room, x, step);
        const mt_real sum = sum_of(n, room, [&](int64_t i) { return mt_m_exp_down(x[i * step] - most); });
        log_sum = mt_m_log(sum);
        if (here && threadIdx.x == 0) w.most[row] = most, w.sum[row] = sum;
    }
    if (SOFT || w.part > 0) {
        const mt_real *weight = w.weight;
        const int64_t weight_step = w.weight_step;
        const mt_real sum = sum_of(
            n, room, [&](int64_t i) { return SOFT ? target_at(w, target, i) : weight[i * weight_step]; });
        const mt_real apart = sum_of(n, room, [&](int64_t i) {
            return (SOFT ? target_at(w, target, i) : weight[i * weight_step]) * (x[i * step] - most);
        });
        loss = (SOFT ? 1 : w.part) * (sum * log_sum - apart);
    }
    if (!here || threadIdx.x > 0) return;
    if (!SOFT) {
        const bool ignored = label == w.ignore_index;
        if (!ignored && (label < 0 || label >= w.walk.n)) {
            atomicMin(w.first_bad, (unsigned long long)row);
            return;
        }
        const mt_real weight = ignored ? 0 : w.weight[label * w.weight_step];
        loss = ignored ? 0 : loss - w.rest * weight * ((x[label * step] - most) - log_sum);
        w.row_weight[row] = weight;
    }
    w.loss[row] = loss;
}

template <bool SOFT> MT_KERNEL void entropy_back(entropy_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t row;
    uint64_t at[OPERANDS];
    const bool here = find_row(w.walk, &row, at);
    const int64_t n = here ? w.walk.n : 0, step = w.walk.step[X],
                  label = here && !SOFT ? w.labels[at[LABELS]] : 0;
    const mt_real *x = w.x + at[X], *target = SOFT ? w.target + at[TARGET] : nullptr;
    const bool counts = here && (SOFT || label != w.ignore_index);
    const mt_real g = counts ? w.g[at[G]] : 0;
    mt_real *out = w.out + at[OUT];
    mt_real own = 0, total = 0, most = 0;
    if (!SOFT && counts) own = g * w.rest * w.weight[label * w.weight_step];
    if (SOFT || w.part > 0) {
        const mt_real *weight = w.weight;
        const int64_t weight_step = w.weight_step;
        total = sum_of(n, room,
                       [&](int64_t i) { return SOFT ? target_at(w, target, i) : weight[i * weight_step]; });
        total *= SOFT ? g : g * w.part;
    }
    mt_real factor = 0;
    if (counts && !w.logarithms) most = w.most[row], factor = (own + total) / w.sum[row];
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        mt_real slope = 0;
        if (counts && !w.logarithms) slope = factor * mt_m_exp_down(x[i * step] - most);
        if (counts && SOFT) slope -= g * target_at(w, target, i);
        if (counts && !SOFT && w.part > 0) slope -= g * w.part * w.weight[i * w.weight_step];
        if (counts && !SOFT && i == label) slope -= own;
        out[i * w.walk.step[OUT]] = slope;
    }
}

/* ---- on the host ---- */

template <int OPERANDS_> static row_walk<OPERANDS_> rows_of(const mt_operand (&operand)[OPERANDS_], int dim)
{
    row_walk<OPERANDS_> w;
    const mt_layout *shape = operand[0].layout;
    int64_t stride[OPERANDS_];
    w.rows = 1, w.n = shape->size[dim];
    w.dims.rank = 0;
    for (int k = 0; k < OPERANDS_; k++) w.step[k] = operand[k].data ? operand[k].layout->stride[dim] : 0;
    for (int d = 0; d < shape->rank; d++) {
        if (d == dim) continue;
        for (int k = 0; k < OPERANDS_; k++) stride[k] = operand[k].data ? operand[k].layout->stride[d] : 0;
        w.rows *= shape->size[d];
        add_dimension(&w.dims, shape->size[d], stride);
    }
    for (int k = 0; k < OPERANDS_; k++) stride[k] = 0;
    if (w.dims.rank == 0) add_dimension(&w.dims, 1, stride);
    return w;
}

static mt_real *real_of(const mt_operand &operand)
{
    return operand.data ? static_cast<mt_real *>(first_of(operand, sizeof(mt_real))) : nullptr;
}

} // namespace

extern "C" mt_status MT_LAUNCHER(softmax)(mt_backend *backend, const mt_softmax_work *work)
{
    const mt_operand none = {nullptr, nullptr},
                     operand[3] = {work->out, work->in, work->back ? work->g : none};
    const softmax_rows w = {real_of(work->out), real_of(work->in), real_of(operand[2]),
                            rows_of(operand, work->dim)};
    if (w.walk.rows == 0 || w.walk.n == 0) return MT_OK;
    const dim3 block = block_of(w.walk.n);
    if (w.walk.rows > MOST_THREADS / 256) return too_large("softmax", w.walk.rows);
    const dim3 grid = grid_of(w.walk.rows, block);
    if (work->back)
        return work->log ? MT_START(backend, "log_softmax back", (softmax_back<true>), grid, block, w)
                         : MT_START(backend, "softmax back", (softmax_back<false>), grid, block, w);
    return work->log ? MT_START(backend, "log_softmax", (softmax_value<true>), grid, block, w)
                     : MT_START(backend, "softmax", (softmax_value<false>), grid, block, w);
}

namespace {

/* The sentence about the label of row number `row`. */
static mt_status bad_label(mt_backend *backend, const mt_cross_entropy_work *work, int64_t row,
                           int64_t classes)
{
    const mt_layout *layout = work->labels.layout;
    int64_t at = layout->offset, rest = row, label = 0;
    for (int d = layout->rank - 1; d >= 0; d--) {
        at += rest % layout->size[d] * layout->stride[d];
        rest /= layout->size[d];
    }
    mt_status status = MT_LAUNCHER(download)(
        backend, &label, static_cast<const int64_t *>(work->labels.data) + at, sizeof label);
    if (status != MT_OK) return status;
    return mt_fail(
        MT_ERR_INDEX,
        "cross_entropy: label %lld is %lld, and there are %lld classes, from 0; ignore_index is %lld",
        (long long)row, (long long)label, (long long)classes, (long long)work->ignore_index);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(cross_entropy)(mt_backend *backend, const mt_cross_entropy_work *work)
{
    const mt_operand none = {nullptr, nullptr};
    const mt_operand operand[OPERANDS] = {work->x, work->labels, work->target, work->back ? work->out : none,
                                          work->back ? work->g : none};
    entropy_rows w;
    w.walk = rows_of(operand, work->dim);
    w.x = real_of(work->x), w.target = real_of(work->target), w.weight = real_of(work->weight);
    w.g = real_of(operand[G]), w.out = real_of(operand[OUT]);
    w.labels =
        work->labels.data ? static_cast<const int64_t *>(first_of(work->labels, sizeof(int64_t))) : nullptr;
    w.loss = work->loss, w.row_weight = work->row_weight, w.most = work->most, w.sum = work->sum;
    w.first_bad = nullptr;
    w.weight_step = work->weight.layout->stride[0], w.ignore_index = work->ignore_index;
    w.rest = (mt_real)(1 - work->smoothing), w.part = (mt_real)(work->smoothing / (double)w.walk.n);
    w.logarithms = work->logarithms;
    if (w.walk.rows == 0) return MT_OK;
    if (w.walk.rows > MOST_THREADS / 256) return too_large("cross_entropy", w.walk.rows);
    const dim3 block = block_of(w.walk.n), grid = grid_of(w.walk.rows, block);
    if (work->back)
        return w.labels ? MT_START(backend, "cross entropy back", (entropy_back<false>), grid, block, w)
                        : MT_START(backend, "soft entropy back", (entropy_back<true>), grid, block, w);
    if (!w.labels) return MT_START(backend, "soft entropy", (entropy_value<true>), grid, block, w);
    scratch word(backend, sizeof(unsigned long long));
    if (!word.data) return MT_ERR_MEMORY;
    unsigned long long none_bad = ~0ull, found = none_bad;
    w.first_bad = static_cast<unsigned long long *>(word.data);
    mt_status status = dev_fill(w.first_bad, 0xff, sizeof found, MT_LAUNCHER(stream)(backend)) == 0
                           ? MT_OK
                           : failed(backend);
    if (status == MT_OK) status = MT_START(backend, "cross entropy", (entropy_value<false>), grid, block, w);
    if (status == MT_OK) status = MT_LAUNCHER(download)(backend, &found, w.first_bad, sizeof found);
    if (status != MT_OK || found == none_bad) return status;
    return bad_label(backend, work, (int64_t)found, w.walk.n);
}

} // namespace MT_TWIN
