/* tests/failing_new.cpp - C++'s operator new, whose k-th call fails when test_sim_backend.c asks for that:
 * the simulator's containers come here. */
#include <cstdint>
#include <cstdlib>
#include <new>

static uint64_t s_calls, s_fail_at;

/* Makes the k-th call from now fail (1 is the next); 0 turns that off. */
extern "C" void failing_new_at(uint64_t k) { s_fail_at = k ? s_calls + k : 0; }

/* How many calls there were. */
extern "C" uint64_t failing_new_calls(void) { return s_calls; }

void *operator new(size_t bytes, const std::nothrow_t &) noexcept
{
    return ++s_calls == s_fail_at ? nullptr : malloc(bytes ? bytes : 1);
}

void *operator new(size_t bytes)
{
    void *memory = operator new(bytes, std::nothrow);
    if (!memory) throw std::bad_alloc();
    return memory;
}

void operator delete(void *memory) noexcept { free(memory); }

void operator delete(void *memory, size_t) noexcept { free(memory); }

void operator delete(void *memory, const std::nothrow_t &) noexcept { free(memory); }
