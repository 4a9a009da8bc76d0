/* facts.c - reads facts from plans, from the kernel table and from what was heard (see facts.h). */
#define _POSIX_C_SOURCE 200809L
#include "facts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "json.h"
#include "ops_cpu/gemm_plan.h"
#include "tensor/plan.h"

static void tell(facts *all, const char *name, const char *source, const char *format, ...) MT_PRINTF(4, 5);
static void tell(facts *all, const char *name, const char *source, const char *format, ...)
{
    if (all->count == MOST_FACTS) return;
    fact *one = &all->list[all->count++];
    *one = (fact){.name = name, .source = source};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(one->text, sizeof one->text, format, arguments);
    va_end(arguments);
}

static void count(facts *all, const char *name, const char *source, int64_t value)
{
    tell(all, name, source, "%" PRId64, value);
    all->list[all->count - 1].number = true;
}

void print_facts(const facts *all)
{
    for (int i = 0; i < all->count; i++)
        printf("%-14s [%s] %s\n", all->list[i].name, all->list[i].source, all->list[i].text);
}

void print_facts_json(const facts *all)
{
    for (int i = 0; i < all->count; i++) {
        fputs(i == 0 ? "{" : ", ", stdout);
        json_write_text(stdout, all->list[i].name);
        fputs(": ", stdout);
        if (all->list[i].number) {
            fputs(all->list[i].text, stdout);
        } else {
            json_write_text(stdout, all->list[i].text);
        }
    }
    puts("}");
}

/* ---- operands as the backend sees them ---- */

typedef struct seen {
    mt_layout layout;
    mt_operand operand;
} seen;

static void see(const mt_tensor *x, seen *s)
{
    const mt_shape shape = mt_tensor_shape(x);
    s->layout = (mt_layout){.rank = shape.rank};
    for (int d = 0; d < shape.rank; d++) {
        s->layout.size[d] = shape.size[d];
        s->layout.stride[d] = mt_tensor_stride(x, d);
    }
    /* Only addresses are looked at, nothing is written through this pointer. */
    s->operand = (mt_operand){(void *)(uintptr_t)mt_tensor_data(x), &s->layout};
}

static void list_text(int n, const int64_t *values, const char *between, char text[160])
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < n && used < 160; i++)
        used += (size_t)snprintf(text + used, 160 - used, "%s%" PRId64, i > 0 ? between : "", values[i]);
}

/* ---- plans ---- */

static void elementwise_plan(facts *all, const question *q, const seen *out, const seen *a, const seen *b)
{
    static const char *const classes[] = {"contiguous", "left scalar", "right scalar", "general"};
    mt_elementwise_plan plan;
    char sizes[160], strides[160];
    mt_plan_elementwise((mt_operand[]){out->operand, a->operand, b->operand}, q->operands + 1, &plan);
    tell(all, "path", "plan", "%s", classes[plan.row_class]);
    list_text(plan.rank, plan.size, " x ", sizes);
    tell(all, "loops", "plan", "%d after joining: %s", plan.rank, sizes);
    for (int k = 0; k < plan.operands; k++) {
        static const char *const names[] = {"result steps", "first steps", "second steps"};
        list_text(plan.rank, plan.stride[k], ", ", strides);
        tell(all, names[k], "plan", "%s", strides);
    }
    count(all, "alignment", "plan", plan.alignment);
}

static mt_reduce_class reduce_plan(facts *all, const question *q, const seen *a)
{
    static const char *const classes[] = {"all: one contiguous row", "inner: contiguous rows",
                                          "outer: columns", "general"};
    bool reduced[MT_MAX_DIMS];
    mt_layout kept = {.rank = a->layout.rank};
    int64_t stride = 1;
    for (int d = kept.rank - 1; d >= 0; d--) {
        reduced[d] = q->dim < 0 || q->dim == d;
        kept.size[d] = reduced[d] ? 1 : a->layout.size[d];
        kept.stride[d] = stride;
        stride *= kept.size[d];
    }
    mt_reduce_plan plan;
    char sizes[160], strides[160];
    mt_plan_reduce(&(mt_operand){a->operand.data, &kept}, &a->operand, reduced, &plan);
    tell(all, "path", "plan", "%s", classes[plan.reduce_class]);
    list_text(plan.kept_rank, plan.kept_size, " x ", sizes);
    list_text(plan.kept_rank, plan.kept_in, ", ", strides);
    tell(all, "kept", "plan", "%s with steps of %s", sizes, strides);
    list_text(plan.reduced_rank, plan.reduced_size, " x ", sizes);
    list_text(plan.reduced_rank, plan.reduced_in, ", ", strides);
    tell(all, "reduced", "plan", "%s with steps of %s", sizes, strides);
    return plan.reduce_class;
}

static void matmul_plan(facts *all, const seen *out, const seen *a, const seen *b)
{
    static const char *const paths[MT_GEMM_PATHS] = {"zero", "direct", "copy-b", "dot", "packed"};
    const mt_matmul_work work = {.out = out->operand, .a = a->operand, .b = b->operand};
    mt_matmul_plan plan;
    char text[FACT_BYTES];
    mt_gemm_describe(&work, text, sizeof text);
    mt_plan_matmul(&work, &plan);
    const mt_gemm g = mt_gemm_make(&work, &plan);
    tell(all, "path", "plan", "%s", paths[g.path]);
    tell(all, "in words", "plan", "%s", text);
    tell(all, "loop", "plan",
         g.k_cells > 1   ? "over %" PRId64 " cells of k, shared by %d threads; then over rows of C"
         : g.threads > 1 ? "over %" PRId64 " cells of C, shared by %d threads"
                         : "none is parallel: %" PRId64 " cells of C on %d thread",
         g.tasks, g.threads);
    const mt_gemm_cell cell = mt_gemm_cell_of(&g, 0);
    tell(all, "cut", "plan",
         "%" PRId64 " products, C of each in %" PRId64 " x %" PRId64 " cells of %" PRId64 " x %" PRId64
         ", k in %" PRId64 " cells and pieces of %" PRId64,
         plan.batch, g.row_cells, g.column_cells, cell.m, cell.n, g.k_cells, g.kc < g.k ? g.kc : g.k);
    count(all, "workspace", "plan", mt_gemm_space(&g) * (int64_t)sizeof(mt_real));
    count(all, "shared workspace", "plan", mt_gemm_space_partial(&g) * (int64_t)sizeof(mt_real));
    tell(all, "tile", "table", "%d x %d in registers", g.kernels->mr, g.kernels->nr);
}

/* ---- the run ---- */

static void calls_of(facts *all, const listen_kernel *k)
{
    char text[160] = "";
    size_t used = 0;
    for (int t = 0; t < LISTEN_THREADS && used < sizeof text; t++) {
        if (k->by_thread[t] > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, used > 0 ? " + " : "",
                                     k->by_thread[t]);
    }
    char wide[48] = "";
    if (k->second_most > 0) snprintf(wide, sizeof wide, ", %" PRId64 " the other way", k->second_most);
    tell(all, k->name, "run", "%" PRId64 " calls (%s by thread), of %" PRId64 " to %" PRId64 "%s", k->calls,
         text, k->least, k->most, wide);
}

/* Which loop was parallel, from who called what; for matmul the plan says it. */
static void loop(facts *all, const question *q, const listen_report *heard, mt_reduce_class reduce)
{
    if (heard->threads <= 1) {
        tell(all, "loop", "run", "none is parallel: %s",
             heard->asked == 0          ? "the work is small, and nobody asked for threads"
             : heard->asked_answer <= 1 ? "one thread was allowed for this much work"
                                        : "one thread had all the pieces");
        return;
    }
    const listen_kernel *fold = listen_find(heard, "fold"), *gather = listen_find(heard, "gather"),
                        *arg_rows = listen_find(heard, "arg_rows"),
                        *columns = gather != NULL ? gather : arg_rows;
    if (q->kind == ASK_ELEMENTWISE) {
        const listen_kernel *tile = listen_find(heard, "tile");
        tell(all, "loop", "run",
             "over %" PRId64 " tiles, at most %" PRId64 " rows of %" PRId64 " elements each", tile->calls,
             tile->second_most, tile->most);
    } else if (reduce == MT_REDUCE_OUTER && gather != NULL && gather->shared > 0) {
        tell(all, "loop", "run",
             "over runs of rows, %" PRId64 " columns wide; one thread joins their results", gather->most);
    } else if (reduce == MT_REDUCE_OUTER && columns != NULL) {
        tell(all, "loop", "run", "over blocks of columns, at most %" PRId64 " columns each", columns->most);
    } else if (reduce == MT_REDUCE_ALL && fold != NULL) {
        tell(all, "loop", "run", "over chunks of one row, at most %" PRId64 " elements each", fold->most);
    } else {
        tell(all, "loop", "run", "over results, each reduced by one thread");
    }
}

static void run_facts(facts *all, const question *q, const listen_report *heard, mt_reduce_class reduce)
{
    if (!listen_works()) {
        tell(all, "run", "run", "not heard: this build's linker cannot wrap functions");
        return;
    }
    if (heard->asked > 0)
        tell(all, "asked", "run", "%d threads for %.6g elementary steps", heard->asked_answer,
             heard->asked_work);
    if (q->kind == ASK_COPY) {
        tell(all, "loop", "run", "%s", heard->asked_answer > 1 ? "over tiles or rows" : "none is parallel");
        tell(all, "cut", "run", "not heard: a copy calls no kernel");
        return;
    }
    count(all, "threads", "run", heard->threads);
    if (q->kind != ASK_MATMUL) loop(all, q, heard, reduce);
    int shared = 0;
    for (int i = 0; i < heard->kernels; i++) {
        calls_of(all, &heard->kernel[i]);
        if (strcmp(heard->kernel[i].name, "gather") != 0) shared += heard->kernel[i].shared;
    }
    if (shared > 0) {
        tell(all, "private", "run", "%d places were written to by two threads, one after the other", shared);
    } else {
        tell(all, "private", "run",
             "what a thread writes to (results, partial results, packed blocks): no two threads wrote to one "
             "place%s",
             heard->lost ? ", as far as calls were kept" : "");
    }
}

void find_facts(facts *all, const question *q, const mt_tensor *out, const mt_tensor *a, const mt_tensor *b,
                const listen_report *heard)
{
    seen s[3];
    char shape[MT_SHAPE_TEXT], other[MT_SHAPE_TEXT];
    see(out, &s[0]);
    see(a, &s[1]);
    see(b, &s[2]);
    const bool two = q->operands == 2;
    tell(all, "operation", "question", "%s of %s%s%s", q->name, mt_shape_text(mt_tensor_shape(a), shape),
         two ? " and " : "", two ? mt_shape_text(mt_tensor_shape(b), other) : "");
    count(all, "allowed", "question", mt_get_threads());
    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    tell(all, "isa", "table", "%s", kernels->isa);
    count(all, "lanes", "table", kernels->gemm->lanes);
    count(all, "bits", "table", 8 * kernels->gemm->lanes * (int64_t)sizeof(mt_real));
    mt_reduce_class reduce = MT_REDUCE_GENERAL;
    if (q->kind == ASK_MATMUL) {
        matmul_plan(all, &s[0], &s[1], &s[2]);
    } else if (q->kind == ASK_REDUCE) {
        reduce = reduce_plan(all, q, &s[1]);
    } else {
        elementwise_plan(all, q, &s[0], &s[1], &s[2]);
    }
    run_facts(all, q, heard, reduce);
}
