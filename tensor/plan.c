/* tensor/plan.c - collapses dimensions and names the class of the loop that is left. */
#include "plan.h"

#include <string.h>

/* Operand k's stride along dimension d of a shape of the given rank: 0 where k is broadcast. */
static int64_t broadcast_stride(const mt_layout *layout, int rank, int d)
{
    int own = d - (rank - layout->rank);
    return own >= 0 && layout->size[own] != 1 ? layout->stride[own] : 0;
}

static void *first_element(const mt_operand *operand, size_t element)
{
    return (char *)operand->data + (size_t)operand->layout->offset * element;
}

/* Whether every operand has the output's shape and is row-major: one row, by far the most frequent case. */
static bool is_one_row(const mt_operand *operand, int operands, int64_t *count)
{
    const mt_layout *out = operand[0].layout;
    int64_t stride = 1;
    for (int d = out->rank - 1; d >= 0; d--) {
        int64_t size = out->size[d];
        for (int k = 0; k < operands; k++) {
            const mt_layout *x = operand[k].layout;
            if (x->rank != out->rank || x->size[d] != size || (x->stride[d] != stride && size != 1))
                return false;
        }
        stride *= size;
    }
    *count = stride;
    return true;
}

void mt_plan_loops(const mt_operand *operand, int operands, mt_elementwise_plan *plan)
{
    const mt_layout *out = operand[0].layout;
    int rank = out->rank, kept = 0;
    MT_ASSERT(rank >= 1 && operands >= 1 && operands <= MT_MAX_OPERANDS);
    plan->operands = operands;
    if (is_one_row(operand, operands, &plan->count)) {
        plan->rank = 1;
        plan->size[0] = plan->count;
        for (int k = 0; k < operands; k++) plan->stride[k][0] = 1;
        plan->row_class = MT_ROW_CONTIGUOUS;
        return;
    }
    plan->count = 1;

    /* Insert each dimension of more than one entry at its place: output strides fall from the outside in. */
    int order[MT_MAX_DIMS];
    for (int d = 0; d < rank; d++) {
        plan->count *= out->size[d];
        if (out->size[d] == 1) continue;
        int at = kept++;
        while (at > 0 && out->stride[order[at - 1]] < out->stride[d]) order[at] = order[at - 1], at--;
        order[at] = d;
    }
    /* Join a dimension with the one outside it when no operand jumps between them. */
    int n = 0;
    for (int i = 0; i < kept; i++) {
        int d = order[i];
        int64_t stride[MT_MAX_OPERANDS];
        bool joins = n > 0;
        for (int k = 0; k < operands; k++) {
            stride[k] = broadcast_stride(operand[k].layout, rank, d);
            joins = joins && plan->stride[k][n - 1] == stride[k] * out->size[d];
        }
        if (joins)
            plan->size[n - 1] *= out->size[d];
        else
            plan->size[n++] = out->size[d];
        for (int k = 0; k < operands; k++) plan->stride[k][n - 1] = stride[k];
    }
    if (n == 0) {
        plan->size[n++] = 1;
        for (int k = 0; k < operands; k++) plan->stride[k][0] = 1;
    }
    plan->rank = n;

    bool unit = n == 1;
    int scalars = 0;
    for (int k = 0; k < operands && unit; k++) {
        if (k > 0 && plan->stride[k][0] == 0)
            scalars |= 1 << k;
        else
            unit = plan->stride[k][0] == 1;
    }
    plan->row_class = !unit                           ? MT_ROW_GENERAL
                      : scalars == 0                  ? MT_ROW_CONTIGUOUS
                      : scalars == 2 && operands == 3 ? MT_ROW_LEFT_SCALAR
                      : scalars == 4 && operands == 3 ? MT_ROW_RIGHT_SCALAR
                                                      : MT_ROW_GENERAL;
}

static bool fits_int32(const mt_elementwise_plan *plan)
{
    for (int k = 0; k < plan->operands; k++) {
        int64_t reach = 0;
        for (int d = 0; d < plan->rank; d++) reach += (plan->size[d] - 1) * plan->stride[k][d];
        if (reach > INT32_MAX) return false;
    }
    return true;
}

void mt_plan_elementwise(const mt_operand *operand, int operands, mt_elementwise_plan *plan)
{
    mt_plan_loops(operand, operands, plan);
    uintptr_t address = 64; /* the largest alignment worth knowing */
    for (int k = 0; k < operands; k++) {
        address |= (uintptr_t)first_element(&operand[k], sizeof(mt_real));
        plan->first[k] = 0;
    }
    plan->alignment = (int)(address & (0 - address));
    plan->fits_int32 = fits_int32(plan);
}

/* At a multiple of 64 elements where there are as many: what was aligned, or a whole number of vectors, still
 * is. */
void mt_plan_halve(const mt_elementwise_plan *plan, mt_elementwise_plan half[2])
{
    int64_t farthest = 0;
    int along = 0;
    for (int k = 0; k < plan->operands; k++)
        for (int d = 0; d < plan->rank; d++) {
            const int64_t reach = (plan->size[d] - 1) * plan->stride[k][d];
            if (reach > farthest) farthest = reach, along = d;
        }
    const int64_t size = plan->size[along], cut = size < 128 ? size / 2 : size / 128 * 64;
    uintptr_t address = (uintptr_t)plan->alignment;
    half[0] = half[1] = *plan;
    half[0].size[along] = cut, half[1].size[along] = size - cut;
    for (int k = 0; k < plan->operands; k++) {
        half[1].first[k] += cut * plan->stride[k][along];
        address |= (uintptr_t)half[1].first[k] * sizeof(mt_real);
    }
    half[1].alignment = (int)(address & (0 - address));
    for (int i = 0; i < 2; i++) {
        half[i].count = plan->count / size * half[i].size[along];
        half[i].fits_int32 = fits_int32(&half[i]);
    }
}

void mt_plan_reduce(const mt_operand *out, const mt_operand *in, const bool *reduced, mt_reduce_plan *plan)
{
    const mt_layout *from = in->layout, *to = out->layout;
    int kept = 0, folded = 0;
    plan->kept_count = plan->reduced_count = 1;
    for (int d = 0; d < from->rank; d++) {
        int64_t size = from->size[d];
        MT_ASSERT(to->rank == from->rank && to->size[d] == (reduced[d] ? 1 : size));
        *(reduced[d] ? &plan->reduced_count : &plan->kept_count) *= size;
        if (size == 1) continue;
        if (reduced[d]) {
            /* Row-major order is kept, since argmax counts in it; only neighbours that touch are joined. */
            bool joins = folded > 0 && plan->reduced_in[folded - 1] == from->stride[d] * size;
            if (!joins) folded++;
            plan->reduced_size[folded - 1] = joins ? plan->reduced_size[folded - 1] * size : size;
            plan->reduced_in[folded - 1] = from->stride[d];
            continue;
        }
        int at = kept++;
        while (at > 0 && plan->kept_in[at - 1] < from->stride[d]) {
            plan->kept_size[at] = plan->kept_size[at - 1];
            plan->kept_in[at] = plan->kept_in[at - 1];
            plan->kept_out[at] = plan->kept_out[at - 1];
            at--;
        }
        plan->kept_size[at] = size;
        plan->kept_in[at] = from->stride[d];
        plan->kept_out[at] = to->stride[d];
    }
    int n = 0;
    for (int i = 0; i < kept; i++) {
        int64_t size = plan->kept_size[i], stride_in = plan->kept_in[i], stride_out = plan->kept_out[i];
        bool joins =
            n > 0 && plan->kept_in[n - 1] == stride_in * size && plan->kept_out[n - 1] == stride_out * size;
        if (!joins) n++;
        plan->kept_size[n - 1] = joins ? plan->kept_size[n - 1] * size : size;
        plan->kept_in[n - 1] = stride_in;
        plan->kept_out[n - 1] = stride_out;
    }
    if (n == 0) plan->kept_size[n] = 1, plan->kept_in[n] = plan->kept_out[n] = 1, n++;
    if (folded == 0) plan->reduced_size[folded] = 1, plan->reduced_in[folded] = 1, folded++;
    plan->kept_rank = n;
    plan->reduced_rank = folded;

    bool one_row = folded == 1 && plan->reduced_in[0] == 1;
    bool columns = plan->kept_in[n - 1] == 1 && plan->kept_out[n - 1] == 1 && plan->kept_size[n - 1] > 1;
    if (columns && plan->reduced_count == 1)
        one_row = false; /* nothing to fold: rows of columns are cheaper */
    plan->reduce_class = one_row && plan->kept_count == 1 ? MT_REDUCE_ALL
                         : one_row                        ? MT_REDUCE_INNER
                         : columns                        ? MT_REDUCE_OUTER
                                                          : MT_REDUCE_GENERAL;
}

/* The last two dimensions of an operand. */
static mt_matrix matrix_of(const mt_operand *operand)
{
    const mt_layout *l = operand->layout;
    return (mt_matrix){l->stride[l->rank - 2], l->stride[l->rank - 1], (mt_real *)operand->data + l->offset};
}

void mt_plan_matmul(const mt_matmul_work *work, mt_matmul_plan *plan)
{
    const mt_layout *a = work->a.layout, *b = work->b.layout, *c = work->out.layout, *pre = work->pre.layout;
    bool keeps = work->pre.data != NULL;
    int rank = c->rank;
    /* Field by field: most of it stays as it is, and is not read. */
    plan->m = c->size[rank - 2], plan->n = c->size[rank - 1], plan->k = a->size[a->rank - 1];
    plan->a = matrix_of(&work->a), plan->b = matrix_of(&work->b), plan->c = matrix_of(&work->out);
    plan->pre = keeps ? matrix_of(&work->pre) : (mt_matrix){0};
    plan->bias = (mt_matrix){0};
    if (work->bias.data) {
        const mt_layout *bias = work->bias.layout;
        plan->bias.data = (mt_real *)work->bias.data + bias->offset;
        plan->bias.col = bias->stride[bias->rank - 1];
    }
    plan->batch = 1;
    int n = 0;
    for (int d = 0; d < rank - 2; d++) {
        int64_t size = c->size[d];
        plan->batch *= size;
        if (size == 1) continue;
        int64_t in_a = broadcast_stride(a, rank, d), in_b = broadcast_stride(b, rank, d), in_c = c->stride[d];
        int64_t in_pre = keeps ? pre->stride[d] : 0;
        bool joins = n > 0 && plan->batch_a[n - 1] == in_a * size && plan->batch_b[n - 1] == in_b * size &&
                     plan->batch_c[n - 1] == in_c * size && plan->batch_pre[n - 1] == in_pre * size;
        if (!joins) n++;
        plan->batch_size[n - 1] = joins ? plan->batch_size[n - 1] * size : size;
        plan->batch_a[n - 1] = in_a, plan->batch_b[n - 1] = in_b;
        plan->batch_c[n - 1] = in_c, plan->batch_pre[n - 1] = in_pre;
    }
    if (n == 0) {
        plan->batch_size[n] = 1;
        plan->batch_a[n] = plan->batch_b[n] = plan->batch_c[n] = plan->batch_pre[n] = 0;
        n++;
    }
    plan->batch_rank = n;
}
