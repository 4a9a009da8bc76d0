/* tensor/row_ops.c - the slots that work on rows along a dimension (see row_ops.h). */
#include "row_ops.h"

#include "ops.h"
#include "storage.h"

static mt_status check_real(const char *what, const mt_tensor *x)
{
    if (x->kind == MT_REAL) return MT_OK;
    return mt_fail(MT_ERR_KIND,
                   "%s: an operand holds indices (INDEX); convert it with mt_as(tape, x, MT_REAL)", what);
}

/* in, or g where there is one, are REAL of out's shape. */
static mt_status check_rows(const char *what, const mt_tensor *out, const mt_tensor *in, const mt_tensor *g)
{
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT];
    mt_status status = check_real(what, out);
    if (status == MT_OK) status = check_real(what, in);
    if (status == MT_OK && g) status = check_real(what, g);
    if (status != MT_OK || (mt_same_shape(out, in) && (!g || mt_same_shape(out, g)))) return status;
    return mt_fail(MT_ERR_SHAPE, "%s: the output has shape %s, and an operand %s; they must be the same",
                   what, mt_shape_text(mt_tensor_shape(out), text_out),
                   mt_shape_text(mt_tensor_shape(g && mt_same_shape(out, in) ? g : in), text));
}

static mt_status softmax(mt_tensor *out, const mt_tensor *in, const mt_tensor *g, int dim, bool log)
{
    mt_backend *backend = out->storage->backend;
    mt_softmax_work work = {
        .log = log, .dim = dim, .out = mt_tensor_operand(out), .in = mt_tensor_operand(in)};
    mt_status status = check_rows(log ? "log_softmax" : "softmax", out, in, g);
    if (status != MT_OK) return status;
    if (g) work.back = true, work.g = mt_tensor_operand(g);
    mt_tensor_touch(out);
    return backend->softmax(backend, &work);
}

mt_status mt_op_softmax(mt_tensor *out, const mt_tensor *x, int dim, bool log)
{
    return softmax(out, x, NULL, dim, log);
}

mt_status mt_op_softmax_grad(mt_tensor *out, const mt_tensor *y, const mt_tensor *g, int dim, bool log)
{
    return softmax(out, y, g, dim, log);
}

mt_status mt_op_cross_entropy(mt_tensor *out, const mt_cross_entropy_work *work)
{
    mt_backend *backend = out->storage->backend;
    /* Probabilities of no classes: each row's loss is a sum of nothing, and there is no gradient. */
    if (!work->labels.data && work->x.layout->size[work->dim] == 0) return mt_op_fill(out, 0);
    mt_tensor_touch(out);
    return backend->cross_entropy(backend, work);
}

mt_status mt_op_layer_norm(mt_tensor *out, const mt_layer_norm_work *work)
{
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    return backend->layer_norm(backend, work);
}
