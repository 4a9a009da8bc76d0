/* tests/sim/host.cuh - the host's side of the small kernels in this folder: arrays on the device and back.
 *
 * Each .cu here holds one kernel and its launcher. wrong_*.cu have one fault planted, at the lines that say
 * BUG; right_*.cu are correct and return 0 when their result is. All compile with nvcc too.
 */
#ifndef MT_TEST_SIM_HOST_CUH
#define MT_TEST_SIM_HOST_CUH

#include "ops_cuda/launch.cuh"

/* What a launcher returns when everything ran and the result is not right. */
#define WRONG_RESULT 1000

namespace MT_TWIN {

/* n elements with value(i) in each, on the device; null when that failed. */
template <class T, class F> static T *device_array(const char *name, int n, F value)
{
    T *host = new T[n];
    for (int i = 0; i < n; ++i) host[i] = value(i);
    void *device = nullptr;
    int status = dev_alloc(&device, n * sizeof(T), name);
    if (status == 0) status = dev_upload(device, host, n * sizeof(T), 0);
    delete[] host;
    return status == 0 ? static_cast<T *>(device) : nullptr;
}

/* The same, not written. */
template <class T> static T *device_room(const char *name, int n)
{
    void *device = nullptr;
    return dev_alloc(&device, n * sizeof(T), name) == 0 ? static_cast<T *>(device) : nullptr;
}

/* 0 when all n elements are what wanted(i) says. */
template <class T, class F> static int compare(const T *device, int n, F wanted)
{
    T *host = new T[n];
    int status = dev_download(host, device, n * sizeof(T), 0);
    for (int i = 0; i < n && status == 0; ++i)
        if (host[i] != wanted(i)) status = WRONG_RESULT;
    delete[] host;
    return status;
}

} // namespace MT_TWIN

#endif
