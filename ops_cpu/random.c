/* ops_cpu/random.c - uniform and normal draws: element i, in row-major order, comes from counter + i alone.
 */
#include "cpu.h"
#include "share.h"
#include "tensor/plan.h"
#include "tensor/scalar/random_ops.h"

static void draw(const void *context, int share, int shares)
{
    const mt_random_work *work = context;
    const mt_layout *out = work->out.layout;
    const int64_t count = mt_layout_count(out), first = mt_share_begin(count, share, shares),
                  last = mt_share_begin(count, share + 1, shares);
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
    mt_share_out(mt_cpu_threads((double)mt_layout_count(work->out.layout) * 32), draw, work);
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
