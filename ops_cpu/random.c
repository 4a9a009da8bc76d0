/* ops_cpu/random.c - uniform and normal draws: element i, in row-major order, comes from counter + i alone. */
#include "cpu.h"
#include "tensor/plan.h"
#include "tensor/random_ops.h"

mt_status mt_cpu_random(mt_backend *backend, const mt_random_work *work)
{
    (void)backend;
    const mt_layout *out = work->out.layout;
    int64_t count = mt_layout_count(out);
    mt_real *data = (mt_real *)work->out.data + out->offset;
    int threads = mt_cpu_threads((double)count * 32);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = mt_philox_bits(work->rng.seed, work->rng.counter + (uint64_t)i);
        double value = work->distribution == MT_UNIFORM ? mt_uniform_from_bits(bits, work->a, work->b)
                                                        : mt_normal_from_bits(bits, work->a, work->b);
        data[mt_plan_position(out->rank, out->size, out->stride, i)] = (mt_real)value;
    }
    return MT_OK;
}
