/* tensor/elementwise.h - a function without a tape for each row of op_table.inc, with the rules of ops.h. */
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H

#include "op_id.h"
#include "ops.h"
#ifdef MT_DOUBLE
#include "mt_double_rows.h"
#endif

MT_BEGIN

/* Elementwise, from the table: mt_op_neg(out, x), mt_op_leaky_relu(out, x, slope), mt_op_clamp(out, x, low,
 * high), mt_op_add(out, a, b), mt_op_is_close(out, a, b, atol, rtol). Comparisons write 1 or 0. */
#define MT_DECLARE_MAP_0(name) MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *x);
#define MT_DECLARE_MAP_1(name) \
    MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *x, double p0);
#define MT_DECLARE_MAP_2(name) \
    MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *x, double p0, double p1);
#define MT_DECLARE_ZIP_0(name) \
    MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
#define MT_DECLARE_ZIP_1(name) \
    MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *a, const mt_tensor *b, double p0);
#define MT_DECLARE_ZIP_2(name)                                                                           \
    MT_ROW_API mt_status mt_op_##name(mt_tensor *out, const mt_tensor *a, const mt_tensor *b, double p0, \
                                      double p1);
#define MT_MAP(name, params, needs, low, high, formula) MT_DECLARE_MAP_##params(name)
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    MT_DECLARE_ZIP_##params(name)
#include "scalar/op_table.inc"
#undef MT_DECLARE_MAP_0
#undef MT_DECLARE_MAP_1
#undef MT_DECLARE_MAP_2
#undef MT_DECLARE_ZIP_0
#undef MT_DECLARE_ZIP_1
#undef MT_DECLARE_ZIP_2

MT_END

#endif
