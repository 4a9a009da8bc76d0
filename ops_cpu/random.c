/* ops_cpu/random.c - uniform and normal draws: element i, in row-major order, comes from counter + i alone.
 */
#include "cpu.h"
#include "tensor/plan.h"
#include "tensor/random_ops.h"

static void draw(const mt_random_work *work, int64_t first, int64_t last)
{
    const mt_layout *out = work->out.layout;
    mt_real *data = (mt_real *)work->out.data + out->offset;
    for (int64_t i = first; i < last; i++) {
        uint64_t bits = mt_philox_bits(work->rng.seed, work->rng.counter + (uint64_t)i);
        double value = work->distribution == MT_UNIFORM ? mt_uniform_from_bits(bits, work->a, work->b)
                                                        : mt_normal_from_bits(bits, work->a, work->b);
        data[mt_plan_position(out->rank, out->size, out->stride, i)] = (mt_real)value;
    }
}

mt_status mt_cpu_random(mt_backend *backend, const mt_random_work *work)
{
    (void)backend;
    int64_t count = mt_layout_count(work->out.layout);
    int threads = mt_cpu_threads((double)count * 32);
    if (threads <= 1) { /* not even a region of one thread, for which OpenMP allocates */
        draw(work, 0, count);
        return MT_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++) draw(work, count * t / threads, count * (t + 1) / threads);
    return MT_OK;
}

/* One step needs the one before: serial, and for both host backends. */
mt_status mt_cpu_permutation(mt_backend *backend, mt_operand out, mt_rng rng)
{
    (void)backend;
    mt_random_order(rng.seed, rng.counter, (int64_t *)out.data + out.layout->offset, out.layout->stride[0],
                    out.layout->size[0]);
    return MT_OK;
}
