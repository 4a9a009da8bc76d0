/* ops_cpu/cpu.h - the slots of the two host backends: for a row NAME of tensor/slots.inc the functions
 * mt_cpu_NAME, and mt_simple_NAME, the latter in simple.c. */
#ifndef MT_CPU_H
#define MT_CPU_H

#include "kernels.h"

/* Where both do alike, one function has both names. */
#define mt_cpu_download       mt_cpu_upload
#define mt_simple_allocate    mt_cpu_allocate
#define mt_simple_release     mt_cpu_release
#define mt_simple_mark        mt_cpu_mark
#define mt_simple_upload      mt_cpu_upload
#define mt_simple_download    mt_cpu_upload
#define mt_simple_scatter     mt_cpu_scatter
#define mt_simple_rows        mt_cpu_rows
#define mt_simple_permutation mt_cpu_permutation

MT_BEGIN
#define MT_SLOT(need, result, name, parameters, text) \
    MT_INTERNAL result mt_cpu_##name parameters;      \
    MT_INTERNAL result mt_simple_##name parameters;
#include "tensor/slots.inc"
MT_END

/* The host's memory has no copies to count. (mt_double_names.h may have renamed what was declared.) */
#undef mt_cpu_counts
#undef mt_simple_counts
#define mt_cpu_counts    NULL
#define mt_simple_counts NULL

#endif
