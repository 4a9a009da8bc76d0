/* ops_cpu/cpu.h - the slots of the cpu backend; each stands in the file of its name. */
#ifndef MT_CPU_H
#define MT_CPU_H

#include "kernels.h"

MT_BEGIN
MT_INTERNAL mt_status mt_cpu_elementwise(mt_backend *backend, const mt_elementwise *work);
MT_INTERNAL mt_status mt_cpu_reduce(mt_backend *backend, const mt_reduce *work);
MT_INTERNAL mt_status mt_cpu_matmul(mt_backend *backend, const mt_matmul *work);
MT_INTERNAL mt_status mt_cpu_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind);
MT_INTERNAL mt_status mt_cpu_fill(mt_backend *backend, mt_operand out, mt_kind kind, double value);
MT_INTERNAL mt_status mt_cpu_update(mt_backend *backend, const mt_update *work);
MT_END

#endif
