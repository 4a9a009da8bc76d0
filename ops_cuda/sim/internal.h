/* ops_cuda/sim/internal.h - what the simulator's files share: stamps, shadow cells, threads, the block that
 * runs.
 *
 * Time is counted in stamps, which only grow: a launch, a block and each barrier interval begin at a stamp of
 * their own, and each access is kept with its thread's stamp. Blocks run one after another, so a stamp alone
 * tells launch, block and interval, and nothing has to be cleared between them. One launch runs at a time,
 * under `lock`.
 */
#ifndef MT_SIM_INTERNAL_H
#define MT_SIM_INTERNAL_H

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <vector>
#include "device.h"
#include "fiber.h"
#include "sim.h"

namespace mt_sim {

typedef uint32_t u32;
typedef uint64_t u64;

enum { WARP = 32, MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / WARP };

struct code_site {
    const char *file;
    int line;
    const void *code; /* where file is null: a return address, from which lines.cpp knows the line */
};

/* ---- shadow: for each 4 bytes of shared and device memory (a granule) a state and a cell ---- */

/* state: bits 0-3 which bytes are live, 4-7 which were written, 8 that each byte has a cell
 * (shadow.cpp). */
enum : uint16_t { LIVE = 0x0f, WRITTEN = 0xf0, USABLE = 0xff, SPLIT = 0x100 };

/* A thread's number within its block (10 bits) and its code place relative to the kernel (22 bits, 0:
 * unknown). */
struct accessor {
    u32 bits;
    u32 thread() const { return bits & 1023; }
    int place() const { return (int)bits >> 10; }
};

/* Readers of a granule, as many as a later writer needs: the warp that read last, a reader of another warp of
 * the same interval, a reader of an earlier block. Stamps of 0 say nobody. */
struct reader_set {
    u32 stamp;
    accessor who;    /* the first of the lanes that read at `stamp`, */
    u32 lanes;       /* all of which are here */
    u32 other_stamp; /* a reader of another warp than who's */
    uint16_t other, earlier;
    u32 earlier_stamp; /* a reader of an earlier block of the launch */
};

struct shadow_cell {
    u32 stamp; /* of the last write */
    accessor writer;
    reader_set readers;
};
static_assert(sizeof(shadow_cell) == 32, "a cell is half a cache line");

struct memory_range {
    uintptr_t base;
    size_t size;
};
extern memory_range g_memory; /* shared memory first, then device memory: addresses reserved once */
extern size_t g_shared_size;  /* of the part that is shared memory */
extern size_t g_fast_size;    /* of the part that the hooks check themselves: all, or none with detail */
extern uint16_t *g_state;     /* one per granule */
extern shadow_cell *g_cells;  /* one per granule */

/* ---- order between threads ---- */

/* What a thread knows of others through atomics: all that was released to variable `var` before its entry
 * `length`. */
struct acquisition {
    u32 var, length;
};

/* What of a block a fence has made ready for release: writes with a stamp below these. */
struct fence_stamps {
    u32 own, warp, all;
};

struct warp_call {
    int kind;
    u32 mask;
    u64 value;
    int argument, width;
    code_site site;
    u64 result;
};

enum class thread_state : uint8_t { ready, at_barrier, at_warp, done };

struct cuda_thread {
    u32 stamp;      /* that its accesses are kept with */
    u32 warp_known; /* what its whole warp did before this stamp is ordered before it */
    u32 index[3];
    thread_state state;
    sim_fiber *fiber;
    code_site site; /* of the barrier that it waits at, or its last one */
    int predicate, barrier_result;
    warp_call call;
    fence_stamps fence;
    u64 spent;           /* of its fuel, since it last waited for anything */
    u32 slices;          /* of fuel that this took, and */
    u32 spins;           /* how often it has found spin_value at spin_at, one time after the other */
    const void *spin_at; /* an atomic's address, or a volatile read's */
    u64 spin_value;
    std::vector<acquisition> acquired;
};

struct cuda_warp {
    bool partial;          /* a part of its lanes synchronised since the last barrier: `known` holds */
    u32 waiting;           /* lanes in a warp operation */
    u32 live;              /* lanes that have not left the kernel */
    u32 all;               /* lanes that the block has */
    u32 known[WARP][WARP]; /* [me][you]: what you did before this stamp is ordered before me */
};

/* What the hooks read at each access. */
struct hook_state {
    u32 thread, warp, lane_bit;
    u32 stamp, interval, block, launch;
    uintptr_t code; /* the kernel's address */
    cuda_thread *self;
    int64_t fuel;        /* left of the running thread's slice */
    uintptr_t stack_end; /* which no call's frame may begin below */
};

struct kernel_record;

struct running_block {
    const mt_sim_launch *launch;
    kernel_record *kernel;
    u32 index[3];
    u32 threads, warps, live;
    u32 clock;    /* the latest stamp given out */
    bool fenced;  /* a thread called a fence since the last barrier */
    u32 fences;   /* which snapshot of all threads' fences the last barrier made, 0: none */
    bool atomics; /* a thread acquired something since the last barrier */
    u64 waits;    /* of all its threads, so far */
    std::vector<acquisition> acquired; /* by the block as a whole, at the last barrier */
};

extern std::recursive_mutex g_lock;
extern hook_state g_now;
extern running_block g_block;
extern cuda_thread g_threads[MAX_THREADS];
extern cuda_warp g_warps[MAX_WARPS];
/* &g_now in the OS thread that runs a kernel, while it does; else null, and hooks return at once. */
extern __thread hook_state *t_now;

/* Stamps and first stamps of the blocks of this launch, in the order in which they ran. */
struct block_run {
    u32 stamp, linear;
};
extern std::vector<block_run> g_block_runs;
const block_run *block_of_stamp(u32 stamp);
void block_index_of(u32 linear, unsigned index[3]);
void thread_index_of(u32 thread, unsigned index[3]);

/* ---- launch.cpp ---- */
/* A number that the environment may set, from least to most. */
struct number_setting {
    u64 value;
    u64 least, most;
    const char *variable; /* "MT_SIM_SEED" */
    const char *sentence; /* printf's format, of wrong, least and most; report.cpp tells faults apart by it */
    char wrong[64];       /* the variable's text where it gives none, until set; else "" */
    void read(void);      /* from the environment, where "" is as good as no variable */
    void set(u64 number); /* the nearest of least .. most */
    bool known(void) const; /* false, and a report, when `wrong` holds something */
};
void setup_once(void);
bool device_current(const char *what); /* false, and a report, when the calling thread's is another one */

/* ---- scheduler.cpp ---- */
/* All blocks of g_block's launch, in an order that random gives. */
void run_grid(const mt_sim_launch *launch, u64 random);
/* Whether a step that makes a container grow found the memory for that. An exception goes no further: kernels
 * and the program know none. */
template <class F> bool attempt(F step)
{
    try {
        step();
        return true;
    } catch (const std::exception &) { /* bad_alloc, or length_error */
        return false;
    }
}
/* A report that the host has no memory for what the simulator keeps of the running launch, which is stopped.
 * In a CUDA thread it does not return. */
void out_of_memory(void);
u32 random_below(u32 n);
void make_ready(u32 thread);
/* Leaves the running thread, whose state says what for, until someone makes it ready. */
void pause_here(const code_site &site);
void yield_here(void);               /* lets the other threads run that can */
[[noreturn]] void stop_launch(void); /* after a report of an access that must not happen */
bool same_site(const code_site &a, const code_site &b);

/* ---- fuel.cpp ---- */
int64_t fuel_slice(const cuda_thread *thread); /* what it may use before the others run */
void out_of_fuel(const code_site &site);       /* the running thread's slice is used up */
void fuel_wait(const code_site &site);         /* it waits, and so is in no endless loop of its own */
extern number_setting g_fuel;
/* The running thread has found value at an address that another one may change. */
void spin(const void *at, u64 value, const code_site &site);
void spin_ends(void); /* it has changed something itself */
[[noreturn]] void fail_deep(const void *code);

/* ---- warp.cpp ---- */
void warp_start(u32 warp, u32 lanes);
bool warp_resolve_stuck(
    void); /* finishes warp operations that cannot complete, with a report; whether there was one */

/* ---- order.cpp ---- */
/* Whether what `thread` did at `stamp` is ordered before the running thread's next access. from: accesses
 * before this stamp do not matter. atomic: it was an atomic, which may itself have been what released. */
bool ordered(u32 thread, u32 stamp, u32 from, bool atomic);
void order_launch_start(void);
void order_block_start(void);
void order_barrier(void);
/* An access that orders: what it reads acquires what was released there, what it writes releases what is
 * fenced. */
void order_atomic(const void *address, bool reads, bool writes);
bool order_fenced(void); /* whether the running thread's next atomic releases anything */
void order_join_lanes(u32 first_thread, u32 lanes);

/* ---- shadow.cpp; the inline part is in shadow.h ---- */
/* What hooks.cpp's fast path leaves over: an access of any size, granule by granule; no return when it is
 * fatal. */
void check_access(uintptr_t address, size_t bytes, bool write, const void *code);
void check_atomic(uintptr_t address, size_t bytes, const code_site *site);
void check_volatile(uintptr_t address, size_t bytes, bool write, const void *code);
[[noreturn]] void fail_misaligned(uintptr_t address, size_t bytes, bool write, bool atomic, const void *code,
                                  const code_site *site);
/* An address that is neither in shared nor in device memory: arguments, constants, local memory, or a fault.
 */
void check_outside(uintptr_t address, size_t bytes, bool write, const void *code);
/* Copies a float4 or the like as one access; hooks.cpp. */
void copy_vector(void *to, const void *from, size_t bytes, const void *code);

/* ---- memory.cpp ---- */
/* The piece that an offset lies in or, when in none, the one that ends last before it. */
struct memory_piece {
    size_t offset, bytes;
    size_t align; /* what its declaration or the allocator promises of its address */
    bool whole;   /* an allocation that no mark has cut up */
    char name[32];
};
const memory_piece *piece_near(size_t offset);
const memory_piece *piece_after(size_t offset); /* the first one that begins behind it, or null */
const memory_piece *piece_freed(size_t offset); /* the piece given back last that held offset, or null */
/* Sets the bytes' state to 0, LIVE or LIVE | WRITTEN; bytes that share a granule with them keep theirs. */
void mark_state(size_t offset, size_t bytes, uint16_t state);
bool memory_reserve(void);
bool memory_wild(uintptr_t address); /* outside, but so near that only an index can have led there */
void memory_open(
    bool open); /* lets this OS thread's code at device memory, or not, when the host trap is on */
void memory_forget_stamps(void);

/* ---- shared.cpp ---- */
bool shared_launch_start(size_t dynamic_bytes); /* false: more than a block may have */
void shared_block_start(void);
const memory_piece *shared_piece_near(size_t offset);
const memory_piece *shared_piece_after(size_t offset);
/* The array that held offset in the launch before this one, or null; of which kernel. */
const memory_piece *shared_piece_ended(size_t offset, const char **kernel);

/* ---- report.cpp ---- */
struct access_fault {
    mt_sim_kind kind;
    size_t offset; /* of the first byte in g_memory, or an address for HOST_MEMORY */
    size_t bytes;
    bool write, atomic;
    const void *code;      /* where, or */
    const code_site *site; /* where, when known without looking it up */
    bool has_other, other_write, other_atomic;
    accessor other;
    u32 other_stamp;
};
void report_access(const access_fault &fault);
/* A fault of threads, not of an access. thread and other: numbers in the running block, negative where there
 * is none. */
void report_threads(mt_sim_kind kind, int thread, const code_site *site, int other,
                    const code_site *other_site, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* A number for the place of an atomic, which stands in for a code place in an accessor; 0 when there are too
 * many. */
u32 site_number(const code_site *site);
/* Ends a launch or a copy, which began when faults_seen was so: keeps the thread's message, calls the
 * program's callback for new reports. Whether there was no fault. */
bool call_end(u64 faults_before);
/* How many faults were seen, those of a place that is already reported included. */
u64 faults_seen(void);

/* lines.cpp: writes "file.cu:31" for a return address; false when nothing is known. */
bool line_of(const void *code, char *text, size_t size);

/* ---- counters.cpp ---- */
struct kernel_record {
    mt_sim_stats stats;
    char name[128];
};
kernel_record *kernel_named(const char *name); /* null: no memory for another one */
void count_launch(const void *code); /* of the kernel at that address; throws where there is no memory */
extern bool g_detail;
void count_access(uintptr_t address, size_t bytes, const void *code);
void count_interval_end(void);

} // namespace mt_sim

#endif
