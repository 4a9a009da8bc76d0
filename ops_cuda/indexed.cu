/* ops_cuda/indexed.cu - the slots whose positions are the values of an INDEX tensor: rows and scatter.
 *
 * Indices are checked on the device before anything is written; the number of the first entry outside the
 * range and its value are downloaded, for the sentence. put adds all entries of a row in one thread, in the
 * order of the entries: with an atomicAdd for each, the order, and so the rounding, would differ from run to
 * run.
 */
#include <type_traits>

#include "links.cuh"

namespace MT_TWIN {

namespace {

/* ---- checking ---- */

struct check_work {
    const int64_t *index;
    unsigned long long *first_bad;
    uint64_t count;
    int64_t limit;
    walk<uint64_t, 1> dims;
};

MT_KERNEL void index_check(check_work w)
{
    uint64_t i = (uint64_t)thread_number(), at[1] = {0};
    if (i >= w.count) return;
    position_of<0>(w.dims, i, at);
    int64_t value = w.index[at[0]];
    if (value < 0 || value >= w.limit) atomicMin(w.first_bad, (unsigned long long)i);
}

} // namespace

/* *entry: the number, row-major, of the first entry of index outside 0 .. limit-1, and *value its value; -1
 * when there is none. Waits for the device. */
extern "C" mt_status MT_LAUNCHER(first_outside)(mt_backend *backend, const mt_operand *index, int64_t limit,
                                                int64_t *entry, int64_t *value)
{
    const mt_layout *layout = index->layout;
    check_work w;
    w.index = static_cast<const int64_t *>(first_of(*index, sizeof(int64_t)));
    w.count = 1;
    w.limit = limit;
    w.dims.rank = 0;
    for (int d = 0; d < layout->rank; d++) {
        w.count *= (uint64_t)layout->size[d];
        const int64_t stride[1] = {layout->stride[d]};
        add_dimension(&w.dims, layout->size[d], stride);
    }
    *entry = -1;
    if (w.count == 0) return MT_OK;
    if ((int64_t)w.count > MOST_THREADS) return too_large("index check", (int64_t)w.count);
    scratch word(backend, sizeof(unsigned long long));
    if (!word.data) return MT_ERR_MEMORY;
    unsigned long long none = ~0ull, found;
    w.first_bad = static_cast<unsigned long long *>(word.data);
    unsigned block = block_for((int64_t)w.count);
    mt_status status =
        dev_fill(w.first_bad, 0xff, sizeof none, MT_LAUNCHER(stream)(backend)) == 0 ? MT_OK : failed(backend);
    if (status == MT_OK)
        status = MT_START(backend, "index check", index_check,
                          dim3((unsigned)ceil_div((int64_t)w.count, block)), dim3(block), w);
    if (status == MT_OK) status = MT_LAUNCHER(download)(backend, &found, w.first_bad, sizeof found);
    if (status != MT_OK || found == none) return status;
    *entry = (int64_t)found;
    uint64_t at = 0, rest = found;
    for (int d = layout->rank - 1; d >= 0; d--) {
        at += rest % (uint64_t)layout->size[d] * (uint64_t)layout->stride[d];
        rest /= (uint64_t)layout->size[d];
    }
    return MT_LAUNCHER(download)(backend, value, w.index + at, sizeof *value);
}

namespace {

/* ---- take: out[i, ...] = in[index[i], ...] ---- */

template <class T> struct rows_work {
    T *out;
    const T *in;
    const int64_t *index;
    int64_t index_step, out_step, in_step; /* from row to row */
    uint64_t entries, width;               /* how many indices; elements of a row */
    int64_t *last, *next, *first;          /* for put: links.cuh, whose lists are the rows */
    walk<uint64_t, 2> dims; /* from an element's number in a row to its offsets in out and in */

    MT_DEVICE_MEMBER int64_t list_of(int64_t i) const { return index[(uint64_t)i * (uint64_t)index_step]; }
};

/* Thread number of entries*width: element number % width of entry number / width. */
template <class T> MT_KERNEL void take(rows_work<T> w)
{
    uint64_t number = (uint64_t)thread_number(), at[2] = {0, 0};
    if (number >= w.entries * w.width) return;
    uint64_t i = number / w.width;
    position_of<0>(w.dims, number % w.width, at);
    w.out[(int64_t)(i * w.out_step) + at[0]] = w.in[w.index[i * w.index_step] * w.in_step + at[1]];
}

/* ---- put: out[index[i], ...] += in[i, ...], in the order of i ---- */

/* Thread number of entries*width, where entry number / width is last[row] for its row: out[row, number %
 * width] plus that element of each entry of the row. */
MT_KERNEL void put_add(rows_work<mt_real> w)
{
    uint64_t number = (uint64_t)thread_number(), at[2] = {0, 0};
    if (number >= w.entries * w.width) return;
    int64_t i = (int64_t)(number / w.width), row = w.index[i * w.index_step];
    if (w.last[row] != i) return;
    position_of<0>(w.dims, number % w.width, at);
    mt_real *out = w.out + row * w.out_step + at[0];
    mt_real sum = *out;
    for (int64_t j = w.first[i]; j >= 0; j = w.next[j]) sum += w.in[j * w.in_step + (int64_t)at[1]];
    *out = sum;
}

/* rows: of out. */
static mt_status put(mt_backend *backend, rows_work<mt_real> w, size_t rows, dim3 grid, dim3 block)
{
    scratch links(backend, (rows + 2 * w.entries) * sizeof(int64_t));
    if (!links.data) return MT_ERR_MEMORY;
    mt_status status = link_entries(backend, &w, rows, links.data, "rows link", "rows order");
    return status == MT_OK ? MT_START(backend, "rows put", put_add, grid, block, w) : status;
}

/* T: int64_t for INDEX, which take alone is asked for. */
template <class T> static mt_status run_rows(mt_backend *backend, const mt_rows_work *work)
{
    const mt_layout *out = work->out.layout, *in = work->in.layout, *index = work->index.layout;
    rows_work<T> w;
    w.out = static_cast<T *>(first_of(work->out, sizeof(T)));
    w.in = static_cast<const T *>(first_of(work->in, sizeof(T)));
    w.index = static_cast<const int64_t *>(first_of(work->index, sizeof(int64_t)));
    w.index_step = index->stride[0], w.out_step = out->stride[0], w.in_step = in->stride[0];
    w.entries = (uint64_t)index->size[0];
    w.width = 1;
    w.dims.rank = 0;
    for (int d = 1; d < out->rank; d++) {
        const int64_t stride[2] = {out->stride[d], in->stride[d]};
        w.width *= (uint64_t)out->size[d];
        add_dimension(&w.dims, out->size[d], stride);
    }
    if (w.dims.rank == 0) {
        const int64_t stride[2] = {0, 0};
        add_dimension(&w.dims, 1, stride);
    }
    int64_t elements = (int64_t)(w.entries * w.width);
    if (elements == 0) return MT_OK;
    if (elements > MOST_THREADS) return too_large(work->put ? "put_rows" : "take_rows", elements);
    unsigned block = block_for(elements);
    dim3 grid((unsigned)ceil_div(elements, block));
    if constexpr (!std::is_same<T, int64_t>::value)
        if (work->put) return put(backend, w, (size_t)out->size[0], grid, dim3(block));
    MT_ASSERT(!work->put);
    return MT_START(backend, "rows take", (take<T>), grid, dim3(block), w);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(rows)(mt_backend *backend, const mt_rows_work *work)
{
    const mt_operand *whole = work->put ? &work->out : &work->in;
    int64_t entry = -1, value = 0, limit = whole->layout->size[0];
    mt_status status =
        work->known ? MT_OK : MT_LAUNCHER(first_outside)(backend, &work->index, limit, &entry, &value);
    if (status != MT_OK) return status;
    if (entry >= 0)
        return mt_fail(MT_ERR_INDEX, "%s: entry %lld of the index is %lld, and there are %lld rows",
                       work->put ? "put_rows" : "take_rows", (long long)entry, (long long)value,
                       (long long)limit);
    return work->kind == MT_INDEX ? run_rows<int64_t>(backend, work) : run_rows<mt_real>(backend, work);
}

namespace {

/* ---- scatter ---- */

struct scatter_work {
    mt_real *out;
    const mt_real *value;
    const int64_t *index;
    uint64_t count;
    walk<uint64_t, 3> kept;    /* from an entry's number to its offsets in out, value and index */
    walk<uint64_t, 1> reduced; /* from a position within the reduced dimensions to its offset in out */
};

/* Thread i of count, the elements of value: out[kept i, index i] = value i. */
MT_KERNEL void scatter(scatter_work w)
{
    uint64_t i = (uint64_t)thread_number(), at[3] = {0, 0, 0}, place[1] = {0};
    if (i >= w.count) return;
    position_of<0>(w.kept, i, at);
    position_of<0>(w.reduced, (uint64_t)w.index[at[2]], place);
    w.out[at[0] + place[0]] = w.value[at[1]];
}

} // namespace

extern "C" mt_status MT_LAUNCHER(scatter)(mt_backend *backend, const mt_scatter_work *work)
{
    const mt_layout *out = work->out.layout, *index = work->index.layout, *value = work->value.layout;
    int64_t limit = 1, entry, bad = 0;
    scatter_work w;
    w.out = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.value = static_cast<const mt_real *>(first_of(work->value, sizeof(mt_real)));
    w.index = static_cast<const int64_t *>(first_of(work->index, sizeof(int64_t)));
    w.count = 1;
    w.kept.rank = w.reduced.rank = 0;
    for (int d = 0; d < out->rank; d++) {
        const int64_t stride[3] = {out->stride[d], value->stride[d], index->stride[d]};
        if (work->reduced[d]) {
            limit *= out->size[d];
            const int64_t in_out[1] = {out->stride[d]};
            add_dimension(&w.reduced, out->size[d], in_out);
        } else {
            w.count *= (uint64_t)index->size[d];
            add_dimension(&w.kept, index->size[d], stride);
        }
    }
    const int64_t none[3] = {0, 0, 0}, nowhere[1] = {0};
    if (w.kept.rank == 0) add_dimension(&w.kept, 1, none);
    if (w.reduced.rank == 0) add_dimension(&w.reduced, 1, nowhere);
    if (w.count == 0) return MT_OK;
    mt_status status = MT_LAUNCHER(first_outside)(backend, &work->index, limit, &entry, &bad);
    if (status != MT_OK) return status;
    if (entry >= 0)
        return mt_fail(MT_ERR_INDEX, "scatter: index %lld is outside the reduced dimensions", (long long)bad);
    unsigned block = block_for((int64_t)w.count);
    return MT_START(backend, "scatter", scatter, dim3((unsigned)ceil_div((int64_t)w.count, block)),
                    dim3(block), w);
}

} // namespace MT_TWIN
