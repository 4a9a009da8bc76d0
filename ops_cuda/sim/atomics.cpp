/* ops_cuda/sim/atomics.cpp - atomic operations: checked as accesses that race with plain ones only.
 *
 * Only one CUDA thread runs at a time, so the operation itself is plain. One that changes nothing may be part
 * of a loop that waits for another thread (fuel.cpp).
 */
#include "internal.h"
#include <cstring>

using namespace mt_sim;

namespace {

void before(const void *at, size_t bytes, const code_site &site)
{
    uintptr_t address = (uintptr_t)at;
    if (--g_now.fuel < 0) out_of_fuel(site);
    if (address % bytes) fail_misaligned(address, bytes, true, true, nullptr, &site);
    check_atomic(address, bytes, &site);
    order_atomic(at, true, true);
    g_block.kernel->stats.atomics++;
}

template <class T> void after(const T *at, T old, const code_site &site)
{
    u64 was = 0, is = 0;
    memcpy(&was, &old, sizeof old);
    memcpy(&is, at, sizeof old);
    if (was == is)
        spin(at, is, site);
    else
        spin_ends();
}

template <class T> T whole(int kind, T old, T value, T compare)
{
    switch (kind) {
    case MT_SIM_CAS: return old == compare ? value : old;
    case MT_SIM_EXCH: return value;
    case MT_SIM_MIN: return value < old ? value : old;
    case MT_SIM_MAX: return old < value ? value : old;
    case MT_SIM_AND: return old & value;
    case MT_SIM_OR: return old | value;
    case MT_SIM_XOR: return old ^ value;
    case MT_SIM_INC: return old >= value ? 0 : old + 1;
    case MT_SIM_DEC: return old == 0 || old > value ? value : old - 1;
    default: return (T)((unsigned long long)old + (unsigned long long)value);
    }
}

template <class T> T integer(int kind, T *at, T value, T compare, const char *file, int line)
{
    code_site site = {file, line, nullptr};
    before(at, sizeof *at, site);
    T old = *at;
    *at = whole(kind, old, value, compare);
    after(at, old, site);
    return old;
}

template <class T> T real(int kind, T *at, T value, const char *file, int line)
{
    code_site site = {file, line, nullptr};
    before(at, sizeof *at, site);
    T old = *at;
    *at = kind == MT_SIM_EXCH ? value : old + value;
    after(at, old, site);
    return old;
}

} // namespace

extern "C" {

int mt_sim_atomic_i32(int kind, int *at, int value, int compare, const char *file, int line)
{
    return integer(kind, at, value, compare, file, line);
}
unsigned mt_sim_atomic_u32(int kind, unsigned *at, unsigned value, unsigned compare, const char *file,
                           int line)
{
    return integer(kind, at, value, compare, file, line);
}
unsigned long long mt_sim_atomic_u64(int kind, unsigned long long *at, unsigned long long value,
                                     unsigned long long compare, const char *file, int line)
{
    return integer(kind, at, value, compare, file, line);
}
long long mt_sim_atomic_i64(int kind, long long *at, long long value, long long compare, const char *file,
                            int line)
{
    return integer(kind, at, value, compare, file, line);
}
float mt_sim_atomic_f32(int kind, float *at, float value, float, const char *file, int line)
{
    return real(kind, at, value, file, line);
}
double mt_sim_atomic_f64(int kind, double *at, double value, double, const char *file, int line)
{
    return real(kind, at, value, file, line);
}

} // extern "C"
