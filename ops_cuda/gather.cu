/* ops_cuda/gather.cu - elements along a dimension by their indices: taken, or added to.
 *
 * put adds all entries that name one element in one thread, in the order of the entries (links.cuh): with an
 * atomicAdd for each, the order, and so the rounding, would differ from run to run.
 */
#include "links.cuh"
#include "tensor/rules.h"

namespace MT_TWIN {

namespace {

/* Entry number i, row-major over index's sizes. */
template <class T> struct gather_work {
    T *out;
    const T *in;
    const int64_t *index;
    uint64_t entries;
    uint64_t whole;         /* stride of what index names entries of, along dim */
    walk<uint64_t, 4> dims; /* to the entry's offsets in out, in (that of the whole array without dim), index;
                               and, for put, to the number of its line, times the entries that a line has */
    int64_t *last, *next, *first; /* links.cuh; an element of out is a list */

    /* The list of entry i: the number of the element that it is added to. */
    MT_DEVICE_MEMBER int64_t list_of(int64_t i) const
    {
        uint64_t at[4] = {0, 0, 0, 0};
        rolled_position_of(dims, (uint64_t)i, at);
        return (int64_t)at[3] + index[(int64_t)at[2]];
    }
};

template <class T> MT_KERNEL void gather_take(gather_work<T> w)
{
    const uint64_t i = (uint64_t)thread_number();
    uint64_t at[4] = {0, 0, 0, 0};
    if (i >= w.entries) return;
    rolled_position_of(w.dims, i, at);
    w.out[(int64_t)at[0]] = w.in[(int64_t)(at[1] + (uint64_t)w.index[(int64_t)at[2]] * w.whole)];
}

/* Thread i, where i is last of its list: the element plus each entry of the list. */
MT_KERNEL void gather_put(gather_work<mt_real> w)
{
    const int64_t i = thread_number();
    if (i >= (int64_t)w.entries) return;
    uint64_t at[4] = {0, 0, 0, 0};
    rolled_position_of(w.dims, (uint64_t)i, at);
    const int64_t named = w.index[(int64_t)at[2]];
    if (w.last[(int64_t)at[3] + named] != i) return;
    mt_real *out = w.out + (int64_t)(at[0] + (uint64_t)named * w.whole);
    mt_real sum = *out;
    for (int64_t j = w.first[i]; j >= 0; j = w.next[j]) {
        uint64_t from[4] = {0, 0, 0, 0};
        rolled_position_of(w.dims, (uint64_t)j, from);
        sum += w.in[(int64_t)from[1]];
    }
    *out = sum;
}

template <class T> static gather_work<T> describe(const mt_gather_work *work)
{
    const mt_layout *out = work->out.layout, *in = work->in.layout, *index = work->index.layout;
    const mt_layout *whole = work->put ? out : in;
    gather_work<T> w;
    w.out = static_cast<T *>(first_of(work->out, sizeof(T)));
    w.in = static_cast<const T *>(first_of(work->in, sizeof(T)));
    w.index = static_cast<const int64_t *>(first_of(work->index, sizeof(int64_t)));
    w.entries = 1;
    w.whole = (uint64_t)whole->stride[work->dim];
    w.dims.rank = 0;
    int64_t lists = whole->size[work->dim];
    for (int d = index->rank - 1; d >= 0; d--) {
        if (d == work->dim) continue;
        w.dims.stride[3][d] = (uint64_t)lists;
        lists *= index->size[d];
    }
    w.dims.stride[3][work->dim] = 0;
    for (int d = 0; d < index->rank; d++) {
        const bool along = d == work->dim;
        const int64_t stride[4] = {along && work->put ? 0 : out->stride[d],
                                   along && !work->put ? 0 : in->stride[d], index->stride[d],
                                   (int64_t)w.dims.stride[3][d]};
        w.entries *= (uint64_t)index->size[d];
        add_dimension(&w.dims, index->size[d], stride);
    }
    return w;
}

static mt_status put(mt_backend *backend, const mt_gather_work *work, dim3 grid, dim3 block)
{
    gather_work<mt_real> w = describe<mt_real>(work);
    size_t lists = (size_t)work->out.layout->size[work->dim];
    for (int d = 0; d < work->index.layout->rank; d++)
        if (d != work->dim) lists *= (size_t)work->index.layout->size[d];
    scratch links(backend, (lists + 2 * (size_t)w.entries) * sizeof(int64_t));
    if (!links.data) return MT_ERR_MEMORY;
    mt_status status = link_entries(backend, &w, lists, links.data, "gather link", "gather order");
    return status == MT_OK ? MT_START(backend, "gather put", gather_put, grid, block, w) : status;
}

} // namespace

extern "C" mt_status MT_LAUNCHER(gather)(mt_backend *backend, const mt_gather_work *work)
{
    const mt_operand *whole = work->put ? &work->out : &work->in;
    int64_t entry = -1, value = 0;
    mt_status status = MT_OK; /* an answer from the device has to be waited for */
    if (work->check != MT_INDEX_KNOWN)
        status =
            MT_LAUNCHER(first_outside)(backend, &work->index, whole->layout->size[work->dim], &entry, &value);
    if (status != MT_OK) return status;
    if (entry >= 0) return mt_rule_outside(work, entry, value);
    const int64_t count = mt_layout_count(work->index.layout);
    if (count == 0) return MT_OK;
    if (count > MOST_THREADS) return too_large(work->what, count);
    const unsigned block = block_for(count);
    const dim3 grid((unsigned)ceil_div(count, block));
    if (work->put) return put(backend, work, grid, dim3(block));
    return work->kind == MT_INDEX ? MT_START(backend, "gather", (gather_take<int64_t>), grid, dim3(block),
                                             describe<int64_t>(work))
                                  : MT_START(backend, "gather", (gather_take<mt_real>), grid, dim3(block),
                                             describe<mt_real>(work));
}

} // namespace MT_TWIN
