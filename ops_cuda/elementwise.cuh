/* ops_cuda/elementwise.cuh - the kernels behind map, zip, copy and fill: one body for each layout class.
 *
 * A ROW says what happens to one element: types out and in, how many inputs there are, which of them it reads
 * (bits of reads), and apply(in, p). The plan has joined dimensions and ordered them by the output's strides,
 * so that neighbouring threads write neighbouring elements wherever that is possible.
 */
#ifndef MT_ELEMENTWISE_CUH
#define MT_ELEMENTWISE_CUH

#include "backend.cuh"

namespace MT_TWIN {
namespace {

/* Room for the inputs: an array has at least one element. */
template <class ROW> struct slots {
    static constexpr int count = ROW::inputs > 0 ? ROW::inputs : 1;
};

/* Contiguous operands of one type, all aligned to 16 bytes. */
template <class ROW> struct flat_work {
    typename ROW::out *out;
    const typename ROW::in *in[slots<ROW>::count] = {};
    typename ROW::constants p;
    int64_t count;
};

/* Each thread moves 16 bytes of every operand at a time, the width at which a warp's accesses are whole
 * lines; the thread after the last takes what is left, one by one. SCALARS is fixed at compile time, so that
 * a scalar operand stays in a register. */
template <class ROW, int SCALARS> MT_KERNEL void flat(flat_work<ROW> w)
{
    typedef typename ROW::in in_type;
    typedef typename ROW::out out_type;
    const int WIDTH = 16 / (int)sizeof(out_type), INPUTS = slots<ROW>::count;
    int64_t first = thread_number() * WIDTH;
    if (first >= w.count) return;
    if (first + WIDTH <= w.count) {
        in_type v[INPUTS][WIDTH];
        out_type result[WIDTH];
        for (int k = 0; k < ROW::inputs; k++) {
            if (!(ROW::reads >> k & 1)) continue;
            if (SCALARS >> k & 1) {
                in_type one = w.in[k][0];
                for (int j = 0; j < WIDTH; j++) v[k][j] = one;
            } else {
                load16(w.in[k] + first, v[k]);
            }
        }
        for (int j = 0; j < WIDTH; j++) {
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = v[k][j];
            result[j] = ROW::apply(x, w.p);
        }
        store16(w.out + first, result);
    } else {
        for (int64_t i = first; i < w.count; i++) {
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = w.in[k][SCALARS >> k & 1 ? 0 : i];
            w.out[i] = ROW::apply(x, w.p);
        }
    }
}

template <class ROW, int RANK, class I> struct strided_work {
    typename ROW::out *out;
    const typename ROW::in *in[slots<ROW>::count] = {};
    typename ROW::constants p;
    I count;
    walk<I, 1 + ROW::inputs, RANK ? RANK : MT_MAX_DIMS> dims;
};

/* Any strides and alignment, one element a thread; RANK 0 for a rank known at run time. */
template <class ROW, int RANK, class I> MT_KERNEL void strided(strided_work<ROW, RANK, I> w)
{
    I i = (I)thread_number();
    if (i >= w.count) return;
    I at[1 + ROW::inputs] = {0};
    position_of<RANK>(w.dims, i, at);
    typename ROW::in x[slots<ROW>::count];
    for (int k = 0; k < ROW::inputs; k++)
        if (ROW::reads >> k & 1) x[k] = w.in[k][at[k + 1]];
    w.out[at[0]] = ROW::apply(x, w.p);
}

/* ---- on the host ---- */

template <class ROW, int SCALARS>
static mt_status start_flat(mt_backend *backend, const char *name, const flat_work<ROW> &work)
{
    int64_t threads = ceil_div(work.count, 16 / (int64_t)sizeof(typename ROW::out));
    unsigned block = block_for(threads);
    return MT_START(backend, name, (flat<ROW, SCALARS>), dim3((unsigned)ceil_div(threads, block)),
                    dim3(block), work);
}

template <class ROW, int RANK, class I>
static mt_status start_strided(mt_backend *backend, const char *name, const flat_work<ROW> &from,
                               const mt_elementwise_plan *plan)
{
    strided_work<ROW, RANK, I> work;
    work.out = from.out;
    for (int k = 0; k < ROW::inputs; k++) work.in[k] = from.in[k];
    work.p = from.p;
    work.count = (I)from.count;
    work.dims.rank = plan->rank;
    for (int d = 0; d < plan->rank; d++) {
        work.dims.size[d].set(plan->size[d]);
        for (int k = 0; k <= ROW::inputs; k++) work.dims.stride[k][d] = (I)plan->stride[k][d];
    }
    unsigned block = block_for(from.count);
    return MT_START(backend, name, (strided<ROW, RANK, I>), dim3((unsigned)ceil_div(from.count, block)),
                    dim3(block), work);
}

/* Whether the kernels for 16 bytes fit: one contiguous row, and 16 divides every address. SCALARS that differ
 * from the plan's do not fit either. */
template <class ROW> static bool is_flat(const mt_elementwise_plan *plan)
{
    return sizeof(typename ROW::out) == sizeof(typename ROW::in) && plan->alignment >= 16 &&
           plan->row_class == MT_ROW_CONTIGUOUS;
}

template <class ROW>
static mt_status start_general(mt_backend *backend, const char *name, const flat_work<ROW> &work,
                               const mt_elementwise_plan *plan)
{
    if (work.count > MOST_THREADS) return too_large(name, work.count);
    if (!plan->fits_int32) return start_strided<ROW, 0, uint64_t>(backend, name, work, plan);
    if (plan->rank == 1) return start_strided<ROW, 1, uint32_t>(backend, name, work, plan);
    if (plan->rank == 2) return start_strided<ROW, 2, uint32_t>(backend, name, work, plan);
    if (plan->rank == 3) return start_strided<ROW, 3, uint32_t>(backend, name, work, plan);
    return start_strided<ROW, 0, uint32_t>(backend, name, work, plan);
}

/* The operands of a row at their first elements. */
template <class ROW>
static flat_work<ROW> gather(const mt_operand *operand, const typename ROW::constants &p, int64_t count)
{
    flat_work<ROW> work;
    work.out = static_cast<typename ROW::out *>(first_of(operand[0], sizeof(typename ROW::out)));
    for (int k = 0; k < ROW::inputs; k++)
        work.in[k] =
            static_cast<const typename ROW::in *>(first_of(operand[k + 1], sizeof(typename ROW::in)));
    work.p = p;
    work.count = count;
    return work;
}

/* ---- rows of op_table.inc ---- */

struct two_numbers {
    mt_real p0, p1;
};

typedef mt_status (*row_launcher)(mt_backend *, const char *name, const mt_operand *operand,
                                  const mt_elementwise_plan *, two_numbers p);

/* Plans the work and calls the launcher of its row and part. */
static inline mt_status run_row(mt_backend *backend, const mt_elementwise_work *work, const char *name,
                                row_launcher launcher)
{
    mt_elementwise_plan plan;
    mt_plan_elementwise(work->operand, work->operands, &plan);
    if (plan.count == 0) return MT_OK;
    two_numbers p = {work->p[0], work->p[1]};
    return launcher(backend, name, work->operand, &plan, p);
}

/* An argument that the table does not declare as needed is NaN. */
MT_DEVICE mt_real given(bool needed, const mt_real &value) { return needed ? value : (mt_real)NAN; }

} // namespace
} // namespace MT_TWIN

#endif
