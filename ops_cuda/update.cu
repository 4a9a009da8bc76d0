/* ops_cuda/update.cu - an optimiser's step for all parameters in one launch.
 *
 * A table in device memory says where each parameter, its gradient and its state are. It is sent when one of
 * them has moved, which in training is never. The options, and the constants of the step, stand in device
 * words before the table: the last block works out the next step's, and only new options or another count are
 * sent. So a step needs no copy and can be replayed as it is.
 */
#include <cmath>
#include <cstring>
#include <mutex>

#include "backend.cuh"
#include "tensor/arena.h"
#include "tensor/scalar/update_ops.h"

namespace MT_TWIN {

namespace {

enum { THREADS = 128, PIECE = 1024 /* elements of a block */ };

struct step_words {
    mt_update_constants now; /* of this step */
    mt_update_options options;
    int64_t step;
    unsigned finished, unused; /* blocks of this launch that are done */
};

struct table_row {
    mt_real *value;
    const mt_real *grad;
    mt_real *state[MT_UPDATE_STATES];
    int64_t n, first_block;
};

typedef mt_real (*update_fn)(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                             const mt_update_constants *c);

/* A block has a piece of one parameter, found in the table's running count of blocks; neighbours in a warp
 * have neighbouring elements, with no claim on alignment. The words are read before any block can have
 * finished all. The bound on registers, 64, is met by not unrolling. */
template <update_fn RULE, int STATES>
MT_KERNEL void __launch_bounds__(THREADS, 8) step_all(step_words *words, const table_row *rows, int count)
{
    const mt_update_constants c = words->now;
    int64_t block = blockIdx.x;
    int r = 0;
    while (r + 1 < count && rows[r + 1].first_block <= block) r++;
    const int64_t begin = (block - rows[r].first_block) * PIECE;
    const int n = (int)min((int64_t)PIECE, rows[r].n - begin);
    mt_real *value = rows[r].value + begin, *state[MT_UPDATE_STATES];
    const mt_real *grad = rows[r].grad + begin;
    for (int k = 0; k < STATES; k++) state[k] = rows[r].state[k] + begin;
    MT_NO_UNROLL
    for (int i = threadIdx.x; i < n; i += THREADS) {
        mt_real s[MT_UPDATE_STATES];
        for (int k = 0; k < STATES; k++) s[k] = state[k][i];
        value[i] = RULE(value[i], grad[i], &s[0], &s[1], &s[2], &c);
        for (int k = 0; k < STATES; k++) state[k][i] = s[k];
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    __threadfence();
    if (atomicInc(&words->finished, gridDim.x - 1) < gridDim.x - 1) return;
    words->now = mt_update_constants_at(&words->options, ++words->step);
}

static const struct {
    const char *name;
    void (*kernel)(step_words *, const table_row *, int);
} kernels[MT_UPDATE_COUNT] = {
#define MT_UPDATE(name, states, names, formula) {"update " #name, step_all<mt_update_##name, states>},
#include "tensor/scalar/update_table.inc"
};

/* ---- tables that the device has ---- */

enum { TABLES = 64 }; /* optimisers that take turns without a table being sent again */

/* The host's copy says what stands there: the rows, and the step that comes next. */
static struct table {
    mt_update_row *row;
    int rows;
    mt_update_rule rule;
    mt_update_options options;
    int64_t next_step, blocks;
    void *device;
    size_t device_bytes;
    uint64_t used;
} tables[TABLES];
static uint64_t uses;
static std::mutex table_lock;

static bool same(const mt_update_options &a, const mt_update_options &b)
{
    return a.rate == b.rate && a.rate_decay == b.rate_decay && a.weight_decay == b.weight_decay &&
           a.momentum == b.momentum && a.beta1 == b.beta1 && a.beta2 == b.beta2 && a.epsilon == b.epsilon &&
           a.nesterov == b.nesterov;
}

static bool holds(const table &t, const mt_update_work *work)
{
    return t.device && t.rows == work->rows && t.rule == work->rule &&
           memcmp(t.row, work->row, (size_t)t.rows * sizeof *t.row) == 0;
}

static void drop(mt_backend *backend, table *t)
{
    if (t->device) MT_LAUNCHER(unkeep)(backend, t->device, t->device_bytes);
    mt_free(t->row, (size_t)t->rows * sizeof *t->row);
    memset(t, 0, sizeof *t);
}

/* Sends a table for this work into the place that was unused for longest. */
static mt_status send_table(mt_backend *backend, const mt_update_work *work, table **result)
{
    table *t = &tables[0];
    for (table &other : tables)
        if (other.used < t->used) t = &other;
    drop(backend, t);
    size_t rows = (size_t)work->rows, bytes = rows * sizeof(table_row);
    t->device_bytes = sizeof(step_words) + bytes;
    t->rows = work->rows;
    t->row = static_cast<mt_update_row *>(mt_alloc(rows * sizeof *t->row));
    t->device = MT_LAUNCHER(keep)(backend, t->device_bytes);
    table_row *row = static_cast<table_row *>(mt_alloc(bytes));
    mt_status status = t->row && t->device && row ? MT_OK : MT_ERR_MEMORY;
    if (status == MT_OK) {
        memcpy(t->row, work->row, rows * sizeof *t->row);
        t->blocks = 0;
        for (size_t r = 0; r < rows; r++) {
            const mt_update_row &from = work->row[r];
            row[r] = {from.value, from.grad, {}, from.n, t->blocks};
            memcpy(row[r].state, from.state, sizeof from.state);
            t->blocks += ceil_div(from.n, PIECE);
        }
        t->rule = work->rule;
        t->next_step = -1;
        status =
            MT_LAUNCHER(upload)(backend, static_cast<char *>(t->device) + sizeof(step_words), row, bytes);
    }
    mt_free(row, bytes);
    if (status != MT_OK) drop(backend, t);
    *result = t;
    return status;
}

} // namespace

extern "C" void MT_LAUNCHER(forget_tables)(mt_backend *backend)
{
    std::lock_guard<std::mutex> guard(table_lock);
    for (table &t : tables) drop(backend, &t);
}

extern "C" mt_status MT_LAUNCHER(update)(mt_backend *backend, const mt_update_work *work)
{
    table *t = nullptr;
    if (work->rows == 0) return MT_OK;
    std::lock_guard<std::mutex> guard(table_lock);
    for (table &known : tables)
        if (holds(known, work)) t = &known;
    if (!t) {
        mt_status status = send_table(backend, work, &t);
        if (status != MT_OK) return status;
    }
    t->used = ++uses;
    step_words *words = static_cast<step_words *>(t->device);
    if (t->next_step != work->step || !same(t->options, work->options)) {
        const step_words now = {mt_update_constants_at(&work->options, work->step), work->options, work->step,
                                0, 0};
        mt_status status = MT_LAUNCHER(upload)(backend, words, &now, sizeof now);
        if (status != MT_OK) return status;
        t->options = work->options;
    }
    t->next_step = work->step + 1;
    if (t->blocks == 0) return MT_OK;
    if (t->blocks > 0x7fffffff)
        return mt_fail(MT_ERR_SHAPE,
                       "update: the parameters are more than a grid has blocks; use several optimizers");
    const table_row *rows = reinterpret_cast<const table_row *>(words + 1);
    dim3 grid((unsigned)t->blocks), block(THREADS);
    return MT_START(backend, kernels[work->rule].name, kernels[work->rule].kernel, grid, block, words, rows,
                    t->rows);
}

} // namespace MT_TWIN
