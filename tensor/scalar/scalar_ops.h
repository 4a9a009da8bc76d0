/* tensor/scalar/scalar_ops.h - the maths of every elementwise operation. */
#ifndef MT_SCALAR_OPS_H
#define MT_SCALAR_OPS_H

#include "map_ops.h"
#include "zip_ops.h"

#endif
