/* ops_cuda/sim/sim.h - what a program may ask of the CUDA simulator: its seed, its reports, its counts. Plain
 * C.
 *
 * The simulator runs the kernels of the .cu files on the processor, one CUDA thread at a time, in an order
 * drawn from a seed, and checks each access to shared and device memory. A fault becomes a report: nothing
 * aborts, the launch returns an error. Everything here may be called from any thread; launches take turns.
 */
#ifndef MT_SIM_H
#define MT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pool that packs its pieces leaves this many bytes between two of them (and marks only what was asked
 * for), so that an access just past one piece does not land in the next. */
#define MT_SIM_GUARD 64

/* Multiprocessors of the card that counts are held against: an H100 (SXM) has so many. */
#define MT_SIM_MULTIPROCESSORS 132

/* ---- settings; the environment is read once, before the first use of the simulator ---- */

/* The schedule: order of blocks, and of threads at each barrier and warp operation. Default MT_SIM_SEED,
 * else 1. */
void mt_sim_set_seed(uint64_t seed);
uint64_t mt_sim_seed(void);
/* false, and a report, when MT_SIM_SEED is no whole number and no other seed was set: every launch then
 * fails. */
bool mt_sim_ready(void);
/* How many accesses a thread may make without waiting for anything before it is called stuck; in kernels
 * compiled with -fsanitize-coverage=trace-pc the turns of its loops count too. Default MT_SIM_FUEL, else
 * 2^30. */
void mt_sim_set_fuel(uint64_t fuel);
/* For the handler of a program's timer, installed with SA_SIGINFO and SA_NODEFER, once a second or so;
 * context is the handler's third argument. gcc calls nothing in a loop without statements, which fuel cannot
 * end: this ends the launch when a third signal comes in at the same place, and does not return then. */
void mt_sim_watch(const void *context);
/* Makes device memory unreadable to the host outside launches and copies, so that a host dereference traps.
 * Default MT_SIM_HOST_TRAP. */
void mt_sim_set_host_trap(bool on);
/* Counts memory transactions, bank conflicts and partly executed accesses too, at some cost. Default
 * MT_SIM_DETAIL. */
void mt_sim_set_detail(bool on);
/* How much device memory there is: an allocation past it fails. Default 4 GiB. Before the first use it also
 * decides how many addresses are reserved, about twenty times as many. */
void mt_sim_set_capacity(size_t bytes);

/* The calling thread's current device, as CUDA's runtime keeps one: 0 until it is set. Device memory and
 * kernels are device 0's. A launch, a copy, an allocation or a mark under another number is a report, and
 * fails: on a card it would be an error or reach another card's memory. */
void mt_sim_set_device(int number);
int mt_sim_device(void);

/* ---- reports ---- */

typedef enum mt_sim_kind {
    MT_SIM_RACE_SHARED,      /* two threads of a block, one of them writing, with no barrier between */
    MT_SIM_RACE_GLOBAL,      /* the same in device memory, within a block or between two */
    MT_SIM_UNINITIALISED,    /* a read of memory that nobody wrote */
    MT_SIM_OUT_OF_BOUNDS,    /* an access outside the bytes of every tensor or shared array */
    MT_SIM_USE_AFTER_FREE,   /* an access to memory that was given back */
    MT_SIM_HOST_MEMORY,      /* a kernel dereferences a pointer that is not the device's */
    MT_SIM_MISALIGNED,       /* an access at an address that its size does not divide */
    MT_SIM_DIVERGED_BARRIER, /* __syncthreads that some threads of the block do not reach */
    MT_SIM_WARP_MASK,        /* a warp operation whose mask and lanes do not agree */
    MT_SIM_STUCK,            /* a thread that loops, or looks at the same value, and never goes on */
    MT_SIM_LAUNCH,           /* a launch or a copy that no device accepts */
    MT_SIM_MEMORY,           /* no room on the device, or none on the host for what the simulator keeps */
    MT_SIM_STACK,            /* calls that need more local memory than a thread can have */
    MT_SIM_LOCAL_MEMORY,     /* an access to another thread's local variables */
    MT_SIM_KINDS
} mt_sim_kind;

typedef struct mt_sim_report {
    mt_sim_kind kind;
    uint64_t count;       /* how often the same fault was seen again at the same place */
    const char *kernel;   /* "" for a copy */
    unsigned block[3];    /* of the thread that was caught */
    unsigned thread[3];   /* the thread that was caught, and */
    unsigned other[3];    /* the other one, where there is one: else equal to thread */
    char place[96];       /* "file.cu:31" of the access that was caught, "" when unknown */
    char other_place[96]; /* of the other thread's access */
    char sentence[512];   /* all of it, for a person */
} mt_sim_report;

/* Reports since the last mt_sim_clear, the first of them first; at most 64 different ones are kept. */
int mt_sim_report_count(void);
const mt_sim_report *mt_sim_report_at(int i); /* NULL past the end */
/* The sentence of the first report since the last clear, "" when there was none. */
const char *mt_sim_last_report(void);
/* The sentence of the calling OS thread's latest launch or copy that failed: the message of a failed status.
 */
const char *mt_sim_message(void);
/* Whether there was an MT_SIM_MEMORY among the reports of that call. */
bool mt_sim_no_memory(void);
void mt_sim_clear(void);
/* Called for each new report when the launch or copy that made it ends. NULL takes it away. */
void mt_sim_on_report(void (*callback)(void *context, const mt_sim_report *report), void *context);

/* ---- counts by kernel: numbers of things, never times ---- */

typedef struct mt_sim_stats {
    const char *kernel;
    uint64_t launches, blocks, threads;
    uint64_t barriers;         /* __syncthreads, counted once a block */
    uint64_t warp_operations;  /* shuffles, votes and __syncwarp, counted once a group of lanes */
    uint64_t atomics;          /* counted once a thread */
    uint64_t requests;         /* with detail: accesses to device memory, counted once a warp */
    uint64_t sectors;          /* with detail: 32-byte sectors that those requests touch */
    uint64_t shared_requests;  /* with detail: accesses to shared memory, counted once a warp */
    uint64_t bank_conflicts;   /* with detail: extra passes that those need */
    uint64_t partial_requests; /* with detail: accesses that only part of a warp's threads made: divergence,
                                  where seen */
} mt_sim_stats;

int mt_sim_stats_count(void);
/* The i-th kernel's counts, in the order of first launch; false past the end. */
bool mt_sim_stats_at(int i, mt_sim_stats *stats);
void mt_sim_stats_reset(void);
/* The function of the i-th kernel that was launched, in the order of first launch; NULL past the end.
 * Instances of a template are kernels of their own here, whatever name they share. */
const void *mt_sim_launched(int i);

typedef struct mt_sim_memory {
    size_t capacity, held, peak;
    uint64_t allocations, uploads, downloads, copies; /* calls */
    uint64_t upload_bytes, download_bytes, copy_bytes;
} mt_sim_memory;
mt_sim_memory mt_sim_memory_stats(void);

/* ---- memory; launch.cuh gives these short names in each .cu ---- */

/* Like cudaMalloc: aligned to 256 and never to 512, not cleared; NULL when the capacity is reached. name is
 * for reports, NULL for none. */
void *mt_sim_alloc(size_t bytes, const char *name);
/* Memory of the host that copies to the device start from; kept until the program ends. NULL when there is
 * none. */
void *mt_sim_pinned(size_t bytes);
bool mt_sim_free(void *pointer); /* false, and a report, when this is no allocation's start */
/* Says that the bytes are, or are no longer, a tensor of their own. Live bytes are uninitialised until
 * written. */
void mt_sim_mark(void *pointer, size_t bytes, bool live);
void mt_sim_name(void *pointer, const char *name); /* how reports call the piece that holds pointer */
/* false, and a report, when the device range is not live or (download, copy) holds bytes that nobody wrote.
 */
bool mt_sim_upload(void *to, const void *from_host, size_t bytes);
bool mt_sim_download(void *to_host, const void *from, size_t bytes);
bool mt_sim_copy(void *to, const void *from, size_t bytes);
bool mt_sim_fill(void *to, int byte, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
