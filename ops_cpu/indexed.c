/* ops_cpu/indexed.c - the slots whose positions are the values of an INDEX tensor, of both host backends:
 * rows and scatter. put is serial, since two indices may name the same row. */
#include <inttypes.h>
#include <string.h>

#include "cpu.h"
#include "tensor/plan.h"

/* The layout of x without its first dimension. */
static mt_layout row_layout(const mt_layout *x)
{
    mt_layout row = {.rank = x->rank > 1 ? x->rank - 1 : 1, .size = {1}, .stride = {1}};
    for (int d = 1; d < x->rank; d++) row.size[d - 1] = x->size[d], row.stride[d - 1] = x->stride[d];
    return row;
}

static int64_t entry(const mt_operand *index, int64_t i)
{
    return ((const int64_t *)index->data)[index->layout->offset + i * index->layout->stride[0]];
}

mt_status mt_cpu_rows(mt_backend *backend, const mt_rows_work *work)
{
    const mt_operand *whole = work->put ? &work->out : &work->in;
    int64_t count = work->index.layout->size[0], limit = whole->layout->size[0];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = entry(&work->index, i);
        if (at < 0 || at >= limit)
            return mt_fail(MT_ERR_INDEX,
                           "%s: entry %" PRId64 " of the index is %" PRId64 ", and there are %" PRId64
                           " rows",
                           work->put ? "put_rows" : "take_rows", i, at, limit);
    }
    mt_layout out_row = row_layout(work->out.layout), in_row = row_layout(work->in.layout);
    const mt_operand out = {work->out.data, &out_row}, in = {work->in.data, &in_row};
    const mt_tile_fn add = mt_cpu_kernels_get()->add;
    mt_elementwise_plan plan;
    mt_plan_loops((mt_operand[]){out, out, in}, 3, &plan);
    if (plan.count == 0) return MT_OK;
    const size_t bytes = mt_kind_bytes(work->kind);
    const bool plain = plan.rank == 1 && plan.stride[0][0] == 1 && plan.stride[2][0] == 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = entry(&work->index, i);
        out_row.offset = work->out.layout->offset + (work->put ? at : i) * work->out.layout->stride[0];
        in_row.offset = work->in.layout->offset + (work->put ? i : at) * work->in.layout->stride[0];
        char *to = (char *)out.data + (size_t)out_row.offset * bytes;
        const char *from = (const char *)in.data + (size_t)in_row.offset * bytes;
        if (plain && !work->put) {
            memcpy(to, from, (size_t)plan.count * bytes);
        } else if (!work->put) {
            mt_cpu_copy(backend, out, work->kind, in, work->kind);
        } else {
            const int inner = plan.rank - 1;
            const int64_t size[2] = {1, plan.size[inner]};
            int64_t step[3][2] = {{0}};
            for (int k = 0; k < 3; k++) step[k][1] = plan.stride[k][inner];
            for (int64_t r = 0; r < plan.count / size[1]; r++) {
                mt_real *y = (mt_real *)out.data + out_row.offset +
                             mt_plan_position(inner, plan.size, plan.stride[0], r);
                mt_real *x = (mt_real *)in.data + in_row.offset +
                             mt_plan_position(inner, plan.size, plan.stride[2], r);
                add(size, (mt_real *[]){y, y, x}, step, (mt_real[]){0, 0});
            }
        }
    }
    return MT_OK;
}

mt_status mt_cpu_scatter(mt_backend *backend, const mt_scatter_work *work)
{
    (void)backend;
    /* Kept dimensions are walked through the index's layout, whose reduced dimensions have size 1. */
    const mt_layout *kept = work->index.layout, *out = work->out.layout;
    int64_t count = mt_layout_count(kept), limit = 1;
    for (int d = 0; d < out->rank; d++) limit *= work->reduced[d] ? out->size[d] : 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at_index = kept->offset, at_value = work->value.layout->offset,
                at_out = out->offset;
        for (int d = kept->rank - 1; d >= 0; d--) {
            int64_t index = rest % kept->size[d];
            rest /= kept->size[d];
            at_index += index * kept->stride[d];
            at_value += index * work->value.layout->stride[d];
            at_out += index * out->stride[d];
        }
        int64_t chosen = ((const int64_t *)work->index.data)[at_index], place = chosen;
        if (chosen < 0 || chosen >= limit)
            return mt_fail(MT_ERR_INDEX, "scatter: index %" PRId64 " is outside the reduced dimensions",
                           chosen);
        for (int d = out->rank - 1; d >= 0; d--) {
            if (!work->reduced[d]) continue;
            at_out += place % out->size[d] * out->stride[d];
            place /= out->size[d];
        }
        ((mt_real *)work->out.data)[at_out] = ((const mt_real *)work->value.data)[at_value];
    }
    return MT_OK;
}
