/* ops_cuda/links.cuh - entries that are added to the same place, as lists in the order of the entries.
 *
 * Work W has entries 0 .. entries-1, and list_of(i) is the list that entry i belongs to. After link_entries
 *   last[list]  is one entry of the list, where a thread for each entry begins; -1: it has none
 *   first[i]    for i = last[list]: the list's smallest entry
 *   next[i]     the next larger entry of the same list; -1 at the end
 */
#ifndef MT_LINKS_CUH
#define MT_LINKS_CUH

#include "backend.cuh"

#define MT_DEVICE_MEMBER __device__ __forceinline__

namespace MT_TWIN {
namespace {

/* Thread i links entry i in front of its list. The order of the list depends on the schedule; put_order sorts
 * it. */
template <class W> MT_KERNEL void put_link(W w)
{
    const int64_t i = thread_number();
    if (i >= (int64_t)w.entries) return;
    unsigned long long *last = reinterpret_cast<unsigned long long *>(w.last + w.list_of(i));
    w.next[i] = (int64_t)atomicExch(last, (unsigned long long)i);
}

/* Thread i, where i = last[list] for its list, sorts it by entry: a merge sort from below, which joins
 * neighbouring runs of 1, 2, 4, ... entries (p with in_p left, q with in_q left), n log n steps for n
 * entries. */
template <class W> MT_KERNEL void put_order(W w)
{
    const int64_t i = thread_number();
    if (i >= (int64_t)w.entries || w.last[w.list_of(i)] != i) return;
    int64_t first = i, merges = 2;
    for (int64_t run = 1; merges > 1; run *= 2) {
        int64_t p = first, end = -1;
        merges = 0;
        while (p >= 0) {
            int64_t q = p, in_p = 0, in_q = run;
            while (in_p < run && q >= 0) in_p++, q = w.next[q];
            merges++;
            while (in_p > 0 || (in_q > 0 && q >= 0)) {
                bool from_p = in_p > 0 && (in_q == 0 || q < 0 || p < q);
                int64_t taken = from_p ? p : q;
                if (from_p) in_p--, p = w.next[p];
                if (!from_p) in_q--, q = w.next[q];
                if (end >= 0) w.next[end] = taken;
                if (end < 0) first = taken;
                end = taken;
            }
            p = q;
        }
        w.next[end] = -1;
    }
    w.first[i] = first;
}

/* Links and sorts. room: lists + 2*entries words. */
template <class W>
static mt_status link_entries(mt_backend *backend, W *w, size_t lists, void *room, const char *link,
                              const char *order)
{
    const unsigned block = block_for((int64_t)w->entries);
    const dim3 grid((unsigned)ceil_div((int64_t)w->entries, block));
    w->last = static_cast<int64_t *>(room);
    w->next = w->last + lists;
    w->first = w->next + w->entries;
    if (dev_fill(w->last, 0xff, lists * sizeof(int64_t), MT_LAUNCHER(stream)(backend)) != 0)
        return failed(backend);
    mt_status status = MT_START(backend, link, put_link<W>, grid, dim3(block), *w);
    return status == MT_OK ? MT_START(backend, order, put_order<W>, grid, dim3(block), *w) : status;
}

} // namespace
} // namespace MT_TWIN

#endif
