/* project/lab/lab.cuh - what a kernel of the lab includes: CUDA's words, arrays on the device, and the entry.
 *
 * A .cu file holds, in namespace MT_TWIN, kernels and one of
 *     LAB_MATMUL(NAME, a, b, c, m, n, k) { launch something that computes C = A B; return MT_LAUNCH(...); }
 *     LAB(NAME) { make arrays, launch, check; return 0 when all is right; }
 * One that launches nothing, or reads nothing back, is not called right. The lab fills A and B for the first
 * and compares C. In the second `task.m`, `task.n` and `task.k` are the sizes. NAME is yours; on the command
 * line the kernel is called as its file is, which the build says in LAB_FILE.
 */
#ifndef LAB_CUH
#define LAB_CUH

#include <chrono>
#include <cmath>
#include <cstdio>
#include "ops_cuda/launch.cuh"
#include "lab.h"

namespace MT_TWIN {

/* What array::check found. */
static inline char *difference()
{
    static char text[160];
    return text;
}

/* What the running entry did so far. */
struct tally {
    int launches, reads;
};
static inline tally &done()
{
    static tally of_this_file;
    return of_this_file;
}
#undef MT_LAUNCH_NAMED
#define MT_LAUNCH_NAMED(name, kernel, grid, block, shared_bytes, stream, ...) \
    (::MT_TWIN::done().launches++,                                            \
     ::MT_TWIN::launch(name, __FILE__, __LINE__, grid, block, shared_bytes, stream, kernel, ##__VA_ARGS__))

/* n elements on the device for as long as this lives; a kernel takes it as a T *. */
template <class T> class array {
    T *data = nullptr;
    const char *name;
    int n;

  public:
    array(const char *called, int count) : name(called), n(count) /* not written */
    {
        void *room = nullptr;
        if (dev_alloc(&room, (size_t)n * sizeof(T), name) == 0) data = static_cast<T *>(room);
    }
    array(const char *called, int count, T value) : array(called, count) /* value in each */
    {
        T *host = new T[(size_t)n];
        for (int i = 0; i < n; i++) host[i] = value;
        write(host);
        delete[] host;
    }
    ~array()
    {
        if (data) dev_free(data); /* or the message would be about this */
    }
    array(const array &) = delete;
    array &operator=(const array &) = delete;
    operator T *() const { return data; }

    int write(const T *host)
    {
        return !data || dev_upload(data, host, (size_t)n * sizeof(T), 0) || dev_sync(0);
    }
    int read(T *host)
    {
        done().reads += n > 0;
        return dev_download(host, data, (size_t)n * sizeof(T), 0);
    }
    /* 0 when element i is wanted(i) for all of them. */
    template <class F> int check(F wanted)
    {
        T *host = new T[(size_t)n];
        int status = read(host);
        for (int i = 0; i < n && status == 0; i++) {
            if (host[i] == wanted(i)) continue;
            const double got = std::isnan((double)host[i]) ? NAN : (double)host[i];
            snprintf(difference(), 160, "%s[%d] is %.9g, and should be %.9g", name, i, got,
                     (double)wanted(i));
            status = LAB_WRONG;
        }
        delete[] host;
        return status;
    }
};

/* Runs product(a, b, c, m, n, k) on the task's matrices. */
template <class F> static inline int run_matmul(lab_task &task, F product)
{
    array<float> a("A", task.m * task.k), b("B", task.k * task.n), c("C", task.m * task.n);
    int status = a.write(task.a) || b.write(task.b);
    if (status == 0) status = product(a, b, c, task.m, task.n, task.k);
    if (status == 0) status = c.read(task.c);
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < task.repeats && status == 0; i++) status = product(a, b, c, task.m, task.n, task.k);
    if (status == 0 && task.repeats > 0) {
        status = dev_sync(0);
        std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
        task.seconds = taken.count() / task.repeats;
    }
    task.is_matmul = true;
    return status;
}

/* Whether there is a device at all: 0, or LAB_NO_DEVICE. */
static inline int device()
{
    static bool tried = false;
    static int status = 0;
    static mt_stream stream; /* for as long as the program runs */
    char card[200];
    if (!tried) status = dev_open(&stream, card, sizeof card);
    tried = true;
    return status == 0 ? 0 : LAB_NO_DEVICE;
}

/* What the entry returns, with a sentence when that is not 0. */
static inline int told(lab_task &task, int status)
{
    const char *text = status == LAB_WRONG ? difference() : dev_message();
    if (status == 0 && done().launches == 0)
        status = LAB_IDLE, text = "it launches no kernel, so nothing was tried; use MT_LAUNCH";
    else if (status == 0 && done().reads == 0)
        status = LAB_IDLE,
        text = "its kernels ran and nobody looked at what they wrote; return y.check(...) for an array y";
    if (status != 0) snprintf(task.message, sizeof task.message, "%s", text);
    done() = {};
    return status;
}

} // namespace MT_TWIN

#define LAB_ENTRY MT_LAUNCHER(MT_PASTE(lab_, LAB_FILE))

#define LAB(name)                                                 \
    static int name##_runs([[maybe_unused]] lab_task &task);      \
    extern "C" int LAB_ENTRY(lab_task *task)                      \
    {                                                             \
        int status = device();                                    \
        return told(*task, status ? status : name##_runs(*task)); \
    }                                                             \
    static int name##_runs([[maybe_unused]] lab_task &task)

#define LAB_MATMUL(name, a, b, c, m, n, k)                                                    \
    static int name##_product(const float *a, const float *b, float *c, int m, int n, int k); \
    extern "C" int LAB_ENTRY(lab_task *task)                                                  \
    {                                                                                         \
        int status = device();                                                                \
        return told(*task, status ? status : run_matmul(*task, name##_product));              \
    }                                                                                         \
    static int name##_product(const float *a, const float *b, float *c, int m, int n, int k)

#endif
