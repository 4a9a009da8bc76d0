/* autodiff/masks.c - elements kept, replaced or set by a mask: masked_fill, tril, triu, one_hot. */
#include "elementwise.h"
#include "node.h"

#include <inttypes.h>

/* ---- masked_fill ---- */

static mt_status shape_masked_fill(const mt_call *call, mt_shape *result)
{
    return mt_shape_broadcast(mt_tensor_shape(call->in[0]), mt_tensor_shape(call->in[1]), result);
}

static mt_tensor *express_masked_fill(mt_call *call)
{
    return mt_where(call->tape, call->in[1], mt_num(call->tape, call->attribute[0].real), call->in[0]);
}

static const mt_example masked_fill_examples[] = {
    {.shape = {{2, {4, 5}}, {2, {4, 5}}}, .attribute = {{.real = -1.5}}},
    {.shape = {{3, {2, 3, 4}}, {1, {4}}}, .attribute = {{.real = 2}}},
    {.shape = {{1, {5}}, {2, {3, 1}}}, .attribute = {{.real = 0}}},
    {.shape = {{8, {1, 2, 1, 2, 1, 1, 1, 2}}, {1, {2}}}, .attribute = {{.real = 0.5}}},
    {.shape = {{2, {0, 3}}, {1, {3}}}, .attribute = {{.real = 1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_masked_fill = {
    .name = "masked_fill",
    .formula = "value where mask is not 0, elsewhere x",
    .input = {{.name = "x", .low = -2, .high = 2},
              {.name = "mask", .takes = MT_TAKES_ANY, .constant = true, .low = 0, .high = 2}},
    .attribute = {{"value", MT_ATTRIBUTE_REAL}},
    .shape = shape_masked_fill,
    .expression = express_masked_fill,
    .by_parts = "it is a where of a number and x",
    .cost = MT_COST_NOTHING,
    .examples = masked_fill_examples,
};

/* Both broadcast. mask is INDEX or REAL, as of mt_where; value may be infinite, as for weights that softmax
 * is to make 0. */
mt_tensor *mt_masked_fill(mt_tape *tape, mt_tensor *x, mt_tensor *mask, double value)
{
    return mt_apply_operation(tape, &mt_operation_masked_fill, (mt_tensor *[]){x, mask}, 2,
                              &(mt_attribute){.real = value});
}

/* ---- tril and triu: a triangle of each matrix ---- */

static mt_status shape_triangle(const mt_call *call, mt_shape *result)
{
    const mt_shape shape = mt_tensor_shape(call->in[0]);
    char text[MT_SHAPE_TEXT];
    if (shape.rank < 2)
        return mt_fail(MT_ERR_SHAPE, "%s: x has shape %s; a matrix has two dimensions at least",
                       call->operation->name, mt_shape_text(shape, text));
    *result = shape;
    return MT_OK;
}

/* first, first + 1, ... as n numbers in a column or a row. */
static mt_tensor *counting(mt_tape *t, int64_t first, int64_t n, mt_shape shape)
{
    mt_tensor *index = mt_arange(mt_tape_backend(t), first, first + n, 1);
    mt_tensor *numbers = index ? mt_view(t, mt_as(t, index, MT_REAL), shape) : mt_tape_give_up(t);
    mt_tensor_free(index);
    return numbers;
}

/* x where column - row <= diagonal, or >=, elsewhere 0. */
static mt_tensor *triangle(mt_call *call, bool lower)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const mt_shape shape = mt_tensor_shape(x);
    const int64_t rows = shape.size[shape.rank - 2], columns = shape.size[shape.rank - 1];
    int64_t diagonal = call->attribute[0].integer;
    diagonal = diagonal < -rows ? -rows : diagonal > columns ? columns : diagonal; /* beyond it is the same */
    if (mt_tensor_count(x) == 0) return mt_copy(t, x);
    mt_tensor *row = counting(t, diagonal, rows, mt_shape(rows, 1)); /* the column of the diagonal there */
    mt_tensor *column = counting(t, 0, columns, mt_shape(columns));
    mt_tensor *keep = lower ? mt_le(t, column, row) : mt_ge(t, column, row);
    return mt_where(t, keep, x, mt_num(t, 0));
}

static mt_tensor *express_tril(mt_call *call) { return triangle(call, true); }
static mt_tensor *express_triu(mt_call *call) { return triangle(call, false); }

static const mt_example triangle_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.integer = 0}}},
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.integer = -1}}},
    {.shape = {{2, {5, 3}}}, .attribute = {{.integer = 2}}},
    {.shape = {{2, {3, 3}}}, .attribute = {{.integer = INT64_MIN}}},
    {.shape = {{2, {3, 3}}}, .attribute = {{.integer = INT64_MAX}}},
    {.shape = {{8, {1, 2, 1, 2, 1, 1, 2, 2}}}, .attribute = {{.integer = 0}}},
    {.shape = {{3, {2, 0, 3}}}, .attribute = {{.integer = 0}}},
    {.shape = {{0}}},
};
#define TRIANGLE                                                                                       \
    .input = {{.name = "x", .low = -2, .high = 2}}, .attribute = {{"diagonal", MT_ATTRIBUTE_INTEGER}}, \
    .shape = shape_triangle, .by_parts = "it is a where of x and 0, whose VJP keeps the mask alone",   \
    .cost = MT_COST_NOTHING, .examples = triangle_examples
const mt_operation mt_operation_tril = {
    TRIANGLE,
    .name = "tril",
    .formula = "x (..., n, m) where column - row <= diagonal, elsewhere 0",
    .expression = express_tril,
};
const mt_operation mt_operation_triu = {
    TRIANGLE,
    .name = "triu",
    .formula = "x (..., n, m) where column - row >= diagonal, elsewhere 0",
    .expression = express_triu,
};

/* A diagonal of 0 is the main one, 1 the one above it, -1 the one below. What is left out may be NaN. */
mt_tensor *mt_tril(mt_tape *tape, mt_tensor *x, int64_t diagonal)
{
    return mt_apply_operation(tape, &mt_operation_tril, &x, 1, &(mt_attribute){.integer = diagonal});
}

/* The diagonal counts as in mt_tril. */
mt_tensor *mt_triu(mt_tape *tape, mt_tensor *x, int64_t diagonal)
{
    return mt_apply_operation(tape, &mt_operation_triu, &x, 1, &(mt_attribute){.integer = diagonal});
}

/* ---- one_hot ---- */

static mt_status shape_one_hot(const mt_call *call, mt_shape *result)
{
    const int64_t classes = call->attribute[0].integer;
    mt_shape shape = mt_tensor_shape(call->in[0]);
    if (classes < 1) return mt_fail(MT_ERR_VALUE, "one_hot: %" PRId64 " classes; give 1 at least", classes);
    if (shape.rank == MT_MAX_DIMS)
        return mt_fail(MT_ERR_SHAPE,
                       "one_hot: the index has %d dimensions, and the result would have one more",
                       MT_MAX_DIMS);
    shape.size[shape.rank++] = classes;
    *result = shape;
    return MT_OK;
}

static mt_status run_one_hot(mt_call *call, mt_tensor *out)
{
    const mt_tensor *one = mt_tape_number(call->tape, 1);
    mt_layout ones;
    if (!one) return MT_ERR_MEMORY;
    mt_status status = mt_layout_expand(&one->layout, mt_tensor_shape(call->in[0]), &ones);
    const mt_tensor value = mt_alias(one, &ones);
    if (status == MT_OK) status = mt_op_scatter(out, call->in[0], &value, mt_axes(-1));
    if (status == MT_ERR_INDEX)
        return mt_fail(MT_ERR_INDEX,
                       "one_hot: an index is not within 0 to %" PRId64 ", the last of the classes",
                       call->attribute[0].integer - 1);
    return status;
}

static const mt_example one_hot_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.integer = 4}}},
    {.shape = {{1, {6}}}, .attribute = {{.integer = 5}}},
    {.shape = {{7, {1, 2, 1, 2, 1, 1, 2}}}, .attribute = {{.integer = 4}}},
    {.shape = {{2, {0, 3}}}, .attribute = {{.integer = 4}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_one_hot = {
    .name = "one_hot",
    .formula = "1 at index along a new last dimension of size classes, elsewhere 0",
    .input = {{.name = "index", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 4}},
    .attribute = {{"classes", MT_ATTRIBUTE_INTEGER}},
    .shape = shape_one_hot,
    .run = run_one_hot,
    .no_vjp = "its input is an INDEX",
    .cost = MT_COST_NOTHING,
    .examples = one_hot_examples,
};

/* index (...) of INDEX, each within 0 to classes - 1; the result (..., classes) is REAL. */
mt_tensor *mt_one_hot(mt_tape *tape, mt_tensor *index, int64_t classes)
{
    return mt_apply_operation(tape, &mt_operation_one_hot, &index, 1, &(mt_attribute){.integer = classes});
}
