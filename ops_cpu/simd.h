/* ops_cpu/simd.h - one vector of numbers, whatever the instruction set: the few operations that the kernels
 * need.
 *
 * The compiler's flags choose the section: 512 bits with AVX-512, 256 with AVX2 and FMA, 128 with NEON, else
 * 128 bits in the vector extension of gcc and clang, which is SSE2 on x86-64; MT_SIMD_PORTABLE asks for that
 * one. Nothing needs an aligned address. A mask names the first n lanes; lanes outside it are never read or
 * written, and a masked load fills them with 0.
 */
#ifndef MT_SIMD_H
#define MT_SIMD_H

#include <string.h>

#include "tensor/base.h"

/* The instruction set by name, which is its row of tuning.h, the bytes of a vector, and the number of
 * registers. */
#if defined(__ARM_NEON) && defined(__aarch64__) && !defined(MT_SIMD_PORTABLE)
#define MT_SIMD_NAME      NEON
#define MT_SIMD_BYTES     16
#define MT_SIMD_REGISTERS 32
#define MT_SIMD_NEON
#elif defined(__AVX512F__) && defined(__AVX512DQ__)
#define MT_SIMD_NAME      AVX512
#define MT_SIMD_BYTES     64
#define MT_SIMD_REGISTERS 32
#elif defined(__AVX2__) && defined(__FMA__)
#define MT_SIMD_NAME      AVX2
#define MT_SIMD_BYTES     32
#define MT_SIMD_REGISTERS 16
#else
#define MT_SIMD_NAME      BASE
#define MT_SIMD_BYTES     16
#define MT_SIMD_REGISTERS 16
#endif

enum {
    MT_LANES = MT_SIMD_BYTES / (int)sizeof(mt_real),
    MT_PIECE = 16 / (int)sizeof(mt_real), /* lanes in 128 bits: what the shuffles below work within */
};

/* Asks for a loop with a constant count to be unrolled wholly, so that arrays of vectors become registers. */
#if defined(__clang__)
#define MT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MT_UNROLL _Pragma("GCC unroll 16")
#endif
#define MT_ALWAYS_INLINE static inline __attribute__((always_inline, unused))

#if MT_SIMD_BYTES > 16

#include <immintrin.h>

/* The names of the intrinsics differ by a suffix: ps for float, pd for double. */
#ifdef MT_DOUBLE
#define MT_MM256(name) _mm256_##name##_pd
#define MT_MM512(name) _mm512_##name##_pd
#else
#define MT_MM256(name) _mm256_##name##_ps
#define MT_MM512(name) _mm512_##name##_ps
#endif

#if MT_SIMD_BYTES == 64

#ifdef MT_DOUBLE
typedef __m512d mt_vec;
typedef __mmask8 mt_mask;
#else
typedef __m512 mt_vec;
typedef __mmask16 mt_mask;
#endif

MT_ALWAYS_INLINE mt_vec mt_vec_zero(void) { return MT_MM512(setzero)(); }
MT_ALWAYS_INLINE mt_vec mt_vec_set(mt_real x) { return MT_MM512(set1)(x); }
MT_ALWAYS_INLINE mt_vec mt_vec_load(const mt_real *p) { return MT_MM512(loadu)(p); }
MT_ALWAYS_INLINE void mt_vec_store(mt_real *p, mt_vec v) { MT_MM512(storeu)(p, v); }
MT_ALWAYS_INLINE mt_vec mt_vec_add(mt_vec a, mt_vec b) { return MT_MM512(add)(a, b); }
MT_ALWAYS_INLINE mt_vec mt_vec_fma(mt_vec a, mt_vec b, mt_vec c) { return MT_MM512(fmadd)(a, b, c); }
MT_ALWAYS_INLINE mt_mask mt_mask_first(int64_t n)
{
    return n >= MT_LANES ? (mt_mask)-1 : (mt_mask)((1u << (n < 0 ? 0 : n)) - 1u);
}
MT_ALWAYS_INLINE mt_vec mt_vec_load_masked(const mt_real *p, mt_mask k)
{
    return MT_MM512(maskz_loadu)(k, p);
}
/* Stores the first n lanes, 0 <= n <= MT_LANES. */
MT_ALWAYS_INLINE void mt_vec_store_first(mt_real *p, int64_t n, mt_vec v)
{
    MT_MM512(mask_storeu)(p, mt_mask_first(n), v);
}

/* Half a vector: on processors that pass 512 bits through units of 256 it takes half the time. */
#ifdef MT_DOUBLE
typedef __m256d mt_half;
#else
typedef __m256 mt_half;
#endif
MT_ALWAYS_INLINE mt_half mt_half_zero(void) { return MT_MM256(setzero)(); }
MT_ALWAYS_INLINE mt_half mt_half_add(mt_half a, mt_half b) { return MT_MM256(add)(a, b); }
MT_ALWAYS_INLINE mt_half mt_half_fma(mt_half a, mt_half b, mt_half c) { return MT_MM256(fmadd)(a, b, c); }
/* The lower half of v; and h with zeros as the upper one. */
#ifdef MT_DOUBLE
MT_ALWAYS_INLINE mt_half mt_half_of(mt_vec v) { return _mm512_castpd512_pd256(v); }
MT_ALWAYS_INLINE mt_vec mt_half_widen(mt_half h) { return _mm512_zextpd256_pd512(h); }
#else
MT_ALWAYS_INLINE mt_half mt_half_of(mt_vec v) { return _mm512_castps512_ps256(v); }
MT_ALWAYS_INLINE mt_vec mt_half_widen(mt_half h) { return _mm512_zextps256_ps512(h); }
#endif
MT_ALWAYS_INLINE mt_half mt_half_load_masked(const mt_real *p, mt_mask k)
{
    return MT_MM256(maskz_loadu)((__mmask8)k, p);
}
MT_ALWAYS_INLINE void mt_half_store_first(mt_real *p, int64_t n, mt_half v)
{
    MT_MM256(mask_storeu)(p, (__mmask8)mt_mask_first(n), v);
}

#else /* 256 bits */

#ifdef MT_DOUBLE
typedef __m256d mt_vec;
#else
typedef __m256 mt_vec;
#endif
typedef __m256i mt_mask;

MT_ALWAYS_INLINE mt_vec mt_vec_zero(void) { return MT_MM256(setzero)(); }
MT_ALWAYS_INLINE mt_vec mt_vec_set(mt_real x) { return MT_MM256(set1)(x); }
MT_ALWAYS_INLINE mt_vec mt_vec_load(const mt_real *p) { return MT_MM256(loadu)(p); }
MT_ALWAYS_INLINE void mt_vec_store(mt_real *p, mt_vec v) { MT_MM256(storeu)(p, v); }
MT_ALWAYS_INLINE mt_vec mt_vec_add(mt_vec a, mt_vec b) { return MT_MM256(add)(a, b); }
MT_ALWAYS_INLINE mt_vec mt_vec_fma(mt_vec a, mt_vec b, mt_vec c) { return MT_MM256(fmadd)(a, b, c); }
MT_ALWAYS_INLINE mt_mask mt_mask_first(int64_t n)
{
#ifdef MT_DOUBLE
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
#else
    int first = n < 0 ? 0 : n > MT_LANES ? MT_LANES : (int)n;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#endif
}
MT_ALWAYS_INLINE mt_vec mt_vec_load_masked(const mt_real *p, mt_mask k) { return MT_MM256(maskload)(p, k); }
/* In halves: a masked store of AVX takes a dozen cycles on some processors. */
MT_ALWAYS_INLINE void mt_vec_store_first(mt_real *p, int64_t n, mt_vec v)
{
    if (n == MT_LANES) {
        mt_vec_store(p, v);
        return;
    }
#ifdef MT_DOUBLE
    __m128d q = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, q);
        q = _mm256_extractf128_pd(v, 1);
    }
    if (n & 1) _mm_store_sd(p + (n & 2), q);
#else
    __m128 q = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, q);
        q = _mm256_extractf128_ps(v, 1);
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(p + (n & 4)), q);
        q = _mm_movehl_ps(q, q);
    }
    if (n & 1) _mm_store_ss(p + (n & 6), q);
#endif
}

#endif

#elif defined(MT_SIMD_NEON)

#include <arm_neon.h>

/* The names of the intrinsics differ by a suffix. */
#ifdef MT_DOUBLE
#define MT_NEON(name) name##_f64
typedef float64x2_t mt_vec;
#else
#define MT_NEON(name) name##_f32
typedef float32x4_t mt_vec;
#endif
typedef int mt_mask; /* n */

MT_ALWAYS_INLINE mt_vec mt_vec_zero(void) { return MT_NEON(vdupq_n)(0); }
MT_ALWAYS_INLINE mt_vec mt_vec_set(mt_real x) { return MT_NEON(vdupq_n)(x); }
MT_ALWAYS_INLINE mt_vec mt_vec_load(const mt_real *p) { return MT_NEON(vld1q)(p); }
MT_ALWAYS_INLINE void mt_vec_store(mt_real *p, mt_vec v) { MT_NEON(vst1q)(p, v); }
MT_ALWAYS_INLINE mt_vec mt_vec_add(mt_vec a, mt_vec b) { return MT_NEON(vaddq)(a, b); }
MT_ALWAYS_INLINE mt_vec mt_vec_fma(mt_vec a, mt_vec b, mt_vec c) { return MT_NEON(vfmaq)(c, a, b); }
MT_ALWAYS_INLINE mt_mask mt_mask_first(int64_t n) { return n < 0 ? 0 : n > MT_LANES ? MT_LANES : (int)n; }
MT_ALWAYS_INLINE mt_vec mt_vec_load_masked(const mt_real *p, mt_mask k)
{
    if (k == MT_LANES) return mt_vec_load(p);
#ifdef MT_DOUBLE
    return k == 1 ? vld1q_lane_f64(p, mt_vec_zero(), 0) : mt_vec_zero();
#else
    float32x2_t low = vdup_n_f32(0), high = low;
    if (k >= 2) low = vld1_f32(p);
    if (k == 1) low = vld1_lane_f32(p, low, 0);
    if (k == 3) high = vld1_lane_f32(p + 2, high, 0);
    return vcombine_f32(low, high);
#endif
}
MT_ALWAYS_INLINE void mt_vec_store_first(mt_real *p, int64_t n, mt_vec v)
{
    if (n == MT_LANES) {
        mt_vec_store(p, v);
        return;
    }
#ifdef MT_DOUBLE
    if (n == 1) vst1q_lane_f64(p, v, 0);
#else
    float32x2_t q = vget_low_f32(v);
    if (n & 2) {
        vst1_f32(p, q);
        q = vget_high_f32(v);
    }
    if (n & 1) vst1_lane_f32(p + (n & 2), q, 0);
#endif
}

#else /* 128 bits in the vector extension */

typedef mt_real mt_vec __attribute__((vector_size(16)));
typedef int mt_mask;

MT_ALWAYS_INLINE mt_vec mt_vec_zero(void) { return (mt_vec){0}; }
MT_ALWAYS_INLINE mt_vec mt_vec_set(mt_real x)
{
#ifdef MT_DOUBLE
    return (mt_vec){x, x};
#else
    return (mt_vec){x, x, x, x};
#endif
}
MT_ALWAYS_INLINE mt_vec mt_vec_load(const mt_real *p)
{
    mt_vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
MT_ALWAYS_INLINE void mt_vec_store(mt_real *p, mt_vec v) { memcpy(p, &v, sizeof v); }
MT_ALWAYS_INLINE mt_vec mt_vec_add(mt_vec a, mt_vec b) { return a + b; }

/* Rounded twice: SSE2 has no fused multiply-add. */
MT_ALWAYS_INLINE mt_vec mt_vec_fma(mt_vec a, mt_vec b, mt_vec c) { return a * b + c; }
MT_ALWAYS_INLINE mt_mask mt_mask_first(int64_t n) { return n < 0 ? 0 : n > MT_LANES ? MT_LANES : (int)n; }
MT_ALWAYS_INLINE mt_vec mt_vec_load_masked(const mt_real *p, mt_mask k)
{
    if (k == MT_LANES) return mt_vec_load(p);
    mt_vec v = mt_vec_zero();
    for (int i = 0; i < MT_LANES; i++)
        if (i < k) v[i] = p[i];
    return v;
}
MT_ALWAYS_INLINE void mt_vec_store_first(mt_real *p, int64_t n, mt_vec v)
{
    for (int i = 0; i < MT_LANES; i++)
        if (i < n) p[i] = v[i];
}

#endif

#if MT_SIMD_BYTES != 64 /* whole vectors stand in: no tile has use for halves of these */
typedef mt_vec mt_half;
MT_ALWAYS_INLINE mt_half mt_half_zero(void) { return mt_vec_zero(); }
MT_ALWAYS_INLINE mt_half mt_half_add(mt_half a, mt_half b) { return mt_vec_add(a, b); }
MT_ALWAYS_INLINE mt_half mt_half_fma(mt_half a, mt_half b, mt_half c) { return mt_vec_fma(a, b, c); }
MT_ALWAYS_INLINE mt_half mt_half_of(mt_vec v) { return v; }
MT_ALWAYS_INLINE mt_vec mt_half_widen(mt_half h) { return h; }
MT_ALWAYS_INLINE mt_half mt_half_load_masked(const mt_real *p, mt_mask k) { return mt_vec_load_masked(p, k); }
MT_ALWAYS_INLINE void mt_half_store_first(mt_real *p, int64_t n, mt_half v) { mt_vec_store_first(p, n, v); }
#endif

/* ---- sums of lanes ---- */

typedef mt_real mt_piece __attribute__((vector_size(16)));

/* Pieces folded upon each other, halves first: (0+2)+(1+3) of four. */
MT_ALWAYS_INLINE mt_piece mt_vec_fold(mt_vec v)
{
#if MT_SIMD_BYTES == 64 && defined(MT_DOUBLE)
    const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    return (mt_piece)_mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
#elif MT_SIMD_BYTES == 64
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return (mt_piece)_mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
#elif MT_SIMD_BYTES == 32 && defined(MT_DOUBLE)
    return (mt_piece)_mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
#elif MT_SIMD_BYTES == 32
    return (mt_piece)_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
#else
    return (mt_piece)v;
#endif
}

#if MT_SIMD_BYTES == 64
#define MT_LOW(a, b)   MT_MM512(unpacklo)(a, b)
#define MT_HIGH(a, b)  MT_MM512(unpackhi)(a, b)
#define MT_FRONT(a, b) _mm512_shuffle_ps(a, b, 0x44)
#define MT_BACK(a, b)  _mm512_shuffle_ps(a, b, 0xEE)
#elif MT_SIMD_BYTES == 32
#define MT_LOW(a, b)   MT_MM256(unpacklo)(a, b)
#define MT_HIGH(a, b)  MT_MM256(unpackhi)(a, b)
#define MT_FRONT(a, b) _mm256_shuffle_ps(a, b, 0x44)
#define MT_BACK(a, b)  _mm256_shuffle_ps(a, b, 0xEE)
#elif defined(MT_DOUBLE)
#define MT_LOW(a, b)  __builtin_shufflevector(a, b, 0, 2)
#define MT_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#else
#define MT_LOW(a, b)   __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define MT_HIGH(a, b)  __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define MT_FRONT(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define MT_BACK(a, b)  __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif

/* The sums of MT_PIECE vectors: within each piece (0+2)+(1+3), then the pieces as mt_vec_fold does. */
MT_ALWAYS_INLINE mt_piece mt_vec_sums(const mt_vec *v)
{
    const mt_vec ab = mt_vec_add(MT_LOW(v[0], v[1]), MT_HIGH(v[0], v[1]));
#ifdef MT_DOUBLE
    return mt_vec_fold(ab);
#else
    const mt_vec cd = mt_vec_add(MT_LOW(v[2], v[3]), MT_HIGH(v[2], v[3]));
    return mt_vec_fold(mt_vec_add(MT_FRONT(ab, cd), MT_BACK(ab, cd)));
#endif
}

/* The same of one vector. */
MT_ALWAYS_INLINE mt_real mt_vec_sum(mt_vec v)
{
#ifdef MT_DOUBLE
    return mt_vec_fold(mt_vec_add(v, MT_HIGH(v, v)))[0];
#else
    v = mt_vec_add(v, MT_BACK(v, v));
    const mt_vec low = MT_LOW(v, v);
    return mt_vec_fold(mt_vec_add(v, MT_BACK(low, low)))[0];
#endif
}

#endif
