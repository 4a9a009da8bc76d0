/* ops_cuda/sim/fiber.cpp - stacks, and the switch between them.
 *
 * Layer: the bottom of the simulator; it knows nothing of CUDA. The switch keeps what a C call must keep and
 * nothing else (kernels do not change the rounding mode). Stacks stand in one reserved range, each above a
 * page that traps an overflow, and begin at different distances from their top so that hot frames do not
 * share cache sets.
 */
#include "fiber.h"
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(MT_SIM_UCONTEXT)
#define MT_SIM_UCONTEXT
#endif
#ifdef MT_SIM_UCONTEXT
#include <ucontext.h>
#endif

namespace mt_sim {

enum { STACK_BYTES = 2 * 1024 * 1024, STACKS = 1024, GUARD_BYTES = 64 * 1024 };

struct sim_fiber {
#ifdef MT_SIM_UCONTEXT
    ucontext_t context;
#else
    void *stack_pointer;
#endif
    void (*entry)(void *);
    void *argument;
    int number;
};

static sim_fiber s_fibers[STACKS];
static sim_fiber *s_free[STACKS];
static int s_free_count, s_made;
static uintptr_t s_stacks;
static sim_fiber *s_starting; /* handed to the first frame of a fiber */

#ifdef MT_SIM_UCONTEXT
static ucontext_t s_scheduler;
#else
static void *s_scheduler;

extern "C" void mt_sim_switch(void **save, void *load);

#ifdef __APPLE__
#define MT_SIM_SYMBOL(name) "_" #name
#define MT_SIM_HIDE(name)   ".private_extern _" #name "\n"
#else
#define MT_SIM_SYMBOL(name) #name
#define MT_SIM_HIDE(name)   ".hidden " #name "\n"
#endif

/* clang-format off */
#if defined(__x86_64__)
enum { SAVED_WORDS = 6 };
__asm__(".text\n.p2align 4\n.globl " MT_SIM_SYMBOL(mt_sim_switch) "\n"
        MT_SIM_HIDE(mt_sim_switch) MT_SIM_SYMBOL(mt_sim_switch) ":\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n");
#else
enum { SAVED_WORDS = 20 };
__asm__(".text\n.p2align 4\n.globl " MT_SIM_SYMBOL(mt_sim_switch) "\n"
        MT_SIM_HIDE(mt_sim_switch) MT_SIM_SYMBOL(mt_sim_switch) ":\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n");
#endif
/* clang-format on */
#endif

/* The first frame of every fiber. */
static void first_frame()
{
    sim_fiber *self = s_starting;
    self->entry(self->argument);
    __builtin_trap();
}

static uintptr_t stack_of(int number) { return s_stacks + (size_t)number * STACK_BYTES; }

/* Sets the fiber up so that the next resume enters first_frame. */
static void prepare(sim_fiber *fiber)
{
#ifdef MT_SIM_UCONTEXT
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = (void *)(stack_of(fiber->number) + GUARD_BYTES);
    fiber->context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, first_frame, 0);
#else
    size_t colour = (size_t)(fiber->number & 31) * 128;
    void **top = (void **)(stack_of(fiber->number) + STACK_BYTES - 64 - colour);
#if defined(__x86_64__)
    *--top = nullptr; /* where a caller's return address would be: the stack is aligned as a call leaves it */
    *--top = (void *)first_frame;
    for (int i = 0; i < SAVED_WORDS; ++i) *--top = nullptr;
#else
    top -= SAVED_WORDS;
    for (int i = 0; i < SAVED_WORDS; ++i) top[i] = nullptr;
    top[11] = (void *)first_frame; /* x30, to which the switch returns */
#endif
    fiber->stack_pointer = top;
#endif
}

sim_fiber *fiber_take(void (*entry)(void *), void *argument)
{
    if (!s_stacks) {
        void *base = mmap(nullptr, (size_t)STACKS * STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) return nullptr;
        s_stacks = (uintptr_t)base;
    }
    sim_fiber *fiber;
    if (s_free_count > 0) {
        fiber = s_free[--s_free_count];
    } else if (s_made < STACKS) {
        fiber = &s_fibers[s_made];
        fiber->number = s_made++;
        mprotect((void *)stack_of(fiber->number), GUARD_BYTES, PROT_NONE);
    } else {
        return nullptr;
    }
    fiber->entry = entry;
    fiber->argument = argument;
    prepare(fiber);
    return fiber;
}

void fiber_resume(sim_fiber *fiber)
{
    s_starting = fiber;
#ifdef MT_SIM_UCONTEXT
    swapcontext(&s_scheduler, &fiber->context);
#else
    mt_sim_switch(&s_scheduler, fiber->stack_pointer);
#endif
}

void fiber_pause(sim_fiber *self)
{
#ifdef MT_SIM_UCONTEXT
    swapcontext(&self->context, &s_scheduler);
#else
    mt_sim_switch(&self->stack_pointer, s_scheduler);
#endif
}

void fiber_release(sim_fiber *fiber) { s_free[s_free_count++] = fiber; }

uintptr_t fiber_stack_end(const sim_fiber *fiber)
{
    return stack_of(fiber->number) + STACK_BYTES - LOCAL_MEMORY;
}

bool fiber_has(const sim_fiber *fiber, uintptr_t address)
{
    return address - stack_of(fiber->number) < STACK_BYTES;
}

bool fiber_owns(uintptr_t address) { return address - s_stacks < (size_t)STACKS * STACK_BYTES && s_stacks; }

} // namespace mt_sim
