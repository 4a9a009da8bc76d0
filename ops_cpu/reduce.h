/* ops_cpu/reduce.h - how the cpu backend cuts a reduction, for its own use and for bench/parallel_check.
 */
#ifndef MT_CPU_REDUCE_H
#define MT_CPU_REDUCE_H

#include "cpu.h"
#include "tensor/plan.h"

/* Tasks, and who does them. */
typedef struct mt_reduce_cut {
    int64_t block, blocks; /* columns of a task at most, and tasks for each outer kept index; 0 blocks: a task
                              is one result */
    int64_t tasks;
    int threads; /* that share the tasks */
    int inside;  /* that share each task, where tasks are few; then threads is 1 */
} mt_reduce_cut;

MT_BEGIN
/* For the threads that there are. The plan is of work, with something to keep and something to reduce. */
MT_INTERNAL mt_reduce_cut mt_cpu_reduce_cut(const mt_reduce_work *work, const mt_reduce_plan *plan);
MT_END

#endif
