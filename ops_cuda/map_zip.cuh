/* ops_cuda/map_zip.cuh - the kernels behind map, zip, copy and fill: one body for each layout class.
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
constexpr int room_for(int inputs) { return inputs > 0 ? inputs : 1; }
template <class ROW> struct slots {
    static constexpr int count = room_for(ROW::inputs);
};

/* The number of a row's input that is INDEX among numbers, of which apply gets 1 or 0: whether an element is
 * not 0. -1: all are of type in. Strides count elements of its own. */
template <class ROW> constexpr int index_input = -1;

/* The operands of a row at their first elements. Rows of the same types share this, and what the host does
 * with it. */
template <class IN, class OUT, int INPUTS, class CONSTANTS> struct row_work {
    OUT *out;
    const IN *in[room_for(INPUTS)] = {};
    CONSTANTS p;
    int64_t count;
};
template <class ROW>
using work_of = row_work<typename ROW::in, typename ROW::out, ROW::inputs, typename ROW::constants>;

/* What the body of a kernel knows of its row. On a card that is the row, and each has bodies of its own. In
 * the simulator rows of the same types that read the same inputs share them, and their arithmetic is behind a
 * pointer: so a new row compiles in half the time. */
#ifdef __CUDACC__
#define MT_BODY MT_DEVICE
template <class ROW> MT_DEVICE ROW seen() { return ROW(); }
#else
#define MT_BODY static __attribute__((noinline))
template <class IN, int INPUTS> struct row_values {
    IN x[room_for(INPUTS)];
};
template <class IN, class OUT, int INPUTS, int READS, int INDEX, class CONSTANTS> struct seen_row {
    typedef IN in;
    typedef OUT out;
    static constexpr int inputs = INPUTS, reads = READS;
    OUT (*arithmetic)(row_values<IN, INPUTS>, CONSTANTS);
    __forceinline__ OUT apply(const IN (&x)[room_for(INPUTS)], const CONSTANTS &p) const
    {
        row_values<IN, INPUTS> v = {};
        for (int k = 0; k < INPUTS; k++)
            if (READS >> k & 1) v.x[k] = x[k];
        return arithmetic(v, p);
    }
};
template <class IN, class OUT, int INPUTS, int READS, int INDEX, class CONSTANTS>
constexpr int index_input<seen_row<IN, OUT, INPUTS, READS, INDEX, CONSTANTS>> = INDEX;
template <class ROW>
static typename ROW::out arithmetic_of(row_values<typename ROW::in, ROW::inputs> v, typename ROW::constants p)
{
    return ROW::apply(v.x, p);
}
template <class ROW>
using seen_of = seen_row<typename ROW::in, typename ROW::out, ROW::inputs, ROW::reads, index_input<ROW>,
                         typename ROW::constants>;
template <class ROW> MT_DEVICE seen_of<ROW> seen() { return {arithmetic_of<ROW>}; }
#endif

/* How many elements a thread takes: 16 bytes of the wider type, the width at which a warp's accesses are
 * whole lines, and enough of them under way to fill the memory's time. */
template <class ROW> struct taken {
    static constexpr int count =
        16 / (int)(sizeof(typename ROW::in) > sizeof(typename ROW::out) ? sizeof(typename ROW::in)
                                                                        : sizeof(typename ROW::out));
};

/* Element at of input k. */
template <class ROW, class I> MT_DEVICE typename ROW::in element_of(const typename ROW::in *in, int k, I at)
{
    if (k != index_input<ROW>) return in[at];
    return reinterpret_cast<const int64_t *>(in)[at] != 0 ? (typename ROW::in)1 : (typename ROW::in)0;
}

/* Contiguous operands of one type, all aligned to 16 bytes: each thread moves 16 bytes of every operand; the
 * thread after the last takes what is left, one by one. */
template <class ROW, class WORK> MT_BODY void flat_body(WORK w, ROW row)
{
    typedef typename ROW::in in_type;
    typedef typename ROW::out out_type;
    const int WIDTH = taken<ROW>::count, INPUTS = slots<ROW>::count;
    int64_t first = thread_number() * WIDTH;
    if (first >= w.count) return;
    if (first + WIDTH <= w.count) {
        in_type v[INPUTS][WIDTH];
        out_type result[WIDTH];
        for (int k = 0; k < ROW::inputs; k++)
            if (ROW::reads >> k & 1) load16(w.in[k] + first, v[k]);
        for (int j = 0; j < WIDTH; j++) {
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = v[k][j];
            result[j] = row.apply(x, w.p);
        }
        store16(w.out + first, result);
    } else {
        MT_NO_UNROLL
        for (int64_t i = first; i < w.count; i++) {
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = w.in[k][i];
            w.out[i] = row.apply(x, w.p);
        }
    }
}
template <class ROW> MT_KERNEL void flat(work_of<ROW> w) { flat_body(w, seen<ROW>()); }

template <class IN, class OUT, int INPUTS, class CONSTANTS, int RANK> struct strided_work {
    OUT *out;
    const IN *in[room_for(INPUTS)] = {};
    CONSTANTS p;
    uint32_t count;
    bool side_by_side; /* a thread's elements are 16 bytes that 16 divides, in out and in each input */
    bool one[room_for(INPUTS)] = {}; /* ... or are one element of this input, repeated */
    walk<uint32_t, 1 + INPUTS, RANK ? RANK : MT_MAX_DIMS> dims;
};
template <class ROW, int RANK>
using strided_of =
    strided_work<typename ROW::in, typename ROW::out, ROW::inputs, typename ROW::constants, RANK>;

/* Any strides and alignment; RANK 0 for a rank known at run time, and then one element a thread. Where they
 * are not side by side a thread takes every blockDim-th element, so that a warp's accesses are as narrow as
 * the layout allows. All loads are under way before the first is needed. */
template <int RANK, class ROW, class WORK> MT_BODY void strided_body(WORK w, ROW row)
{
    typedef uint32_t I;
    typedef typename ROW::in in_type;
    typedef typename ROW::out out_type;
    const int WIDTH = RANK ? taken<ROW>::count : 1, INPUTS = slots<ROW>::count;
    const bool side_by_side = index_input<ROW> < 0 && sizeof(in_type[WIDTH]) == 16 && w.side_by_side;
    const I block = (I)blockIdx.x * (blockDim.x * WIDTH), step = side_by_side ? 1 : blockDim.x;
    const I first = block + (side_by_side ? threadIdx.x * WIDTH : threadIdx.x);
    if (first + (WIDTH - 1) * step < w.count) {
        I at[WIDTH][1 + ROW::inputs] = {{0}};
        in_type v[INPUTS][WIDTH] = {};
        position_of<RANK>(w.dims, first, at[0]);
        if (side_by_side) {
            for (int k = 0; k < ROW::inputs; k++) {
                if (!(ROW::reads >> k & 1)) continue;
                const in_type *in = w.in[k] + at[0][k + 1];
                if (w.one[k])
                    v[k][0] = *in;
                else
                    load16(in, v[k]);
            }
            for (int k = 0; k < ROW::inputs; k++)
                if ((ROW::reads >> k & 1) && w.one[k])
                    for (int j = 1; j < WIDTH; j++) v[k][j] = v[k][0];
        } else {
            MT_UNROLL
            for (int j = 1; j < WIDTH; j++) position_of<RANK>(w.dims, first + j * step, at[j]);
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1)
                    for (int j = 0; j < WIDTH; j++) v[k][j] = element_of<ROW>(w.in[k], k, at[j][k + 1]);
        }
        out_type result[WIDTH];
        for (int j = 0; j < WIDTH; j++) {
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = v[k][j];
            result[j] = row.apply(x, w.p);
        }
        if (side_by_side)
            store16(w.out + at[0][0], result);
        else
            for (int j = 0; j < WIDTH; j++) w.out[at[j][0]] = result[j];
    } else {
        MT_NO_UNROLL
        for (I i = first; i < w.count; i += step) {
            I at[1 + ROW::inputs] = {0};
            position_of<RANK>(w.dims, i, at);
            in_type x[INPUTS];
            for (int k = 0; k < ROW::inputs; k++)
                if (ROW::reads >> k & 1) x[k] = element_of<ROW>(w.in[k], k, at[k + 1]);
            w.out[at[0]] = row.apply(x, w.p);
        }
    }
}
template <class ROW, int RANK> MT_KERNEL void strided(strided_of<ROW, RANK> w)
{
    strided_body<RANK>(w, seen<ROW>());
}

/* ---- on the host ---- */

/* Whether in operand k any `width` neighbours in the plan's order, of which the first is a multiple of width,
 * are 16 bytes that 16 divides; and whether they are one element, repeated. */
static inline void neighbours(const mt_elementwise_plan *plan, int k, const void *data, int width,
                              bool *side_by_side, bool *one)
{
    const int last = plan->rank - 1;
    const int64_t *stride = plan->stride[k];
    const bool whole = plan->size[last] % width == 0;
    bool row_major = true, constant = true, rows_aligned = whole && stride[last] == 1;
    int64_t inner = 1;
    for (int d = last; d >= 0; d--) {
        row_major = row_major && stride[d] == inner;
        constant = constant && stride[d] == 0;
        rows_aligned = rows_aligned && (d == last || stride[d] % width == 0);
        inner *= plan->size[d];
    }
    *side_by_side = (uintptr_t)data % 16 == 0 && (row_major || rows_aligned);
    *one = constant || (whole && stride[last] == 0);
}

/* What a kernel for strided operands is told; a thread takes width elements. */
template <int RANK, class IN, class OUT, int INPUTS, class CONSTANTS>
static strided_work<IN, OUT, INPUTS, CONSTANTS, RANK> strided_from(
    const row_work<IN, OUT, INPUTS, CONSTANTS> &from, const mt_elementwise_plan *plan, int reads, int width)
{
    strided_work<IN, OUT, INPUTS, CONSTANTS, RANK> work;
    work.out = from.out;
    work.p = from.p;
    work.count = (uint32_t)from.count;
    bool one;
    neighbours(plan, 0, from.out, width, &work.side_by_side, &one);
    if (sizeof(OUT) * (size_t)width != 16 || sizeof(IN) * (size_t)width != 16) work.side_by_side = false;
    for (int k = 0; k < INPUTS; k++) {
        bool fits;
        work.in[k] = from.in[k];
        neighbours(plan, k + 1, from.in[k], width, &fits, &work.one[k]);
        if ((reads >> k & 1) && !fits && !work.one[k]) work.side_by_side = false;
    }
    work.dims.rank = 0;
    for (int d = 0; d < plan->rank; d++) {
        int64_t stride[1 + INPUTS];
        for (int k = 0; k <= INPUTS; k++) stride[k] = plan->stride[k][d];
        add_dimension(&work.dims, plan->size[d], stride);
    }
    return work;
}

template <class ROW, int RANK>
static mt_status start_strided(mt_backend *backend, const char *name, const work_of<ROW> &from,
                               const mt_elementwise_plan *plan)
{
    const int width = RANK ? taken<ROW>::count : 1;
    const int64_t threads = ceil_div(from.count, width);
    const unsigned block = block_for(threads);
    return MT_START(backend, name, (strided<ROW, RANK>), dim3((unsigned)ceil_div(threads, block)),
                    dim3(block), strided_from<RANK>(from, plan, ROW::reads, width));
}

/* A plan whose positions fit in 31 bits: others are cut, see in_pieces. */
template <class ROW>
static mt_status start_row(mt_backend *backend, const char *name, const mt_operand *operand,
                           const mt_elementwise_plan *plan, const typename ROW::constants &p)
{
    work_of<ROW> work;
    work.out =
        static_cast<typename ROW::out *>(first_of(operand[0], sizeof(typename ROW::out))) + plan->first[0];
    for (int k = 0; k < ROW::inputs; k++) {
        const size_t bytes = k == index_input<ROW> ? sizeof(int64_t) : sizeof(typename ROW::in);
        const void *first =
            static_cast<char *>(first_of(operand[k + 1], bytes)) + plan->first[k + 1] * (int64_t)bytes;
        work.in[k] = static_cast<const typename ROW::in *>(first);
    }
    work.p = p;
    work.count = plan->count;
    if constexpr (sizeof(typename ROW::out) == sizeof(typename ROW::in) && index_input<ROW> < 0)
        if (plan->alignment >= 16 && plan->row_class == MT_ROW_CONTIGUOUS) {
            const int64_t threads = ceil_div(work.count, taken<ROW>::count);
            const unsigned block = block_for(threads);
            return MT_START(backend, name, flat<ROW>, dim3((unsigned)ceil_div(threads, block)), dim3(block),
                            work);
        }
    if (plan->rank == 1) return start_strided<ROW, 1>(backend, name, work, plan);
    if (plan->rank == 2) return start_strided<ROW, 2>(backend, name, work, plan);
    if (plan->rank == 3) return start_strided<ROW, 3>(backend, name, work, plan);
    return start_strided<ROW, 0>(backend, name, work, plan);
}

/* Kernels count in 32 bits, which costs half the registers and a fraction of the divisions: what reaches
 * farther is cut into as few pieces as do. start(piece) starts one. */
template <class START> static mt_status in_pieces(const mt_elementwise_plan &plan, START start)
{
    if (plan.fits_int32) return start(plan);
    mt_elementwise_plan half[2];
    mt_plan_halve(&plan, half);
    const mt_status status = in_pieces(half[0], start);
    return status == MT_OK ? in_pieces(half[1], start) : status;
}

/* ---- rows of op_table.inc ---- */

struct two_numbers {
    mt_real p0, p1;
};

typedef mt_status (*row_launcher)(mt_backend *, const char *name, const mt_operand *operand,
                                  const mt_elementwise_plan *, const two_numbers &p);

/* Plans the work and calls the launcher of its row and part. */
static inline mt_status run_row(mt_backend *backend, const mt_elementwise_work *work, const char *name,
                                row_launcher launcher)
{
    mt_elementwise_plan plan;
    mt_plan_elementwise(work->operand, work->operands, &plan);
    if (plan.count == 0) return MT_OK;
    two_numbers p = {work->p[0], work->p[1]};
    return in_pieces(plan, [&](const mt_elementwise_plan &piece) {
        return launcher(backend, name, work->operand, &piece, p);
    });
}

/* An argument that the table does not declare as needed is NaN. */
MT_DEVICE mt_real given(bool needed, const mt_real &value) { return needed ? value : (mt_real)NAN; }

} // namespace
} // namespace MT_TWIN

#endif
