/* tensor/backend.h - what a backend does: memory, and a few operations on strided arrays.
 *
 * `simple` is the index-by-index serial oracle, `cpu` the OpenMP one, `gpu` and `gpu-sim` run the CUDA
 * kernels. A slot receives operands that tensor/ops has already checked: shapes agree, the output has no
 * stride of 0 and overlaps no input but, for elementwise work, exactly. Slots return a status and record a
 * sentence when they fail.
 */
#ifndef MT_BACKEND_H
#define MT_BACKEND_H

#include "rng.h"
#include "shape.h"
#include "update_rules.h"

/* What a tensor's elements are: mt_real, or int64_t (argmax, labels, shuffles; never differentiable). */
typedef enum mt_kind { MT_REAL, MT_INDEX } mt_kind;

static inline size_t mt_kind_bytes(mt_kind kind)
{
    return kind == MT_REAL ? sizeof(mt_real) : sizeof(int64_t);
}

/* An array as a slot sees it: element (i0, i1, ...) is data[offset + i0*stride[0] + ...]. An input may have a
 * lower rank or sizes of 1 where the output has more: it is broadcast, aligned at the right. Strides are 0 or
 * more, but for the input of a copy from one kind to the same, which may step back. */
typedef struct mt_operand {
    void *data;
    const mt_layout *layout;
} mt_operand;

enum { MT_MAX_OPERANDS = 5 }; /* of elementwise work: an output and up to four inputs */

/* Which function of a row of op_table.inc is applied, element by element:
 *   VALUE   out = f(in[0]) or f(in[0], in[1])
 *   GRAD_A  out = d(g, x, y)     with in = g, x, y          for a map
 *           out = da(g, a, b, y) with in = g, a, b, y       for a zip
 *   GRAD_B  out = db(g, a, b, y) with in = g, a, b, y
 * An operand that the row does not declare as needed repeats g and is not read. A derivative that is
 * MT_IS_ONE, MT_IS_ZERO or MT_OF_ORDER has no function (MT_DERIVED), and no slot is asked for it:
 * tensor/ops.c copies g or fills with 0.
 */
typedef enum mt_part { MT_PART_VALUE, MT_PART_GRAD_A, MT_PART_GRAD_B } mt_part;

typedef struct mt_elementwise_work {
    mt_op op;
    mt_part part;
    int operands; /* how many of operand are set: out, then 1 to 4 of in */
    mt_real p[2];
    mt_operand operand[MT_MAX_OPERANDS];
} mt_elementwise_work;

typedef enum mt_reduction { MT_SUM, MT_PROD, MT_MAX, MT_MIN, MT_ALL, MT_ARGMAX, MT_ARGMIN } mt_reduction;

/* out = reduction of in over the dimensions marked in reduced, divided by divisor; out (+=) when accumulate
 * is set. out has in's rank with size 1 in the reduced dimensions. ARGMAX and ARGMIN write the position
 * within the reduced dimensions, in row-major order, to an INDEX output. divisor is n for a mean and 1
 * otherwise. */
typedef struct mt_reduce_work {
    mt_reduction op;
    bool reduced[MT_MAX_DIMS];
    bool accumulate;
    mt_real divisor;
    mt_operand out, in;
} mt_reduce_work;

/* The transpose of ARGMAX: for every element of value, out[at the position that index names] = value, where
 * out has the shape that was reduced. Other elements of out are not written. */
typedef struct mt_scatter_work {
    bool reduced[MT_MAX_DIMS];
    mt_operand out, index, value;
} mt_scatter_work;

/* Rows along dimension 0. take: out[i, ...] = in[index[i], ...]. put: out[index[i], ...] += in[i, ...], in
 * the order of i. An index outside the rows is an error, found before anything is written. */
typedef struct mt_rows_work {
    bool put;
    mt_kind kind; /* of out and in; REAL in a put */
    mt_operand out, in, index;
    bool known; /* every index is a row: a device need not be asked, and nothing waits for it */
} mt_rows_work;

/* When indices are looked at: before anything is written; at the latest before an element is (the output is
 * new, and nobody's after a failure); or, where reading them costs more than the work, not again (an index
 * that an operation has found right, and that has not been written since). */
typedef enum mt_index_check { MT_INDEX_FIRST, MT_INDEX_ON_THE_WAY, MT_INDEX_KNOWN } mt_index_check;

/* Elements along dimension dim. take: out[.., i, ..] = in[.., index[.., i, ..], ..]. put: out[.., index[..,
 * i,
 * ..], ..] += in[.., i, ..], in the order of i. All three have the same sizes but for dim, where index has
 * those of out in a take and of in in a put; strides of index may be 0. An index outside is an error,
 * which mt_rule_outside tells. */
typedef struct mt_gather_work {
    bool put, vector; /* vector: index repeats one of a single dimension, along dim */
    mt_kind kind;     /* of out and in; REAL in a put */
    mt_index_check check;
    int dim;
    mt_operand out, in, index;
    const char *what; /* for sentences */
} mt_gather_work;

/* C[.., i, j] = act(sum over k of A[.., i, k] B[.., k, j] + bias[j]), or C += without act when accumulate is
 * set. Leading dimensions are a batch and broadcast. */
typedef struct mt_matmul_work {
    mt_operand out, a, b; /* rank 2 or more; the last two dimensions are the matrices */
    mt_operand bias;      /* one row of n values, stride may be 0; data NULL: none */
    mt_operand pre;       /* where act's argument is kept, same shape as out; data NULL: not kept */
    bool has_act, accumulate;
    mt_op act; /* a map without parameters */
} mt_matmul_work;

/* y[n, o, i, j] = bias[o] + the sum over c, p, q of x[n, g*C + c, i*stride[0] + p*dilation[0] - before[0],
 * j*stride[1] + q*dilation[1] - before[1]] w[o, c, p, q], where x is 0 outside; C channels are w's second
 * size, and g = o / (outputs / groups). GRAD_X and GRAD_W write what y then brings to x, or to w: the sum of
 * y times the other factor over all products above in which the element is one; (+=) when accumulate is set.
 * Sizes are at least 1, but those of images may be 0. */
typedef enum mt_conv_part { MT_CONV_VALUE, MT_CONV_GRAD_X, MT_CONV_GRAD_W } mt_conv_part;

typedef struct mt_conv_work {
    mt_conv_part part;
    bool accumulate;
    int64_t groups, stride[2], before[2], dilation[2];
    mt_operand x, w, y; /* (N, groups*C, H, W), (O, C, KH, KW), (N, O, OH, OW) */
    mt_operand bias;    /* VALUE alone: (O); data NULL: none */
} mt_conv_work;

typedef enum mt_distribution { MT_UNIFORM, MT_NORMAL } mt_distribution;

/* Element i (row-major) from counter + i: a + (b - a) u for UNIFORM, a + b z for NORMAL. */
typedef struct mt_random_work {
    mt_distribution distribution;
    mt_rng rng;
    double a, b;
    mt_operand out;
} mt_random_work;

/* softmax, or its logarithm, along dimension dim of out: a row is the elements along it. m is the row's
 * largest x, s the sum of exp(x - m). value   out = exp(x - m) / s         or x - m - ln s back    out = y (g
 * - sum of y g)     or g - exp(y) sum of g, from the result y and its gradient g in is x or y, and has out's
 * shape, as g. */
typedef struct mt_softmax_work {
    bool log, back;
    int dim;
    mt_operand out, in, g;
} mt_softmax_work;

/* Cross entropy along dimension dim, the classes; a row is the elements of x along it, and of a row l_c is
 * x_c - m - ln s as above, or x_c itself where x holds logarithms (of labels alone). w_c is the weight of
 * class c, share = smoothing / classes. labels  y is the row's label:  loss = -(1 - smoothing) w_y l_y -
 * share sum of w_c l_c, and row_weight = w_y; both are 0 where y is ignore_index, whatever x is target  t_c
 * are probabilities: loss = -sum of u_c l_c, u_c = w_c ((1 - smoothing) t_c + share) back    out = g times
 * the derivative of the row's loss, from x, most and sum A label that is neither a class nor ignore_index is
 * an error; what was written until then is not defined. */
typedef struct mt_cross_entropy_work {
    bool back, logarithms;
    int dim;
    int64_t ignore_index;
    double smoothing;
    mt_operand x;
    mt_operand labels; /* INDEX of x's shape with size 1 at dim; data NULL: target instead */
    mt_operand target; /* of x's shape, which then has a class; data NULL: labels */
    mt_operand weight; /* a vector, one for each class; its stride may be 0 */
    /* A number for each row, in the row-major order of x's shape without dim, contiguous: written by the
     * value, most (m) and sum (s) read by back. NULL where there is nothing to write: row_weight with a
     * target, most and sum with logarithms. */
    mt_real *loss, *row_weight, *most, *sum;
    mt_operand g;   /* of back: as labels, REAL; strides may be 0 */
    mt_operand out; /* of back: as x */
} mt_cross_entropy_work;

/* Rows of n numbers, contiguous and without gaps between them. h is (x - mean) scale, where mean is the row's
 * and scale 1 / sqrt(v + eps), v the mean of (x - mean)^2. value   out = h gamma + beta, and mean and scale,
 * a number for each row back    from x, mean, scale and the gradient g of out: to_x, the gradient of x, and
 * hat = g h, whose sum over rows is gamma's; either may be NULL, then it is not computed */
typedef struct mt_layer_norm_work {
    bool back;
    int64_t rows, n;
    double eps;
    const mt_real *x, *gamma, *beta, *g; /* gamma, beta: n; g: of back, beta of the value */
    mt_real *out, *mean, *scale, *to_x, *hat;
} mt_layer_norm_work;

/* What one kernel did: numbers of things, never times. From blocks on they are a simulator's, and 0
 * elsewhere. */
typedef struct mt_kernel_counts {
    const char *name;
    uint64_t launches;
    uint64_t few_blocks; /* launches with fewer blocks than the card has multiprocessors */
    uint64_t blocks;
    uint64_t barriers;        /* counted once a block */
    uint64_t requests;        /* accesses to device memory, counted once a warp */
    uint64_t sectors;         /* pieces of 32 bytes that those touch */
    uint64_t shared_requests; /* accesses to shared memory, counted once a warp */
    uint64_t bank_conflicts;  /* extra passes that those need */
    uint64_t partial;         /* accesses that only some threads of a warp made: a branch, or an edge */
} mt_kernel_counts;

/* What a backend with a memory of its own did since the program began. */
typedef struct mt_backend_counts {
    uint64_t uploads, upload_bytes, downloads, download_bytes; /* copies from the host, and to it */
    uint64_t device_bytes, allocations;                        /* held now; how often the device was asked */
    int multiprocessors;                                       /* of the card; of an H100 in the simulator */
    bool simulated;                                            /* the rows hold more than launches */
    int kernels;
    mt_kernel_counts kernel[256]; /* in the order of first launch; the last stands for all that follow */
} mt_backend_counts;

/* What a backend computes with. */
typedef struct mt_backend_facts {
    int threads;     /* that an operation may use; 1 on a device */
    char isa[16];    /* "avx2", ...; "none" where no instruction set is chosen */
    char words[400]; /* what else --stats says of it, one line; "" when nothing */
} mt_backend_facts;

typedef struct mt_backend mt_backend;
struct mt_backend {
    size_t size; /* sizeof(mt_backend) where the backend was compiled: what lies behind it is not there */
    const char *name;
    const char *summary; /* one line for --list-backends */
    bool host;           /* the program may read and write the memory directly */
    void *context;
    /* The slots: result (*name)(mt_backend *backend, ...) for each row of slots.inc. */
#define MT_SLOT(need, result, name, parameters, text) result(*name) parameters;
#include "slots.inc"
};

/* A backend in a shared object, for mt_backend_open: what MT_BACKEND_PLUGIN(mine); in one of its files shows
 * of a static mt_backend mine. The version rises when a type or the meaning of a slot changes; a slot that is
 * added behind the last changes the size alone. */
#define MT_BACKEND_VERSION 1
typedef struct mt_backend_plugin {
    int version;    /* MT_BACKEND_VERSION */
    int real_bytes; /* sizeof(mt_real) */
    const mt_backend *backend;
} mt_backend_plugin;
#define MT_BACKEND_PLUGIN(mine)                             \
    MT_BEGIN                                                \
    MT_API extern const mt_backend_plugin mt_backend_entry; \
    MT_END                                                  \
    const mt_backend_plugin mt_backend_entry = {MT_BACKEND_VERSION, (int)sizeof(mt_real), &(mine)}

MT_BEGIN

/* The backend of that name: "cpu", "simple", "gpu", "gpu-sim" or one that was registered. NULL with a
 * sentence that lists the names, or says why this one is not there; never another backend instead. Backends
 * live as long as the program and are shared by all threads. */
MT_API mt_backend *mt_backend_get(const char *name);
/* Adds a copy of a backend, which mt_backend_get then gives out, and which its slots receive: what they need
 * stands in context. The caller keeps name, summary and context alive. What it
 * lacks is filled in as slots.inc says: on the host every slot may be missing. An error when the name is
 * taken, a slot of memory is missing elsewhere, or the size is none. */
MT_API mt_status mt_backend_register(const mt_backend *backend);
/* mt_backend_get; and for a name with a slash the backend in the shared object at that path, which is loaded,
 * registered under the name that it has, and stays. The object's code runs: give no path that a stranger
 * chose. It needs no copy of this library, whose functions it finds in the program: a program that links the
 * archive shows them with -rdynamic. NULL with a sentence: no such file, no MT_BACKEND_PLUGIN, another
 * version or precision. */
MT_API mt_backend *mt_backend_open(const char *name);
/* The i-th name and a line about it, or NULL past the last: available or not, which mt_backend_get tells. */
MT_API const char *mt_backend_name(int i);
MT_API const char *mt_backend_summary(int i);

/* How many threads the cpu backend uses; without a call OMP_NUM_THREADS, else all processors, or as many as
 * the quota of a container amounts to. OpenMP's own settings are not touched. Results do not depend on it. n
 * from 1 to 1024. Where other programs want the processors and a region is seen to wait for milliseconds, the
 * calling thread's operations use fewer for a while; mt_set_threads lets those of the thread that calls it
 * try that many at once. */
MT_API mt_status mt_set_threads(int n);
MT_API int mt_get_threads(void);

/* The constructors behind mt_backend_get, defined in ops_cpu and ops_cuda; NULL with a sentence when not
 * there. */
MT_INTERNAL mt_backend *mt_backend_simple(void);
MT_INTERNAL mt_backend *mt_backend_cpu(void);
MT_INTERNAL mt_backend *mt_backend_gpu(void);
MT_INTERNAL mt_backend *mt_backend_gpu_sim(void);
/* Which row of zip_table.inc op is, from 0: for a file that need not be compiled again for a new map. */
MT_INTERNAL int mt_zip_row(mt_op op);
/* Registers a backend that lives as long as the program, once: a second call gives the same copy. NULL with a
 * sentence. */
MT_INTERNAL mt_backend *mt_backend_adopt(const mt_backend *backend);

MT_END

#endif
