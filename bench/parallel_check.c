/* parallel_check.c - what Numba's parallel diagnostics tell, for the cpu backend: for an operation and
 * shapes, which loop is parallel, how it is cut, what is private to a thread, which path the plan takes,
 * which instruction set and width.
 *
 * Nothing is told from memory: a fact is read from the plan that the backend makes for these operands
 * ("plan"), from its kernel table ("table"), or from the operation as it ran, with every call of a kernel
 * noted ("run").
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "harness.h"
#include "minitorch.h"
#include "ops_cpu/threads.h"

static const char PROGRAM[] = "parallel_check";

typedef struct settings {
    bench_asked asked;
    const char *op, *shape, *other, *dim;
    int64_t threads;
    bool transposed, other_transposed, json;
} settings;

static const option rows[] = {
    {"--op", "", OPTION_TEXT, offsetof(settings, op), 0, 0, NULL, "NAME", "matmul",
     "matmul, copy, a reduction (sum, mean, prod, max, min, all, argmax, argmin), or a row of the operation "
     "table (add, relu, ...)"},
    {"--shape", "", OPTION_TEXT, offsetof(settings, shape), 0, 0, NULL, "SHAPE", "1024x1024",
     "of the operand, or of the first: sizes with x between them"},
    {"--other", "", OPTION_TEXT, offsetof(settings, other), 0, 0, NULL, "SHAPE", "",
     "of the second operand; without it the first's (for matmul KxK)"},
    {"--dim", "", OPTION_TEXT, offsetof(settings, dim), 0, 0, NULL, "N", "all",
     "what a reduction goes over: all, or one dimension from 0"},
    {"--transposed", "", OPTION_FLAG, offsetof(settings, transposed), 0, 0, NULL, "", "",
     "the first operand is a transpose: its last two dimensions are swapped in memory"},
    {"--other-transposed", "", OPTION_FLAG, offsetof(settings, other_transposed), 0, 0, NULL, "", "",
     "and so is the second"},
    {"--threads", "", OPTION_INT, offsetof(settings, threads), 1, 1024, NULL, "N", "",
     "threads of the cpu backend; without it OMP_NUM_THREADS, else every processor or a container's quota"},
    {"--json", "", OPTION_FLAG, offsetof(settings, json), 0, 0, NULL, "", "", "print one flat JSON object"},
    BENCH_ASKED,
};

/* "1024x512" into a shape of at most 2^28 elements; false with a sentence. */
static bool read_shape(const char *option_name, const char *text, mt_shape *shape)
{
    int64_t sizes[MT_MAX_DIMS], count = 1;
    int rank = 0;
    const char *at = text;
    for (bool more = true; more; rank++) {
        char *end = NULL;
        if (rank == MT_MAX_DIMS || *at < '0' || *at > '9') break;
        const long long size = strtoll(at, &end, 10);
        if (size < 1 || size > 1 << 28 || (count *= size) > 1 << 28) break;
        sizes[rank] = size;
        more = *end == 'x';
        if (!more && *end == 0) {
            *shape = mt_shape_make(rank + 1, sizes);
            return true;
        }
        at = end + 1;
    }
    char shown[QUOTED_BYTES];
    fprintf(stderr,
            "%s: %s must be one to eight sizes with x between them, as in 100x200, at most 2^28 elements in "
            "all, not '%s'\n",
            PROGRAM, option_name, quoted(text, shown));
    return false;
}

typedef mt_tensor *(*reduce_all)(mt_tape *tape, mt_tensor *x);
typedef mt_tensor *(*reduce_dim)(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
static const struct {
    const char *name;
    mt_reduction backend; /* what it asks of the backend */
    reduce_all all;
    reduce_dim one;
} reductions[] = {
    {"sum", MT_SUM, mt_sum, mt_sum_dim},
    {"mean", MT_SUM, mt_mean, mt_mean_dim},
    {"prod", MT_PROD, mt_prod, mt_prod_dim},
    {"max", MT_MAX, mt_max, mt_max_dim},
    {"min", MT_MIN, mt_min, mt_min_dim},
    {"all", MT_ALL, mt_all, mt_all_dim},
    {"argmax", MT_ARGMAX, mt_argmax, mt_argmax_dim},
    {"argmin", MT_ARGMIN, mt_argmin, mt_argmin_dim},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

/* The question as understood: exit status 2 with a sentence when it is none. */
static int understand(const settings *options, question *q)
{
    *q = (question){.op = MT_OP_COUNT, .reduction = -1, .dim = -1};
    for (int i = 0; i < REDUCTIONS; i++) {
        if (same_word(options->op, reductions[i].name)) q->reduction = i;
    }
    q->name = options->op;
    if (same_word(options->op, "matmul")) {
        q->kind = ASK_MATMUL;
    } else if (same_word(options->op, "copy")) {
        q->kind = ASK_COPY;
    } else if (q->reduction >= 0) {
        q->kind = ASK_REDUCE;
        q->asks = reductions[q->reduction].backend;
    } else {
        q->kind = ASK_ELEMENTWISE;
        q->op = mt_op_by_name(options->op);
        if (q->op == MT_OP_COUNT) {
            fprintf(stderr, "%s: --op must be matmul, copy, a reduction or a row of the table: %s\n", PROGRAM,
                    mt_last_message());
            return 2;
        }
    }
    if (!read_shape("--shape", options->shape, &q->shape[0])) return 2;
    q->operands = q->kind == ASK_MATMUL || (q->op < MT_OP_COUNT && mt_op_describe(q->op)->arity == 2) ? 2 : 1;
    q->shape[1] = q->shape[0];
    if (q->kind == ASK_MATMUL && q->shape[0].rank >= 2)
        q->shape[1].size[q->shape[0].rank - 2] = q->shape[0].size[q->shape[0].rank - 1];
    if (options->other != NULL && !read_shape("--other", options->other, &q->shape[1])) return 2;
    q->turned[0] = options->transposed;
    q->turned[1] = options->other_transposed;
    for (int i = 0; i < q->operands; i++) {
        if (q->shape[i].rank >= 2 || (!q->turned[i] && q->kind != ASK_MATMUL)) continue;
        fprintf(stderr, "%s: matmul and transposes need operands of two dimensions or more\n", PROGRAM);
        return 2;
    }
    if (same_word(options->dim, "all")) return -1;
    q->dim = options->dim[0] - '0';
    if (options->dim[1] == 0 && q->dim >= 0 && q->dim < q->shape[0].rank) return -1;
    fprintf(stderr, "%s: --dim must be all or a dimension from 0 to %d\n", PROGRAM, q->shape[0].rank - 1);
    return 2;
}

/* A tensor of that shape whose last two dimensions are swapped in memory when turned is set. */
static mt_tensor *operand(mt_backend *cpu, mt_shape shape, bool turned)
{
    if (!turned) return mt_full(cpu, shape, 0.75);
    const int64_t last = shape.size[shape.rank - 1];
    shape.size[shape.rank - 1] = shape.size[shape.rank - 2];
    shape.size[shape.rank - 2] = last;
    mt_tensor *memory = mt_full(cpu, shape, 0.75);
    mt_tensor *view = mt_tensor_transpose(memory, -1, -2);
    mt_tensor_free(memory);
    return view;
}

static mt_tensor *run(mt_tape *tape, const question *q, mt_tensor *a, mt_tensor *b)
{
    switch (q->kind) {
    case ASK_MATMUL: return mt_matmul(tape, a, b);
    case ASK_COPY: return mt_copy(tape, a);
    case ASK_REDUCE:
        return q->dim < 0 ? reductions[q->reduction].all(tape, a)
                          : reductions[q->reduction].one(tape, a, q->dim, true);
    default: return q->operands == 1 ? mt_map(tape, q->op, a, 0.1, 1) : mt_zip(tape, q->op, a, b, 1e-8, 1e-5);
    }
}

static int answer(const settings *options, question *q)
{
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tensor *a = operand(cpu, q->shape[0], q->turned[0]);
    mt_tensor *b = q->operands == 2 ? operand(cpu, q->shape[1], q->turned[1]) : mt_full(cpu, mt_shape(1), 0);
    mt_tape *tape = mt_tape_new(cpu);
    int status = 1;
    if (tape != NULL) mt_tape_record(tape, false);
    /* Once to make the shapes known and the threads awake, once to listen. */
    mt_tensor *out = a != NULL && b != NULL && tape != NULL ? run(tape, q, a, b) : NULL;
    if (out != NULL) {
        listen_report heard;
        listen_start(q->op);
        out = run(tape, q, a, b);
        listen_stop(&heard);
        if (out != NULL) {
            static facts all;
            find_facts(&all, q, out, a, b, &heard);
            if (options->json) {
                print_facts_json(&all);
            } else {
                print_facts(&all);
            }
            status = bench_flushed(PROGRAM) ? 0 : 1;
        }
    }
    if (out == NULL) bench_fail(PROGRAM, mt_last_message());
    mt_tape_free(tape);
    mt_tensor_free(a);
    mt_tensor_free(b);
    return status;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {{"Options", rows, (int)(sizeof rows / sizeof rows[0])}};
    const option_table table = {PROGRAM, groups, 1};
    settings options = {.other = NULL};
    question q;
    int status = bench_command_line(
        &table, argc, argv, &options,
        "Tells how the cpu backend runs an operation: its plan, its parallel loop, its kernels.");
    if (status < 0) status = understand(&options, &q);
    if (status >= 0) return status;
    mt_threads_keep_account(false); /* a plan is told for a whole team, and one is listened to */
    if (options.threads > 0 && mt_set_threads((int)options.threads) != MT_OK)
        return bench_fail(PROGRAM, mt_last_message());
    if (mt_backend_get("cpu") == NULL) return bench_fail(PROGRAM, mt_last_message());
    return answer(&options, &q);
}
