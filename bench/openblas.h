/* openblas.h - OpenBLAS where it is installed, looked up at run time: the yardstick of matmul. Nothing of it
 * is linked, and the library itself never uses it.
 */
#ifndef BENCH_OPENBLAS_H
#define BENCH_OPENBLAS_H

#include <stdbool.h>
#include <stddef.h>

enum { BLAS_ROW_MAJOR = 101, BLAS_PLAIN = 111, BLAS_TRANSPOSED = 112 };

typedef struct openblas {
    void (*sgemm)(int order, int turn_a, int turn_b, int m, int n, int k, float alpha, const float *a,
                  int row_a, const float *b, int row_b, float beta, float *c, int row_c);
    void (*saxpy)(int n, float alpha, const float *x, int step_x, float *y, int step_y);
    void (*set_threads)(int threads);
    char about[160]; /* version, core type, and OPENBLAS_CORETYPE where it is set; or why it is not there */
} openblas;

/* False, with the reason in about, when it is not installed. */
bool openblas_open(openblas *blas, int threads);

/* Memory for its operands as the library has it: of large ones the system is asked for huge pages. To be
 * freed; NULL when none is left. */
float *openblas_numbers(size_t count);

#endif
