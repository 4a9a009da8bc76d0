/* ops_cuda/update.cu - an optimiser's step for all parameters in one launch.
 *
 * A table in device memory says where each parameter, its gradient and its state are. It is sent when one of
 * them has moved, which in training is never. What changes from step to step stands in device words before
 * the table: the last block works out the next step's, and only a new rate or another count is sent. So a
 * step needs no copy and could be replayed as it is.
 */
#include <cmath>
#include <cstring>
#include <mutex>

#include "backend.cuh"
#include "tensor/arena.h"
#include "tensor/update_ops.h"

namespace MT_TWIN {

namespace {

enum { THREADS = 128, PIECE = 1024 /* elements of a block */ };

struct step_words {
    double rate, correct1, correct2;
    int64_t step;
    unsigned finished, unused; /* blocks of this launch that are done */
};

struct table_row {
    mt_real *value;
    const mt_real *grad;
    mt_real *state[2];
    int64_t n, first_block;
};

/* What does not change between steps. */
struct step_options {
    double beta1, beta2;
    mt_real decay, momentum, epsilon;
    bool nesterov, decoupled;
};

static inline __host__ __device__ double correction(double beta, int64_t step)
{
    return 1 / (1 - pow(beta, (double)step));
}

/* A block has a piece of one parameter, found in the table's running count of blocks; neighbours in a warp
 * have neighbouring elements, with no claim on alignment. The words are read before any block can have
 * finished all. */
template <bool ADAM>
MT_KERNEL void step_all(step_words *words, const table_row *rows, int count, step_options o)
{
    mt_update_constants c;
    c.rate = (mt_real)words->rate;
    c.correct1 = (mt_real)words->correct1, c.correct2 = (mt_real)words->correct2;
    c.first = words->step <= 1;
    c.decay = o.decay, c.momentum = o.momentum, c.epsilon = o.epsilon;
    c.beta1 = (mt_real)o.beta1, c.beta2 = (mt_real)o.beta2;
    c.rest1 = (mt_real)(1 - o.beta1), c.rest2 = (mt_real)(1 - o.beta2);
    c.nesterov = o.nesterov, c.decoupled = o.decoupled;
    int64_t block = blockIdx.x;
    int r = 0;
    while (r + 1 < count && rows[r + 1].first_block <= block) r++;
    mt_real *value = rows[r].value, *first = rows[r].state[0], *second = rows[r].state[1];
    const mt_real *grad = rows[r].grad;
    int64_t begin = (block - rows[r].first_block) * PIECE, end = min(begin + (int64_t)PIECE, rows[r].n);
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) {
        if (ADAM) {
            mt_real m = first[i], v = second[i];
            value[i] = mt_update_adam(value[i], grad[i], &m, &v, &c);
            first[i] = m, second[i] = v;
        } else {
            mt_real velocity = c.momentum != 0 && !c.first ? first[i] : 0;
            value[i] = mt_update_sgd(value[i], grad[i], &velocity, &c);
            if (c.momentum != 0) first[i] = velocity;
        }
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    __threadfence();
    if (atomicInc(&words->finished, gridDim.x - 1) < gridDim.x - 1) return;
    int64_t next = words->step + 1;
    words->step = next;
    if (ADAM) words->correct1 = correction(o.beta1, next), words->correct2 = correction(o.beta2, next);
}

/* ---- tables that the device has ---- */

enum { TABLES = 64 }; /* optimisers that take turns without a table being sent again */

/* The host's copy says what stands there: the rows, and the step that comes next. */
static struct table {
    mt_update_row *row;
    int rows;
    bool adam;
    double beta1, beta2, rate;
    int64_t next_step, blocks;
    void *device;
    size_t device_bytes;
    uint64_t used;
} tables[TABLES];
static uint64_t uses;
static std::mutex table_lock;

static bool holds(const table &t, const mt_update_work *work)
{
    return t.device && t.rows == work->rows && t.adam == (work->rule != MT_UPDATE_SGD) &&
           t.beta1 == work->beta1 && t.beta2 == work->beta2 &&
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
            row[r] = {from.value, from.grad, {from.state[0], from.state[1]}, from.n, t->blocks};
            t->blocks += ceil_div(from.n, PIECE);
        }
        t->adam = work->rule != MT_UPDATE_SGD;
        t->beta1 = work->beta1, t->beta2 = work->beta2;
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
    if (t->next_step != work->step || t->rate != work->rate) {
        step_words now = {work->rate, 1, 1, work->step, 0, 0};
        if (t->adam)
            now.correct1 = correction(work->beta1, work->step),
            now.correct2 = correction(work->beta2, work->step);
        mt_status status = MT_LAUNCHER(upload)(backend, words, &now, sizeof now);
        if (status != MT_OK) return status;
        t->rate = work->rate;
    }
    t->next_step = work->step + 1;
    if (t->blocks == 0) return MT_OK;
    if (t->blocks > 0x7fffffff)
        return mt_fail(MT_ERR_SHAPE,
                       "update: the parameters are more than a grid has blocks; use several optimizers");
    step_options o;
    o.beta1 = work->beta1, o.beta2 = work->beta2;
    o.decay = (mt_real)work->weight_decay, o.momentum = (mt_real)work->momentum,
    o.epsilon = (mt_real)work->epsilon;
    o.nesterov = work->nesterov, o.decoupled = work->rule == MT_UPDATE_ADAMW;
    const table_row *rows = reinterpret_cast<const table_row *>(words + 1);
    dim3 grid((unsigned)t->blocks), block(THREADS);
    return t->adam ? MT_START(backend, "update adam", (step_all<true>), grid, block, words, rows, t->rows, o)
                   : MT_START(backend, "update sgd", (step_all<false>), grid, block, words, rows, t->rows, o);
}

} // namespace MT_TWIN
