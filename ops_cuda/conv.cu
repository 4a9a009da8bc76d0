/* ops_cuda/conv.cu - the slot conv: convolutions and their gradients, as the definition has them.
 *
 * A thread computes an element of the result, or of the gradient for x, from its sum of products, in the
 * order of channels and places of the kernel. An element of the gradient for w is a sum over all images and
 * windows: the threads of a block take every BLOCK-th window each, and their sums are added in a tree, so the
 * bits follow from the sizes.
 */
#include "backend.cuh"

namespace MT_TWIN {

namespace {

enum { CONV_BLOCK = 128 };

/* An operand of four dimensions: element (n, c, i, j) is data[n*step[0] + c*step[1] + i*step[2] + j*step[3]].
 */
struct conv_operand {
    mt_real *data;
    int64_t size[4], step[4];
};

struct conv_args {
    conv_operand x, w, y;
    const mt_real *bias;        /* NULL: none */
    int64_t bias_step, outputs; /* outputs: of a group */
    int64_t stride[2], before[2], dilation[2];
    int64_t count; /* of elements written */
    bool add;
};

MT_DEVICE int64_t place(const conv_operand &x, int64_t n, int64_t c, int64_t i, int64_t j)
{
    return n * x.step[0] + c * x.step[1] + i * x.step[2] + j * x.step[3];
}

/* The index of element number `number` of x, row-major. */
MT_DEVICE void conv_index(const conv_operand &x, int64_t number, int64_t (&index)[4])
{
    MT_UNROLL
    for (int d = 3; d > 0; d--) {
        index[d] = number % x.size[d];
        number /= x.size[d];
    }
    index[0] = number;
}

/* Not unrolled: four steps at once need up to 85 registers, so that a card holds half as many threads. */
MT_KERNEL void conv_value(conv_args a)
{
    const int64_t number = thread_number();
    if (number >= a.count) return;
    int64_t y[4];
    conv_index(a.y, number, y);
    const int64_t first = y[1] / a.outputs * a.w.size[1];
    mt_real sum = 0;
    for (int64_t c = 0; c < a.w.size[1]; c++)
        for (int64_t p = 0; p < a.w.size[2]; p++) {
            const int64_t i = y[2] * a.stride[0] + p * a.dilation[0] - a.before[0];
            if (i < 0 || i >= a.x.size[2]) continue;
            MT_NO_UNROLL
            for (int64_t q = 0; q < a.w.size[3]; q++) {
                const int64_t j = y[3] * a.stride[1] + q * a.dilation[1] - a.before[1];
                if (j < 0 || j >= a.x.size[3]) continue;
                sum = multiply_add(a.x.data[place(a.x, y[0], first + c, i, j)],
                                   a.w.data[place(a.w, y[1], c, p, q)], sum);
            }
        }
    if (a.bias) sum += a.bias[y[1] * a.bias_step];
    a.y.data[place(a.y, y[0], y[1], y[2], y[3])] = sum;
}

/* The window whose place p meets element i along dimension d of the image; -1: there is none. */
MT_DEVICE int64_t window_of(const conv_args &a, int d, int64_t i, int64_t p)
{
    const int64_t at = i + a.before[d] - p * a.dilation[d];
    return at >= 0 && at % a.stride[d] == 0 && at / a.stride[d] < a.y.size[d + 2] ? at / a.stride[d] : -1;
}

MT_KERNEL void conv_grad_x(conv_args a)
{
    const int64_t number = thread_number();
    if (number >= a.count) return;
    int64_t x[4];
    conv_index(a.x, number, x);
    const int64_t first = x[1] / a.w.size[1] * a.outputs, c = x[1] % a.w.size[1];
    mt_real sum = 0;
    for (int64_t o = first; o < first + a.outputs; o++)
        for (int64_t p = 0; p < a.w.size[2]; p++) {
            const int64_t i = window_of(a, 0, x[2], p);
            if (i < 0) continue;
            for (int64_t q = 0; q < a.w.size[3]; q++) {
                const int64_t j = window_of(a, 1, x[3], q);
                if (j < 0) continue;
                sum =
                    multiply_add(a.y.data[place(a.y, x[0], o, i, j)], a.w.data[place(a.w, o, c, p, q)], sum);
            }
        }
    mt_real *to = a.x.data + place(a.x, x[0], x[1], x[2], x[3]);
    *to = a.add ? *to + sum : sum;
}

/* A block for each element of w. */
MT_KERNEL void conv_grad_w(conv_args a)
{
    MT_SHARED(mt_real, sums, [CONV_BLOCK]);
    const unsigned t = threadIdx.x;
    int64_t w[4];
    conv_index(a.w, blockIdx.x, w);
    const int64_t c = w[0] / a.outputs * a.w.size[1] + w[1];
    const int64_t windows = a.y.size[0] * a.y.size[2] * a.y.size[3];
    mt_real sum = 0;
    for (int64_t number = t; number < windows; number += CONV_BLOCK) {
        const int64_t j = number % a.y.size[3], i = number / a.y.size[3] % a.y.size[2],
                      n = number / a.y.size[3] / a.y.size[2];
        const int64_t down = i * a.stride[0] + w[2] * a.dilation[0] - a.before[0],
                      right = j * a.stride[1] + w[3] * a.dilation[1] - a.before[1];
        if (down < 0 || down >= a.x.size[2] || right < 0 || right >= a.x.size[3]) continue;
        sum = multiply_add(a.x.data[place(a.x, n, c, down, right)], a.y.data[place(a.y, n, w[0], i, j)], sum);
    }
    sums[t] = sum;
    for (unsigned half = CONV_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) sums[t] += sums[t + half];
    }
    if (t > 0) return;
    mt_real *to = a.w.data + place(a.w, w[0], w[1], w[2], w[3]);
    *to = a.add ? *to + sums[0] : sums[0];
}

static conv_operand operand_of(const mt_operand &x)
{
    conv_operand result;
    result.data = static_cast<mt_real *>(first_of(x, sizeof(mt_real)));
    for (int d = 0; d < 4; d++) {
        result.size[d] = x.layout->size[d];
        result.step[d] = x.layout->stride[d];
    }
    return result;
}

} // namespace

extern "C" mt_status MT_LAUNCHER(conv)(mt_backend *backend, const mt_conv_work *work)
{
    conv_args a;
    a.x = operand_of(work->x), a.w = operand_of(work->w), a.y = operand_of(work->y);
    a.bias = work->bias.data ? static_cast<const mt_real *>(first_of(work->bias, sizeof(mt_real))) : NULL;
    a.bias_step = work->bias.data ? work->bias.layout->stride[0] : 0;
    a.outputs = a.w.size[0] / work->groups;
    a.add = work->accumulate;
    for (int d = 0; d < 2; d++) {
        a.stride[d] = work->stride[d];
        a.before[d] = work->before[d];
        a.dilation[d] = work->dilation[d];
    }
    const mt_operand &out = work->part == MT_CONV_VALUE    ? work->y
                            : work->part == MT_CONV_GRAD_X ? work->x
                                                           : work->w;
    a.count = mt_layout_count(out.layout);
    if (a.count == 0) return MT_OK;
    if (work->part == MT_CONV_GRAD_W) {
        if (a.count > 0x7fffffff) return too_large("conv", a.count);
        return MT_START(backend, "conv grad w", conv_grad_w, dim3((unsigned)a.count), dim3(CONV_BLOCK), a);
    }
    if (a.count > MOST_THREADS) return too_large("conv", a.count);
    const unsigned block = block_for(a.count);
    const dim3 grid((unsigned)ceil_div(a.count, block));
    return work->part == MT_CONV_VALUE ? MT_START(backend, "conv", conv_value, grid, dim3(block), a)
                                       : MT_START(backend, "conv grad x", conv_grad_x, grid, dim3(block), a);
}

} // namespace MT_TWIN
