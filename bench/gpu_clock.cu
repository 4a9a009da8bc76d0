/* gpu_clock.cu - gpu_numbers on a card: events and graphs on the library's own stream.
 *
 * Work is captured by letting the library launch into a stream that records: the kernels, their arguments and
 * the scratch memory are those of an ordinary call. A slot that waits for the card or asks it for memory
 * cannot be captured, and its launches are timed one by one.
 */
#include <cmath>
#include <cuda_profiler_api.h>

#include "gpu_clock.h"
#include "ops_cuda/backend.cuh"

namespace MT_TWIN {
namespace {

cudaStream_t library_stream;
cudaEvent_t moments[GPU_MARKS]; /* made when they are needed */

bool good(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return true;
    mt_fail(MT_ERR_BACKEND, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
    return false;
}

bool open_card(mt_backend *backend, gpu_facts *facts)
{
    cudaDeviceProp card;
    int number = 0;
    library_stream = MT_LAUNCHER(stream)(backend);
    if (!good(cudaGetDevice(&number), "finding the device") ||
        !good(cudaGetDeviceProperties(&card, number), "looking at the device"))
        return false;
    snprintf(facts->name, sizeof facts->name, "%.90s", card.name);
    facts->memory = card.totalGlobalMem;
    facts->l2 = (size_t)card.l2CacheSize;
    facts->multiprocessors = card.multiProcessorCount;
    return true;
}

void close_card()
{
    for (cudaEvent_t &moment : moments) {
        if (moment) cudaEventDestroy(moment);
        moment = nullptr;
    }
}

bool mark(int i)
{
    return (moments[i] || good(cudaEventCreate(&moments[i]), "making an event")) &&
           good(cudaEventRecord(moments[i], library_stream), "recording an event");
}

bool wait_card() { return good(cudaStreamSynchronize(library_stream), "waiting for the device"); }

double between(int from, int to)
{
    float milliseconds = 0;
    if (!good(cudaEventElapsedTime(&milliseconds, moments[from], moments[to]), "reading two events"))
        return NAN;
    return 1e-3 * (double)milliseconds;
}

void *capture(gpu_body body, void *context, int64_t first, int calls)
{
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runs = nullptr;
    if (!good(cudaStreamBeginCapture(library_stream, cudaStreamCaptureModeThreadLocal), "beginning a graph"))
        return nullptr;
    bool fine = true;
    for (int i = 0; i < calls && fine; i++) fine = body(context, first + i);
    cudaError_t ended = cudaStreamEndCapture(library_stream, &graph);
    if (fine)
        fine = good(ended, "ending a graph") && good(cudaGraphInstantiate(&runs, graph, 0), "making a graph");
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError(); /* a capture that failed leaves its error behind, which no later call made */
    return fine ? runs : nullptr;
}

bool replay(void *graph)
{
    return good(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), library_stream), "starting a graph");
}

void drop(void *graph)
{
    if (graph) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

bool copy(void *to, const void *from, size_t bytes)
{
    return good(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, library_stream),
                "copying on the device");
}

void *stream() { return library_stream; }

void profile(bool on)
{
    if (on)
        cudaProfilerStart();
    else
        cudaProfilerStop();
}

} // namespace
} // namespace MT_TWIN

/* In the order of gpu_clock.h. */
extern "C" const gpu_clock gpu_clock_card = {
    "gpu",         cuda::open_card, cuda::close_card, cuda::mark, cuda::wait_card, cuda::between,
    cuda::capture, cuda::replay,    cuda::drop,       cuda::copy, cuda::stream,    cuda::profile,
};
