/* nn/init.c - initial values: a table of rules for layers, and the draws that they are made of. */
#include "init.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../tensor/storage.h"
#include "names.h"

static const struct {
    const char *name, *summary;
} rules[MT_INIT_COUNT] = {
    [MT_INIT_MINITORCH] = {"minitorch", "weight U(-0.5, 0.5), bias 0.1"},
    [MT_INIT_PYTORCH] = {"pytorch", "weight and bias U(-a, a), a = 1 / sqrt(in)"},
    [MT_INIT_XAVIER] = {"xavier", "weight U(-a, a), a = sqrt(6 / (in + out)), bias 0"},
    [MT_INIT_XAVIER_NORMAL] = {"xavier-normal", "weight N(0, 2 / (in + out)), bias 0"},
    [MT_INIT_KAIMING] = {"kaiming", "weight U(-a, a), a = sqrt(6 / in), bias 0"},
    [MT_INIT_KAIMING_NORMAL] = {"kaiming-normal", "weight N(0, 2 / in), bias 0"},
    [MT_INIT_ZEROS] = {"zeros", "weight and bias 0"},
};

const char *mt_init_name(int i) { return i >= 0 && i < MT_INIT_COUNT ? rules[i].name : NULL; }

const char *mt_init_summary(int i) { return i >= 0 && i < MT_INIT_COUNT ? rules[i].summary : NULL; }

mt_init mt_init_by_name(const char *name)
{
    return (mt_init)mt_find_name(name, MT_INIT_COUNT, mt_init_name, "initialisation");
}

/* ---- draws ---- */

mt_status mt_init_uniform(mt_tensor *x, mt_rng *rng, double low, double high)
{
    return mt_op_uniform(x, rng, low, high);
}

mt_status mt_init_normal(mt_tensor *x, mt_rng *rng, double mean, double deviation)
{
    return mt_op_normal(x, rng, mean, deviation);
}

mt_status mt_init_constant(mt_tensor *x, double value)
{
    if (!x) return MT_ERR_NULL;
    if (!isfinite((mt_real)value))
        return mt_fail(
            MT_ERR_VALUE,
            "init_constant: the value is %g; give a number that is finite in the library's precision",
            mt_printable(value));
    return mt_op_fill(x, value);
}

/* The fans of a weight (in, out) or (out, in, places...), and a usable gain. */
static mt_status fans(const mt_tensor *weight, double gain, const char *what, double *in, double *out)
{
    char text[MT_SHAPE_TEXT];
    if (!weight) return MT_ERR_NULL;
    const mt_shape shape = mt_tensor_shape(weight);
    double places = 1;
    for (int d = 2; d < shape.rank; d++) places *= (double)shape.size[d];
    if (shape.rank < 2 || shape.size[0] < 1 || shape.size[1] < 1 || places < 1)
        return mt_fail(MT_ERR_SHAPE,
                       "%s: a tensor of shape %s has no fans; give a weight of shape (in, out), or (out, in, "
                       "places...), all at least 1",
                       what, mt_shape_text(shape, text));
    if (!isfinite(gain) || gain < 0)
        return mt_fail(MT_ERR_VALUE, "%s: the gain is %g; give a finite number of at least 0", what,
                       mt_printable(gain));
    *in = (double)shape.size[shape.rank == 2 ? 0 : 1] * places;
    *out = (double)shape.size[shape.rank == 2 ? 1 : 0] * places;
    return MT_OK;
}

mt_status mt_init_xavier_uniform(mt_tensor *weight, mt_rng *rng, double gain)
{
    double in, out;
    mt_status status = fans(weight, gain, "init_xavier_uniform", &in, &out);
    if (status != MT_OK) return status;
    double a = gain * sqrt(6 / (in + out));
    return mt_init_uniform(weight, rng, -a, a);
}

mt_status mt_init_xavier_normal(mt_tensor *weight, mt_rng *rng, double gain)
{
    double in, out;
    mt_status status = fans(weight, gain, "init_xavier_normal", &in, &out);
    return status == MT_OK ? mt_init_normal(weight, rng, 0, gain * sqrt(2 / (in + out))) : status;
}

mt_status mt_init_kaiming_uniform(mt_tensor *weight, mt_rng *rng, double gain)
{
    double in, out;
    mt_status status = fans(weight, gain, "init_kaiming_uniform", &in, &out);
    if (status != MT_OK) return status;
    double a = gain * sqrt(3 / in);
    return mt_init_uniform(weight, rng, -a, a);
}

mt_status mt_init_kaiming_normal(mt_tensor *weight, mt_rng *rng, double gain)
{
    double in, out;
    mt_status status = fans(weight, gain, "init_kaiming_normal", &in, &out);
    return status == MT_OK ? mt_init_normal(weight, rng, 0, gain / sqrt(in)) : status;
}

/* ---- rules ---- */

static mt_status init_weight(mt_tensor *weight, mt_init rule, mt_rng *rng)
{
    switch (rule) {
    case MT_INIT_MINITORCH: return mt_init_uniform(weight, rng, -0.5, 0.5);
    case MT_INIT_PYTORCH: return mt_init_kaiming_uniform(weight, rng, sqrt(1.0 / 3)); /* a = 1 / sqrt(in) */
    case MT_INIT_XAVIER: return mt_init_xavier_uniform(weight, rng, 1);
    case MT_INIT_XAVIER_NORMAL: return mt_init_xavier_normal(weight, rng, 1);
    case MT_INIT_KAIMING: return mt_init_kaiming_uniform(weight, rng, sqrt(2));
    case MT_INIT_KAIMING_NORMAL: return mt_init_kaiming_normal(weight, rng, sqrt(2));
    case MT_INIT_ZEROS: return mt_init_constant(weight, 0);
    case MT_INIT_COUNT: break;
    }
    return mt_fail(MT_ERR_VALUE, "init: %d is not a rule; use one of mt_init's MT_INIT_ names", (int)rule);
}

/* outputs: the dimension of the weight that has one for each element of the bias. */
static mt_status init_layer(const char *what, mt_tensor *weight, mt_tensor *bias, int outputs, mt_init rule,
                            mt_rng *rng)
{
    char text[MT_SHAPE_TEXT], text_bias[MT_SHAPE_TEXT];
    double in = 0, out = 0;
    if (!weight || !bias || !rng) return MT_ERR_NULL;
    mt_status status = mt_tensor_check(weight, what);
    if (status == MT_OK) status = mt_tensor_check(bias, what);
    if (status == MT_OK) status = fans(weight, 1, what, &in, &out);
    if (status != MT_OK) return status;
    if ((mt_tensor_rank(weight) == 2) != (outputs == 1))
        return mt_fail(MT_ERR_SHAPE, "%s: a weight of shape %s; it must be %s", what,
                       mt_shape_text(mt_tensor_shape(weight), text),
                       outputs == 1 ? "(in, out)" : "(out, in, places...)");
    if (!mt_shape_equal(mt_tensor_shape(bias), mt_shape(mt_tensor_size(weight, outputs))))
        return mt_fail(MT_ERR_SHAPE,
                       "%s: a weight of shape %s goes with a bias of shape (%" PRId64 "), not %s", what,
                       mt_shape_text(mt_tensor_shape(weight), text), mt_tensor_size(weight, outputs),
                       mt_shape_text(mt_tensor_shape(bias), text_bias));
    status = init_weight(weight, rule, rng);
    if (status != MT_OK) return status;
    if (rule == MT_INIT_PYTORCH) return mt_init_uniform(bias, rng, -1 / sqrt(in), 1 / sqrt(in));
    return mt_init_constant(bias, rule == MT_INIT_MINITORCH ? 0.1 : 0);
}

mt_status mt_init_linear(mt_tensor *weight, mt_tensor *bias, mt_init rule, mt_rng *rng)
{
    return init_layer("init_linear", weight, bias, 1, rule, rng);
}

mt_status mt_init_conv(mt_tensor *weight, mt_tensor *bias, mt_init rule, mt_rng *rng)
{
    return init_layer("init_conv", weight, bias, 0, rule, rng);
}
