/* bench/gpu_yardsticks.cu - what the card can do, to compare with: cuBLAS for products, a copy for bandwidth.
 *
 * Prints one JSON object: GB/s of a device-to-device copy (bytes read and written), and for each size that is
 * given the median seconds of a product of two square float matrices, without TF32. Stands outside the
 * library.
 */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include <cublas_v2.h>
#include <cuda_runtime.h>

static void check(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "gpu_yardsticks: %s failed: %s\n", what, cudaGetErrorString(cudaGetLastError()));
    exit(1);
}

/* Median seconds of work, which is put on the default stream. */
template <class F> static double median_seconds(F work)
{
    cudaEvent_t start, stop;
    check(cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&stop) == cudaSuccess, "making events");
    std::vector<float> times;
    for (int trial = -3; trial < 11; trial++) {
        check(cudaEventRecord(start) == cudaSuccess, "starting");
        work();
        check(cudaEventRecord(stop) == cudaSuccess && cudaEventSynchronize(stop) == cudaSuccess, "waiting");
        float milliseconds = 0;
        cudaEventElapsedTime(&milliseconds, start, stop);
        if (trial >= 0) times.push_back(milliseconds);
    }
    std::sort(times.begin(), times.end());
    return 1e-3 * times[times.size() / 2];
}

int main(int argc, char **argv)
{
    const size_t bytes = (size_t)1 << 28;
    float *a, *b, *c;
    check(cudaMalloc(&a, bytes) == cudaSuccess && cudaMalloc(&b, bytes) == cudaSuccess &&
              cudaMalloc(&c, bytes) == cudaSuccess && cudaMemset(a, 0, bytes) == cudaSuccess &&
              cudaMemset(b, 0, bytes) == cudaSuccess,
          "allocating");
    double copy = median_seconds([&] { cudaMemcpyAsync(b, a, bytes, cudaMemcpyDeviceToDevice); });
    printf("{\"copy_gb_per_s\": %.1f, \"cublas_seconds\": {", 2e-9 * (double)bytes / copy);
    cublasHandle_t cublas;
    check(cublasCreate(&cublas) == CUBLAS_STATUS_SUCCESS, "starting cuBLAS");
    cublasSetMathMode(cublas, CUBLAS_PEDANTIC_MATH);
    const float one = 1, zero = 0;
    for (int i = 1; i < argc; i++) {
        const int n = atoi(argv[i]);
        check(n > 0 && (size_t)n * (size_t)n * sizeof(float) <= bytes, "reading a size");
        double seconds = median_seconds([&] {
            check(cublasSgemm(cublas, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a, n, b, n, &zero, c, n) ==
                      CUBLAS_STATUS_SUCCESS,
                  "cublasSgemm");
        });
        printf("%s\"%d\": %.9g", i > 1 ? ", " : "", n, seconds);
    }
    printf("}}\n");
    cublasDestroy(cublas);
    cudaFree(a), cudaFree(b), cudaFree(c);
    return 0;
}
