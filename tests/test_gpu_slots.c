/* tests/test_gpu_slots.c - does bench/gpu_slots see a fault? Each slot of gpu-sim's table gets one, one at a
 * time.
 *
 * A broken table has one function that does its work and then spoils it: an element, a byte, a piece that is
 * not given back. The check of that slot must fail, in a line that names it, and pass where nothing is
 * broken. A slot without a check must be noticed. Lines that are expected go to a file.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tensor/op_id.h"
#include "bench/slots.h"

static mt_backend *whole;
static mt_backend broken;

/* ---- faults ---- */

/* Adds 1 to the first element of what a slot wrote, as long as it is a real or an index. */
static mt_status spoil(mt_status status, const mt_operand *out, mt_kind kind)
{
    const size_t bytes = mt_kind_bytes(kind);
    char *at = (char *)out->data + (size_t)out->layout->offset * bytes;
    mt_real real = 0;
    int64_t index = 0;
    void *value = kind == MT_REAL ? (void *)&real : (void *)&index;
    if (status != MT_OK || mt_layout_count(out->layout) == 0) return status;
    status = whole->download(whole, value, at, bytes);
    real += 1, index += 1;
    return status == MT_OK ? whole->upload(whole, at, value, bytes) : status;
}

static void *bad_allocate(mt_backend *b, size_t bytes)
{
    char *data = whole->allocate(b, bytes + 64);
    return data != NULL ? data + 8 : NULL;
}
static void bad_release(mt_backend *b, void *pointer, size_t bytes) { (void)b, (void)pointer, (void)bytes; }
static void bad_mark(mt_backend *b, void *pointer, size_t bytes, bool live)
{
    (void)live; /* taken back for ever */
    whole->mark(b, pointer, bytes, false);
}
static mt_status bad_upload(mt_backend *b, void *to, const void *from, size_t bytes)
{
    return whole->upload(b, to, from,
                         bytes > 4096 ? bytes - 1 : bytes); /* the end of a long one is forgotten */
}
static mt_status bad_download(mt_backend *b, void *to, const void *from, size_t bytes)
{
    const mt_status status = whole->download(b, to, from, bytes);
    if (bytes > 4096) ((unsigned char *)to)[bytes / 2] ^= 1;
    return status;
}
static mt_status bad_fill(mt_backend *b, mt_operand out, mt_kind kind, double value)
{
    return spoil(whole->fill(b, out, kind, value), &out, kind);
}
static mt_status bad_copy(mt_backend *b, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    return spoil(whole->copy(b, out, out_kind, in, in_kind), &out, out_kind);
}
/* The last row of the table alone. */
static mt_status bad_map(mt_backend *b, const mt_elementwise_work *work)
{
    const mt_status status = whole->map(b, work);
    return work->op == MT_MAP_COUNT - 1 ? spoil(status, &work->operand[0], MT_REAL) : status;
}
static mt_status bad_zip(mt_backend *b, const mt_elementwise_work *work)
{
    const mt_status status = whole->zip(b, work);
    return work->part == MT_PART_GRAD_B ? spoil(status, &work->operand[0], MT_REAL) : status;
}
static mt_status bad_reduce(mt_backend *b, const mt_reduce_work *work)
{
    const mt_status status = whole->reduce(b, work);
    return work->op == MT_ARGMIN ? spoil(status, &work->out, MT_INDEX) : status;
}
static mt_status bad_scatter(mt_backend *b, const mt_scatter_work *work)
{
    return spoil(whole->scatter(b, work), &work->out, MT_REAL);
}
static mt_status bad_rows(mt_backend *b, const mt_rows_work *work)
{
    return spoil(whole->rows(b, work), &work->out, work->kind);
}
static mt_status bad_matmul(mt_backend *b, const mt_matmul_work *work)
{
    const mt_status status = whole->matmul(b, work);
    return work->pre.data != NULL ? spoil(status, &work->pre, MT_REAL) : status;
}
static mt_status bad_where(mt_backend *b, mt_operand out, mt_operand mask, mt_kind mask_kind, mt_operand x,
                           mt_operand y)
{
    return whole->where(b, out, mask, mask_kind, y, x);
}
static mt_status bad_compare(mt_backend *b, mt_operand out, mt_operand x, mt_operand y, const mt_real *order)
{
    const mt_real swapped[3] = {order[2], order[1], order[0]};
    return whole->compare(b, out, x, y, swapped);
}
static mt_status bad_reduce_index(mt_backend *b, const mt_reduce_work *work, mt_kind out_kind)
{
    mt_reduce_work other = *work;
    if (out_kind == MT_REAL) other.divisor *= 2;
    return whole->reduce_index(b, &other, out_kind);
}

static mt_status bad_gather(mt_backend *b, const mt_gather_work *work)
{
    const mt_status status = whole->gather(b, work);
    return work->put ? spoil(status, &work->out, MT_REAL) : status;
}
static mt_status bad_cumsum(mt_backend *b, mt_operand out, mt_operand in, int dim, bool back)
{
    return spoil(whole->cumsum(b, out, in, dim, back), &out, MT_REAL);
}
static mt_status bad_argsort(mt_backend *b, mt_operand out, mt_operand in, int dim, bool descending)
{
    return whole->argsort(b, out, in, dim, !descending);
}

static mt_status bad_softmax(mt_backend *b, const mt_softmax_work *work)
{
    return spoil(whole->softmax(b, work), &work->out, MT_REAL);
}
static mt_status bad_cross_entropy(mt_backend *b, const mt_cross_entropy_work *work)
{
    const mt_status status = whole->cross_entropy(b, work);
    return work->back ? spoil(status, &work->out, MT_REAL) : status;
}
static mt_status bad_conv(mt_backend *b, const mt_conv_work *work)
{
    mt_conv_work other = *work;
    if (work->dilation[1] > 1) other.before[1]++;
    return whole->conv(b, &other);
}
/* Another number below the root. */
static mt_status bad_layer_norm(mt_backend *b, const mt_layer_norm_work *work)
{
    mt_layer_norm_work other = *work;
    other.eps = work->back ? work->eps : 2 * work->eps + 0.5;
    return whole->layer_norm(b, &other);
}
static mt_status bad_random(mt_backend *b, const mt_random_work *work)
{
    mt_random_work other = *work;
    other.rng.counter++;
    return whole->random(b, &other);
}
static mt_status bad_permutation(mt_backend *b, mt_operand out, mt_rng rng)
{
    rng.seed++;
    return whole->permutation(b, out, rng);
}
static mt_status bad_update(mt_backend *b, const mt_update_work *work)
{
    mt_update_work other = *work;
    if (work->rule == MT_UPDATE_adamw) other.rule = MT_UPDATE_adam;
    return whole->update(b, &other);
}
static void bad_describe(mt_backend *b, mt_backend_facts *facts)
{
    whole->describe(b, facts);
    facts->threads = 0;
}
static void bad_counts(mt_backend *b, mt_backend_counts *counts)
{
    whole->counts(b, counts);
    counts->uploads = 0;
}

/* ---- one slot after the other ---- */

/* Puts the fault of a slot into the broken table. */
static void plant(const char *slot)
{
    broken = *whole;
#define MT_SLOT(need, result, field, parameters, text) \
    if (strcmp(slot, #field) == 0) broken.field = bad_##field;
#include "tensor/slots.inc"
}

/* Runs check i with its lines in text instead of on standard output; what slots_run said. */
static int run(int i, char *text, size_t size)
{
    FILE *lines = tmpfile();
    const int out = dup(1);
    if (lines == NULL || out < 0) abort();
    fflush(stdout);
    dup2(fileno(lines), 1);
    const int failed = slots_run(i, 1);
    fflush(stdout);
    dup2(out, 1);
    close(out);
    rewind(lines);
    text[fread(text, 1, size - 1, lines)] = 0;
    fclose(lines);
    return failed;
}

static bool check_slot(int i)
{
    static char text[8192];
    const char *name = slot_checks[i].name;
    char want[64];
    snprintf(want, sizeof want, "FAIL  gpu_slots %s: ", name);
    backends[0] = whole;
    const bool right = run(i, text, sizeof text) == 0;
    if (!right) printf("FAIL  %s: nothing is broken, and it says: %s", name, text);
    plant(name);
    const bool planted = memcmp(&broken, whole, sizeof broken) != 0;
    if (!planted) printf("FAIL  %s: this test has no fault for it; add one\n", name);
    backends[0] = &broken;
    const bool seen = run(i, text, sizeof text) != 0 && strstr(text, want) != NULL;
    const char *line = strstr(text, "FAIL");
    if (!seen) printf("FAIL  %s: the fault is not seen: %s", name, text);
    if (right && planted && seen)
        printf("ok    %.*s\n", line != NULL ? (int)strcspn(line, "\n") - 6 : 0, line + 6);
    return right && planted && seen;
}

int main(void)
{
    int failures = 0;
    whole = mt_backend_get("gpu-sim");
    backends[1] = mt_backend_get("simple");
    if (whole == NULL || backends[1] == NULL) {
        printf("%s\n", mt_last_message());
        return 1;
    }
    for (int i = 0; i < slot_check_count; i++) failures += !check_slot(i);
    /* A list that has lost its last row, and one that has lost its first. */
    const size_t last = slot_checks[slot_check_count - 1].offset - offsetof(mt_backend, allocate);
    const bool noticed =
        slots_without_check(slot_checks, slot_check_count) == -1 &&
        slots_without_check(slot_checks, slot_check_count - 1) == (int)(last / sizeof(void (*)(void))) &&
        slots_without_check(slot_checks + 1, slot_check_count - 1) == 0;
    if (!noticed) printf("FAIL  a slot without a check is not noticed\n");
    failures += !noticed;
    printf("%d failures\n", failures);
    return failures > 0 ? 1 : 0;
}
