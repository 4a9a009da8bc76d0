/* ops_cuda/sim/vectors.cpp - copies of float4 and its family, each one access of the whole vector.
 *
 * They stand here and not in the header, so that the address they return to is the kernel's line.
 */
#include "internal.h"
#include "vectors.cuh"

namespace sim {
inline namespace mt_vectors {

#define MT_SIM_COPIES(name, type)                                                   \
    name::name(const name &from)                                                    \
    {                                                                               \
        mt_sim::copy_vector(this, &from, sizeof from, __builtin_return_address(0)); \
    }                                                                               \
    name &name::operator=(const name &from)                                         \
    {                                                                               \
        mt_sim::copy_vector(this, &from, sizeof from, __builtin_return_address(0)); \
        return *this;                                                               \
    }

MT_SIM_VECTORS(MT_SIM_COPIES, MT_SIM_COPIES)

} // namespace mt_vectors
} // namespace sim
