/* gpu_cublas.h - cuBLAS, found at run time: the single precision product to be compared with.
 *
 * Nothing of it is linked, so that a program starts where it is missing. Products are in the default
 * mode, which is also PyTorch's: the fastest algorithm in float, without TF32.
 */
#ifndef BENCH_GPU_CUBLAS_H
#define BENCH_GPU_CUBLAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gpu_cublas {
    void *handle;    /* NULL: not here, and about says why */
    char about[160]; /* its version, or why it is not here */
    int (*destroy)(void *handle);
    int (*product)(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                   const float *a, int a_column, const float *b, int b_column, const float *beta, float *c,
                   int c_column);
    int (*products)(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                    const float *a, int a_column, long long a_step, const float *b, int b_column,
                    long long b_step, const float *beta, float *c, int c_column, long long c_step, int count);
} gpu_cublas;

/* A product of row-major matrices: C (m x n) = A B for each of batch, which lie one behind the other. turn_a:
 * A is stored as k x m; turn_b: B as n x k. */
typedef struct gpu_product {
    int batch, m, n, k;
    bool turn_a, turn_b;
} gpu_product;

/* Loads it from file, or where file is NULL from the folder that the build found and from where the loader
 * looks, and makes it work on stream with workspace (device memory, which it keeps). */
bool gpu_cublas_open(gpu_cublas *blas, const char *file, void *stream, void *workspace, size_t bytes);
void gpu_cublas_close(gpu_cublas *blas);
/* Puts the product on the stream; false with a sentence in mt_last_message. */
bool gpu_cublas_multiply(const gpu_cublas *blas, const gpu_product *p, const float *a, const float *b,
                         float *c);

#endif
