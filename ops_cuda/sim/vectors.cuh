/* ops_cuda/sim/vectors.cuh - float4 and its family, with CUDA's sizes and alignments.
 *
 * A copy of one is a single access of its full size, as on the card. sim/vectors.cpp makes it, out of line,
 * so that an address that is not aligned is caught and the line told is the kernel's. Members may be read one
 * by one.
 */
#ifndef MT_SIM_VECTORS_CUH
#define MT_SIM_VECTORS_CUH

namespace sim {
/* Their copies have external linkage, and a program may have a namespace sim of its own. */
inline namespace mt_vectors {

#define MT_SIM_VECTOR_COPY(name) \
    name() = default;            \
    name(const name &from);      \
    name &operator=(const name &from);
#define MT_SIM_VECTOR2(name, type)           \
    struct alignas(2 * sizeof(type)) name {  \
        type x, y;                           \
        name(type a, type b) : x(a), y(b) {} \
        MT_SIM_VECTOR_COPY(name)             \
    };                                       \
    static inline name make_##name(type x, type y) { return name(x, y); }
#define MT_SIM_VECTOR4(name, type)                                       \
    struct alignas(4 * sizeof(type)) name {                              \
        type x, y, z, w;                                                 \
        name(type a, type b, type c, type d) : x(a), y(b), z(c), w(d) {} \
        MT_SIM_VECTOR_COPY(name)                                         \
    };                                                                   \
    static inline name make_##name(type x, type y, type z, type w) { return name(x, y, z, w); }

/* All of them: two(name, type) for pairs, four(name, type) for the rest. */
#define MT_SIM_VECTORS(two, four)                                                                         \
    two(float2, float) two(int2, int) two(uint2, unsigned) two(double2, double) two(longlong2, long long) \
        four(float4, float) four(int4, int) four(uint4, unsigned) four(uchar4, unsigned char)

MT_SIM_VECTORS(MT_SIM_VECTOR2, MT_SIM_VECTOR4)

} // namespace mt_vectors
} // namespace sim

#endif
