/* ops_cpu/cpu.h - the slots of the two host backends; each stands in the file of its name. */
#ifndef MT_CPU_H
#define MT_CPU_H

#include "kernels.h"

MT_BEGIN
MT_INTERNAL mt_status mt_cpu_elementwise(mt_backend *backend, const mt_elementwise_work *work);
MT_INTERNAL mt_status mt_cpu_reduce(mt_backend *backend, const mt_reduce_work *work);
MT_INTERNAL mt_status mt_cpu_matmul(mt_backend *backend, const mt_matmul_work *work);
MT_INTERNAL mt_status mt_cpu_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in,
                                  mt_kind in_kind);
MT_INTERNAL mt_status mt_cpu_fill(mt_backend *backend, mt_operand out, mt_kind kind, double value);
MT_INTERNAL mt_status mt_cpu_rows(mt_backend *backend, const mt_rows_work *work);
MT_INTERNAL mt_status mt_cpu_scatter(mt_backend *backend, const mt_scatter_work *work);
MT_INTERNAL mt_status mt_cpu_random(mt_backend *backend, const mt_random_work *work);
MT_INTERNAL mt_status mt_cpu_permutation(mt_backend *backend, mt_operand out, mt_rng rng);
MT_INTERNAL mt_status mt_cpu_update(mt_backend *backend, const mt_update_work *work);
MT_INTERNAL mt_status mt_cpu_update_alone(mt_backend *backend, const mt_update_work *work); /* one thread */

/* Memory on the host, for both: allocate, release, mark, upload, download. */
MT_INTERNAL void *mt_host_allocate(mt_backend *backend, size_t bytes);
MT_INTERNAL void mt_host_release(mt_backend *backend, void *pointer, size_t bytes);
MT_INTERNAL void mt_host_mark(mt_backend *backend, void *pointer, size_t bytes, bool live);
MT_INTERNAL mt_status mt_host_copy(mt_backend *backend, void *to, const void *from, size_t bytes);
MT_END

#endif
