/* ops_cpu/reduce.h - how the cpu backend cuts a reduction, for its own use and for bench/parallel_check.
 */
#ifndef MT_CPU_REDUCE_H
#define MT_CPU_REDUCE_H

#include "cpu.h"
#include "tensor/plan.h"

/* A reduction as `tasks` equal tasks. Either task t is result t, an index of the kept elements; or, where
 * blocks > 0 (MT_REDUCE_OUTER), it is the columns from t % blocks * block on, at most block of them, of the
 * outer kept index t / blocks. */
typedef struct mt_reduce_cut {
    int64_t block, blocks, tasks;
    int threads; /* share the tasks; 1 where inside > 1 */
    int inside;  /* threads that share each task: more than 1 where tasks are few and long */
} mt_reduce_cut;

MT_BEGIN
/* For as many threads as mt_cpu_threads gives. plan is work's; its kept_count and reduced_count are not 0. */
MT_INTERNAL mt_reduce_cut mt_cpu_reduce_cut(const mt_reduce_work *work, const mt_reduce_plan *plan);
MT_END

#endif
