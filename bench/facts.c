/* facts.c - reads facts from plans, from the kernel table and from what was heard (see facts.h). */
#define _POSIX_C_SOURCE 200809L
#include "facts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "json.h"
#include "ops_cpu/gemm_plan.h"
#include "ops_cpu/reduce.h"

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

/* Which loop is parallel, and what of the results is whose. */
static void reduce_loop(facts *all, mt_reduce_cut cut)
{
    if (cut.inside > 1 && cut.blocks > 0) {
        tell(all, "loop", "plan",
             "over runs of rows of each of %" PRId64 " blocks of at most %" PRId64
             " columns, shared by %d threads",
             cut.tasks, cut.block, cut.inside);
    } else if (cut.inside > 1) {
        tell(all, "loop", "plan", "over chunks of each of %" PRId64 " rows, shared by %d threads", cut.tasks,
             cut.inside);
    } else if (cut.threads > 1 && cut.blocks > 0) {
        tell(all, "loop", "plan",
             "over %" PRId64 " blocks of at most %" PRId64 " columns, shared by %d threads", cut.tasks,
             cut.block, cut.threads);
    } else if (cut.threads > 1) {
        tell(all, "loop", "plan", "over %" PRId64 " results, shared by %d threads", cut.tasks, cut.threads);
    } else {
        tell(all, "loop", "plan", "none is parallel: %" PRId64 " %s on one thread", cut.tasks,
             cut.blocks > 0 ? "blocks of columns" : "results");
    }
    tell(all, "private", "plan",
         cut.inside > 1 ? "what each thread makes of its part; one thread joins them and writes the results"
                        : "the results of each task");
}

static void reduce_plan(facts *all, const question *q, const seen *a)
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
    const mt_reduce_work work = {
        .op = q->asks, .divisor = 1, .out = {a->operand.data, &kept}, .in = a->operand};
    mt_plan_reduce(&work.out, &work.in, reduced, &plan);
    tell(all, "path", "plan", "%s", classes[plan.reduce_class]);
    list_text(plan.kept_rank, plan.kept_size, " x ", sizes);
    list_text(plan.kept_rank, plan.kept_in, ", ", strides);
    tell(all, "kept", "plan", "%s with steps of %s", sizes, strides);
    list_text(plan.reduced_rank, plan.reduced_size, " x ", sizes);
    list_text(plan.reduced_rank, plan.reduced_in, ", ", strides);
    tell(all, "reduced", "plan", "%s with steps of %s", sizes, strides);
    if (plan.kept_count == 0 || plan.reduced_count == 0) return;
    reduce_loop(all, mt_cpu_reduce_cut(&work, &plan));
}

static void matmul_plan(facts *all, const seen *out, const seen *a, const seen *b)
{
    static const char *const paths[MT_GEMM_PATHS] = {"zero", "direct", "copy-b", "long", "dot", "packed"};
    const mt_matmul_work work = {.out = out->operand, .a = a->operand, .b = b->operand};
    mt_matmul_plan plan;
    char text[FACT_BYTES];
    mt_gemm_describe(&work, text, sizeof text);
    mt_plan_matmul(&work, &plan);
    mt_gemm g;
    mt_gemm_make(&work, &plan, &g);
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

static void calls_of(facts *all, const listen_kernel *k, bool lost)
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
    tell(all, k->name, "run", "%s%" PRId64 " calls (%s by thread), of %" PRId64 " to %" PRId64 "%s",
         lost ? "at least " : "", k->calls, text, k->least, k->most, wide);
}

/* Which loop was parallel, from who called what; for products and reductions the plan says it. */
static void loop(facts *all, const listen_report *heard)
{
    const listen_kernel *tile = listen_find(heard, "tile");
    if (heard->threads <= 1 || tile == NULL)
        tell(all, "loop", "run", "none is parallel: %s",
             heard->asked == 0          ? "the work is small, and nobody asked for threads"
             : heard->asked_answer <= 1 ? "one thread was allowed for this much work"
                                        : "one thread had all the pieces");
    else
        tell(all, "loop", "run",
             "over pieces of the result, computed in %s%" PRId64 " tiles of at most %" PRId64
             " rows of %" PRId64 " elements",
             heard->lost ? "more than " : "", tile->calls, tile->second_most, tile->most);
}

/* Results that are streamed are computed elsewhere first. */
static void streams(facts *all, const seen *out, const listen_report *heard)
{
    const listen_kernel *tile = listen_find(heard, "tile");
    if (tile == NULL) return;
    const uintptr_t data = (uintptr_t)out->operand.data, lowest = (uintptr_t)tile->lowest;
    const uintptr_t end = data + (uintptr_t)mt_layout_count(&out->layout) * sizeof(mt_real);
    tell(all, "stores", "run", "%s",
         lowest >= data && lowest < end
             ? "tiles write to the result"
             : "tiles write to blocks in the first cache, which are streamed to the result");
}

static void run_facts(facts *all, const question *q, const seen *out, const listen_report *heard)
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
    if (q->kind == ASK_ELEMENTWISE) {
        loop(all, heard);
        streams(all, out, heard);
    }
    int shared = 0;
    for (int i = 0; i < heard->kernels; i++) {
        calls_of(all, &heard->kernel[i], heard->lost);
        shared += heard->kernel[i].shared;
    }
    if (q->kind == ASK_REDUCE) return; /* the plan says what is private */
    const char *const kept = heard->lost ? ", as far as calls were kept" : "";
    if (shared > 0)
        tell(all, "private", "run", "two threads began to write at one place in %d places%s", shared, kept);
    else
        tell(all, "private", "run",
             "what a thread writes to (results, packed blocks): no two threads began to write at one place%s",
             kept);
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
    if (q->kind == ASK_MATMUL) {
        matmul_plan(all, &s[0], &s[1], &s[2]);
    } else if (q->kind == ASK_REDUCE) {
        reduce_plan(all, q, &s[1]);
    } else {
        elementwise_plan(all, q, &s[0], &s[1], &s[2]);
    }
    run_facts(all, q, &s[0], heard);
}
