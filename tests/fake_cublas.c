/* tests/fake_cublas.c - the part of cuBLAS's interface that bench/gpu_cublas.c calls, on the host's memory:
 * what its arguments mean, written down a second time. Matrices lie by columns; operation 0 takes one as it
 * is, 1 its transpose. A call out of order has a status of its own.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct state {
    void *stream, *workspace;
    int math;
} state;

int cublasCreate_v2(void **handle);
int cublasDestroy_v2(void *handle);
int cublasSetStream_v2(void *handle, void *stream);
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
int cublasSetMathMode(void *handle, int mode);
int cublasGetVersion_v2(void *handle, int *version);
int cublasSgemm_v2(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                   const float *a, int a_column, const float *b, int b_column, const float *beta, float *c,
                   int c_column);
int cublasSgemmStridedBatched(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                              const float *a, int a_column, long long a_step, const float *b, int b_column,
                              long long b_step, const float *beta, float *c, int c_column, long long c_step,
                              int count);

int cublasCreate_v2(void **handle)
{
    const char *tf32 = getenv("NVIDIA_TF32_OVERRIDE");
    state.math = -1;
    *handle = &state;
    return tf32 == NULL || strcmp(tf32, "0") != 0;
}

int cublasDestroy_v2(void *handle) { return handle != &state; }

int cublasSetStream_v2(void *handle, void *stream)
{
    ((struct state *)handle)->stream = stream;
    ((struct state *)handle)->workspace = NULL;
    return 0;
}

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    ((struct state *)handle)->workspace = bytes > 0 ? workspace : NULL;
    return 0;
}

int cublasSetMathMode(void *handle, int mode)
{
    ((struct state *)handle)->math = mode;
    return 0;
}

int cublasGetVersion_v2(void *handle, int *version)
{
    *version = 130102;
    return handle != &state;
}

int cublasSgemm_v2(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                   const float *a, int a_column, const float *b, int b_column, const float *beta, float *c,
                   int c_column)
{
    const struct state *s = handle;
    if (s->stream == NULL || s->workspace == NULL || s->math != 0) return 1;
    if (a_column < (turn_a ? k : m) || b_column < (turn_b ? n : k) || c_column < m) return 7;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)(turn_a ? a[l + (size_t)i * a_column] : a[i + (size_t)l * a_column]) *
                       (double)(turn_b ? b[j + (size_t)l * b_column] : b[l + (size_t)j * b_column]);
            float *to = &c[i + (size_t)j * c_column];
            *to = (float)(*alpha * sum + (*beta != 0 ? *beta * *to : 0));
        }
    return 0;
}

int cublasSgemmStridedBatched(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                              const float *a, int a_column, long long a_step, const float *b, int b_column,
                              long long b_step, const float *beta, float *c, int c_column, long long c_step,
                              int count)
{
    int status = 0;
    for (int i = 0; i < count && status == 0; i++)
        status = cublasSgemm_v2(handle, turn_a, turn_b, m, n, k, alpha, a + i * a_step, a_column,
                                b + i * b_step, b_column, beta, c + i * c_step, c_column);
    return status;
}
