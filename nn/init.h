/* nn/init.h - initial values of parameters, written in place with an explicit generator.
 *
 * Fans come from a weight of shape (in, out): fan_in is in, fan_out is out; or from the kernels of a
 * convolution, (out, in, places...): each fan then counts the places too. Every draw advances rng by the
 * number of elements. A write raises the tensor's version, so initialise before the first step of a tape, not
 * within one.
 */
#ifndef MT_INIT_H
#define MT_INIT_H

#include "../tensor/ops.h"

/* A rule for the weight and the bias of a layer. */
typedef enum mt_init {
    MT_INIT_MINITORCH,      /* weight U(-0.5, 0.5), bias 0.1 */
    MT_INIT_PYTORCH,        /* both U(-a, a) with a = 1 / sqrt(in): PyTorch's Linear */
    MT_INIT_XAVIER,         /* weight U(-a, a) with a = sqrt(6 / (in + out)), bias 0 */
    MT_INIT_XAVIER_NORMAL,  /* weight N(0, 2 / (in + out)), bias 0 */
    MT_INIT_KAIMING,        /* weight U(-a, a) with a = sqrt(6 / in), bias 0: for relu */
    MT_INIT_KAIMING_NORMAL, /* weight N(0, 2 / in), bias 0 */
    MT_INIT_ZEROS,          /* both 0 */
    MT_INIT_COUNT
} mt_init;

MT_BEGIN

/* The i-th rule's name ("minitorch", "pytorch", "xavier", "xavier-normal", ...) and its formula; NULL past
 * the last. */
MT_API const char *mt_init_name(int i);
MT_API const char *mt_init_summary(int i);
/* Finds a rule by its name, in any case; MT_INIT_COUNT with a sentence that lists the names when nothing has
 * it. */
MT_API mt_init mt_init_by_name(const char *name);

/* Writes weight (in, out) and bias (out) by the rule. The weight is drawn first. */
MT_API mt_status mt_init_linear(mt_tensor *weight, mt_tensor *bias, mt_init rule, mt_rng *rng);
/* The same for the kernels of a convolution, (out, in of a group, places...), and bias (out): in the rules'
 * formulas in is fan_in, and out fan_out. pytorch is PyTorch's for its convolutions. */
MT_API mt_status mt_init_conv(mt_tensor *weight, mt_tensor *bias, mt_init rule, mt_rng *rng);

/* Any shape. low, high, mean, deviation and value must be finite, low <= high, deviation >= 0. */
MT_API mt_status mt_init_uniform(mt_tensor *x, mt_rng *rng, double low, double high);
MT_API mt_status mt_init_normal(mt_tensor *x, mt_rng *rng, double mean, double deviation);
MT_API mt_status mt_init_constant(mt_tensor *x, double value);

/* Weights of shape (in, out), or (out, in, places...); gain is 1 for linear layers and sigmoid, sqrt(2) for
 * relu. Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming, by fan_in).
 *
 * U(-a, a), a = gain sqrt(6 / (in + out)); N(0, s^2), s = gain sqrt(2 / (in + out)). */
MT_API mt_status mt_init_xavier_uniform(mt_tensor *weight, mt_rng *rng, double gain);
MT_API mt_status mt_init_xavier_normal(mt_tensor *weight, mt_rng *rng, double gain);
/* U(-a, a), a = gain sqrt(3 / in); N(0, s^2), s = gain / sqrt(in). */
MT_API mt_status mt_init_kaiming_uniform(mt_tensor *weight, mt_rng *rng, double gain);
MT_API mt_status mt_init_kaiming_normal(mt_tensor *weight, mt_rng *rng, double gain);

MT_END

#endif
