/* stats.h - what a run cost: time of the updates, memory, and which kernels did the work. */
#ifndef RUN_STATS_H
#define RUN_STATS_H

#include "log.h"
#include "minitorch.h"

typedef struct run_stats {
    double seconds;                  /* of the updates alone */
    int64_t epochs, steps;           /* in that time */
    uint64_t first_requests;         /* allocator requests until the first epoch's line was printed */
    uint64_t last_requests;          /* and when the last one was */
    mt_backend_counts before, epoch; /* until the latest epoch, and in its updates alone */
} run_stats;

/* Asks backend what it computes with. */
void stats_machine(mt_backend *backend, run_machine *machine);
/* Around the updates of an epoch: what the backend counts meanwhile. Call the first before the program's
 * first work too, for a backend may count more once it is asked. */
void stats_epoch_begins(run_stats *stats, mt_backend *backend);
void stats_epoch_ends(run_stats *stats, mt_backend *backend);
/* Tells it all: on stderr, or with --log json as an object on stdout (false when that fails). */
bool stats_print(const run_settings *settings, const run_machine *machine, mt_backend *backend,
                 const run_stats *stats);

#endif
