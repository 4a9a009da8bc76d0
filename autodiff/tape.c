/* autodiff/tape.c - the life of a tape: its memory, its handles, its failure.
 *
 * A tape has arenas: values on the backend, and those of a VJP apart; nodes and their extras on the host;
 * handles on the host, in two arenas used by turns, so that a handle from before the last reset still shows
 * its old generation and is recognised. Handles that a rewind takes back wait in a queue before they are used
 * again, for the same reason. What a step allocates the next step finds again at the same addresses.
 */
#include "tape_struct.h"

#include <stdio.h>
#include <string.h>

enum { HANDLE_BLOCK = 1 << 15, NODE_BLOCK = 1 << 15, VALUE_BLOCK = 1 << 16, SCRATCH_BLOCK = 1 << 12 };

/* ---- memory ---- */

static void *value_allocate(void *context, size_t bytes)
{
    return ((mt_backend *)context)->allocate(context, bytes);
}

static void value_release(void *context, void *pointer, size_t bytes)
{
    ((mt_backend *)context)->release(context, pointer, bytes);
}

static void value_mark(void *context, void *pointer, size_t bytes, bool live)
{
    ((mt_backend *)context)->mark(context, pointer, bytes, live);
}

mt_tape *mt_tape_new(mt_backend *backend)
{
    if (!backend) return NULL;
    mt_tape *tape = mt_alloc_zeroed(sizeof *tape);
    mt_lifetime *lifetime = mt_alloc_zeroed(sizeof *lifetime);
    if (!tape || !lifetime) {
        mt_free(tape, sizeof *tape);
        mt_free(lifetime, sizeof *lifetime);
        return NULL;
    }
    atomic_init(&lifetime->references, 1);
    /* Tapes count from different numbers: a position of one that was freed fits no other that has its
     * address. */
    static atomic_uint_least64_t tapes;
    lifetime->generation = (atomic_fetch_add_explicit(&tapes, 1, memory_order_relaxed) << 32) + 1;
    tape->lifetime = lifetime;
    lifetime->tape = tape;
    tape->backend = backend;
    tape->recording = tape->fusing = true;
    tape->thread = mt_failing_thread();
    tape->failures = mt_failures();
    mt_arena_source handles = mt_host_arena_source();
    handles.mark = NULL; /* handles stay readable after a reset: their generation is what tells */
    for (int i = 0; i < 2; i++) {
        mt_arena_init(&tape->handles[i], HANDLE_BLOCK, handles);
        tape->handles[i].keeps = true;
    }
    mt_arena_init(&tape->nodes, NODE_BLOCK, mt_host_arena_source());
    mt_arena_source values = {value_allocate, value_release, value_mark, backend};
    if (!backend->mark || (backend->host && !mt_arena_guards_host())) values.mark = NULL;
    mt_arena_init(&tape->values, VALUE_BLOCK, values);
    mt_arena_init(&tape->scratch, SCRATCH_BLOCK, values);
    return tape;
}

/* Lets go of the constructors' tensors that were used after until. */
static void release_held(mt_tape *tape, mt_held *until)
{
    for (; tape->held != until; tape->held = tape->held->older) mt_tensor_free(tape->held->tensor);
}

void mt_tape_reset(mt_tape *tape)
{
    if (!tape) return;
    if (tape->scratching) {
        mt_fail(MT_ERR_STATE,
                "reset: the tape runs a backward, or the expression of an operation, which calls "
                "this; reset it after that");
        mt_tape_give_up(tape);
        return;
    }
    release_held(tape, NULL);
    tape->newest = NULL;
    tape->newest_handle = NULL;
    tape->quarantine = NULL;
    tape->quarantined = 0;
    tape->length = 0;
    tape->backwards = 0;
    tape->walked = false;
    tape->newest_gradient = 0;
    tape->status = MT_OK;
    tape->located = false;
    tape->message[0] = '\0';
    tape->thread = mt_failing_thread();
    tape->failures = mt_failures();
    tape->lifetime->generation++;
    tape->turn ^= 1;
    mt_arena_reset(&tape->handles[tape->turn]);
    mt_arena_reset(&tape->nodes);
    mt_arena_reset(&tape->values);
    mt_arena_reset(&tape->scratch);
}

void mt_tape_free(mt_tape *tape)
{
    if (!tape) return;
    mt_tape_reset(tape);
    for (int i = 0; i < 2; i++) mt_arena_free(&tape->handles[i]);
    mt_arena_free(&tape->nodes);
    mt_arena_free(&tape->values);
    mt_arena_free(&tape->scratch);
    mt_lifetime_release(tape->lifetime);
    mt_free(tape, sizeof *tape);
}

void *mt_tape_memory(mt_tape *tape, size_t bytes) { return mt_arena_alloc(&tape->nodes, bytes); }

static inline mt_handle *new_handle(mt_tape *tape)
{
    mt_handle *handle = tape->quarantine;
    if (tape->quarantined > MT_TAPE_QUARANTINE) {
        tape->quarantine = handle->older;
        tape->quarantined--;
    } else {
        handle = mt_arena_alloc(&tape->handles[tape->turn], sizeof *handle);
        if (!handle) return NULL;
    }
    memset(handle, 0, sizeof *handle);
    handle->storage.serial = ++tape->serial;
    handle->older = tape->newest_handle;
    tape->newest_handle = handle;
    handle->tensor.lifetime = tape->lifetime;
    handle->tensor.generation = tape->lifetime->generation;
    handle->scratch = tape->scratching;
    return handle;
}

static inline mt_tensor *row_major(mt_tape *tape, int rank, const int64_t *size, mt_kind kind)
{
    mt_handle *handle = new_handle(tape);
    int64_t count = handle ? mt_layout_rows(rank, size, &handle->tensor.layout) : -1;
    if (count < 0) return NULL;
    size_t bytes = (size_t)count * mt_kind_bytes(kind);
    void *data = mt_arena_alloc(tape->scratching ? &tape->scratch : &tape->values, bytes);
    if (!data) return NULL;
    handle->storage.borrowed = true;
    handle->storage.scratch = tape->scratching;
    handle->storage.backend = tape->backend;
    handle->storage.data = data;
    handle->storage.bytes = bytes;
    handle->tensor.storage = &handle->storage;
    handle->tensor.kind = kind;
    return &handle->tensor;
}

mt_tensor *mt_tape_empty(mt_tape *tape, mt_shape shape, mt_kind kind)
{
    return row_major(tape, shape.rank, shape.size, kind);
}

mt_tensor *mt_tape_like(mt_tape *tape, const mt_tensor *x)
{
    return row_major(tape, x->layout.rank, x->layout.size, MT_REAL);
}

mt_tensor *mt_tape_alias(mt_tape *tape, const mt_tensor *x, const mt_layout *layout)
{
    mt_handle *handle = new_handle(tape);
    if (!handle) return NULL;
    if (layout) handle->tensor.layout = *layout;
    handle->tensor.storage = x->storage;
    handle->tensor.kind = x->kind;
    return &handle->tensor;
}

mt_tensor *mt_tape_number(mt_tape *tape, double value)
{
    mt_tensor *number = mt_tape_empty(tape, mt_shape(1), MT_REAL);
    return number && mt_op_fill(number, value) == MT_OK ? number : NULL;
}

/* ---- state ---- */

void mt_tape_record(mt_tape *tape, bool on)
{
    if (tape) tape->recording = on;
}

bool mt_tape_is_recording(const mt_tape *tape) { return tape && tape->recording; }

void mt_tape_fuse(mt_tape *tape, bool on)
{
    if (tape) tape->fusing = on;
}

bool mt_tape_is_fusing(const mt_tape *tape) { return tape && tape->fusing; }

mt_status mt_tape_status(const mt_tape *tape) { return tape ? tape->status : MT_ERR_NULL; }

const char *mt_tape_message(const mt_tape *tape)
{
    return tape ? tape->message : "the tape is NULL: mt_tape_new failed, or was never called";
}

mt_backend *mt_tape_backend(const mt_tape *tape) { return tape ? tape->backend : NULL; }

int64_t mt_tape_length(const mt_tape *tape) { return tape ? tape->length : 0; }

mt_tensor *mt_tape_give_up(mt_tape *tape)
{
    if (tape->status == MT_OK) {
        tape->status = mt_last_status() != MT_OK ? mt_last_status() : MT_ERR_NULL;
        snprintf(tape->message, sizeof tape->message, "%s",
                 *mt_last_message() ? mt_last_message()
                                    : "an operand is NULL: the call that should have made it failed");
    }
    return NULL;
}

/* An operand that is NULL is told by its place, and with the failure that made it NULL: the thread's latest,
 * where it is of this thread and happened since the reset. */
static void refuse_null(mt_tape *tape, const char *name, int operand)
{
    const bool known = tape->thread == mt_failing_thread() && mt_failures() > tape->failures;
    tape->status = known && mt_last_status() != MT_OK ? mt_last_status() : MT_ERR_NULL;
    snprintf(tape->message, sizeof tape->message, "operand %d of %s is NULL%s%s", operand, name,
             known ? ": " : "; the call that should have made it failed, or was never made",
             known ? mt_last_message() : "");
}

void mt_tape_locate(mt_tape *tape, const char *name)
{
    char text[2 * sizeof tape->message];
    snprintf(text, sizeof text, "%.600s%s%s", name, tape->located ? "." : ": ", tape->message);
    text[sizeof tape->message - 1] = '\0';
    memcpy(tape->message, text, sizeof tape->message);
    tape->located = true;
}

/* ---- mark and rewind ---- */

typedef struct {
    const mt_tape *tape;
    uint64_t generation, serial;
    uint64_t section; /* of temporaries in which it was marked; 0 outside */
    mt_arena_mark nodes, values;
    mt_node *newest;
    mt_handle *newest_handle;
    mt_held *held;
    int64_t length;
} position;

_Static_assert(sizeof(position) <= sizeof(mt_tape_position),
               "a position must fit what the header reserves for it");

static uint64_t section(const mt_tape *tape) { return tape->scratching ? tape->sections : 0; }

mt_tape_position mt_tape_mark(mt_tape *tape)
{
    mt_tape_position mark = {{0}};
    if (!tape) return mark;
    position here = {tape,
                     tape->lifetime->generation,
                     tape->serial,
                     section(tape),
                     mt_arena_position(&tape->nodes),
                     mt_arena_position(&tape->values),
                     tape->newest,
                     tape->newest_handle,
                     tape->held,
                     tape->length};
    memcpy(&mark, &here, sizeof here);
    return mark;
}

/* Whether what the tape had at the mark is all still there: no rewind has gone further back since, nor have
 * temporaries been taken back, and none of what runs is newer. */
static bool lies_behind(const mt_tape *tape, const position *there)
{
    if (there->tape != tape || there->generation != tape->lifetime->generation ||
        there->section != section(tape))
        return false;
    const mt_handle *handle = tape->newest_handle;
    const mt_held *held = tape->held;
    while (handle && handle->storage.serial > there->serial) handle = handle->older;
    while (held && held->serial > there->serial) held = held->older;
    return handle == there->newest_handle && held == there->held;
}

/* Takes a handle back: it and the program's views of it are known as forgotten, and it goes to the end of the
 * queue. */
static void forget(mt_tape *tape, mt_handle *handle)
{
    handle->tensor.generation = 0;
    handle->storage.serial = 0;
    if (!tape->quarantine) tape->quarantine_end = &tape->quarantine;
    handle->older = NULL;
    *tape->quarantine_end = handle;
    tape->quarantine_end = &handle->older;
    tape->quarantined++;
}

mt_status mt_tape_rewind(mt_tape *tape, mt_tape_position mark)
{
    position there;
    if (!tape) return MT_ERR_NULL;
    memcpy(&there, &mark, sizeof there);
    if (!lies_behind(tape, &there))
        return mt_fail(
            MT_ERR_STATE,
            "rewind: the position was marked on another tape, before a reset, outside the backward that "
            "rewinds, or lies ahead; mark it again");
    release_held(tape, there.held);
    while (tape->newest_handle != there.newest_handle) {
        mt_handle *handle = tape->newest_handle;
        tape->newest_handle = handle->older;
        forget(tape, handle);
    }
    tape->newest = there.newest;
    tape->length = there.length;
    /* A gradient that arrived after the mark goes too, also that of a tensor from before it. */
    if (tape->newest_gradient > there.serial) {
        for (mt_node *node = tape->newest; node; node = node->older)
            if (node->out->has_grad && node->out->grad->generation == 0) node->out->has_grad = false;
        tape->newest_gradient = there.serial;
    }
    mt_arena_rewind(&tape->nodes, there.nodes);
    mt_arena_rewind(&tape->values, there.values);
    return MT_OK;
}

/* ---- temporaries ---- */

/* Takes back every temporary handle that is newer than since, and the values. */
static void forget_temporaries(mt_tape *tape, const mt_scratch *scratch)
{
    bool any = false;
    for (mt_handle **link = &tape->newest_handle; *link != scratch->since;) {
        mt_handle *handle = *link;
        if (!handle->scratch) {
            link = &handle->older;
            continue;
        }
        any = true;
        *link = handle->older;
        forget(tape, handle);
    }
    if (!any) return;
    mt_arena_rewind(&tape->scratch, scratch->start);
    tape->newest = scratch->newest;
    tape->length = scratch->length;
}

mt_tensor *mt_tape_end_scratch(mt_tape *tape, const mt_scratch *scratch, mt_tensor *value)
{
    tape->scratching = scratch->within;
    mt_tensor *lasting = NULL;
    if (value && !scratch->within && value->storage->borrowed && value->storage->scratch) {
        lasting = mt_tape_empty(tape, mt_tensor_shape(value), value->kind);
        if (lasting && mt_op_copy(lasting, value) != MT_OK) lasting = NULL;
    } else if (value) {
        lasting = mt_tape_alias(tape, value, &value->layout);
    }
    if (value && !lasting) mt_tape_give_up(tape);
    if (!scratch->within) forget_temporaries(tape, scratch);
    return lasting;
}

/* ---- operations come and go ---- */

/* Whether x may be an operand here. */
static mt_status check_operand(mt_tape *tape, const char *name, mt_tensor *x)
{
    mt_status status = mt_tensor_check(x, name);
    if (status != MT_OK) return status;
    if (x->lifetime && x->lifetime != tape->lifetime)
        return mt_fail(MT_ERR_STATE, "%s: an operand belongs to another tape; copy it with mt_keep first",
                       name);
    if (x->storage->backend != tape->backend)
        return mt_fail(MT_ERR_BACKEND,
                       "%s: an operand is on backend %s and the tape on %s; move it with mt_tensor_to", name,
                       x->storage->backend->name, tape->backend->name);
    if (atomic_load_explicit(&x->references, memory_order_relaxed) == 0) return MT_OK;
    /* A handle that the program may free before the tape is done with it; the latest two are looked at first.
     */
    mt_held *held = tape->held;
    if (held && (held->tensor == x || (held->older && held->older->tensor == x))) return MT_OK;
    held = mt_tape_memory(tape, sizeof *held);
    if (!held) return MT_ERR_MEMORY;
    mt_tensor_retain(x);
    *held = (mt_held){x, ++tape->serial, tape->held};
    tape->held = held;
    return MT_OK;
}

bool mt_tape_enter(mt_tape *tape, const char *name, mt_tensor *const *in, int inputs)
{
    if (!tape) {
        mt_fail_no_tape(name);
        return false;
    }
    if (tape->status != MT_OK) return false;
    for (int i = 0; i < inputs; i++) {
        if (check_operand(tape, name, in[i]) == MT_OK) continue;
        if (in[i])
            mt_tape_give_up(tape);
        else
            refuse_null(tape, name, i);
        return false;
    }
    return true;
}

/* Copies of the attributes at *to, in which shapes lie behind them. */
static void keep_attributes(const mt_call *call, mt_attribute *to, int count)
{
    mt_shape *shape = (mt_shape *)(to + count);
    for (int i = 0; i < count; i++) {
        const mt_attribute_type type = call->operation->attribute[i].type;
        to[i] = call->attribute[i];
        if ((type != MT_ATTRIBUTE_SHAPE && type != MT_ATTRIBUTE_DIMS) || !to[i].shape) continue;
        *shape = *to[i].shape;
        to[i].shape = shape++;
    }
}

mt_tensor *mt_tape_node(const mt_call *call, mt_tensor *out)
{
    if (!call->wants || !call->operation->vjp || out->kind != MT_REAL) return out;
    mt_tape *tape = call->tape;
    const size_t edges = (size_t)call->inputs * sizeof(mt_edge);
    size_t attributes = 0;
    int count = 0;
    if (call->saves & MT_READS_ATTRIBUTES)
        for (; count < MT_MAX_ATTRIBUTES && call->operation->attribute[count].name; count++) {
            const mt_attribute_type type = call->operation->attribute[count].type;
            attributes += sizeof(mt_attribute);
            if (type == MT_ATTRIBUTE_SHAPE || type == MT_ATTRIBUTE_DIMS) attributes += sizeof(mt_shape);
        }
    mt_node *node = mt_tape_memory(tape, sizeof *node + edges + attributes);
    if (!node) return mt_tape_give_up(tape);
    *node = (mt_node){.operation = call->operation,
                      .name = call->operation->name,
                      .older = tape->newest,
                      .out = out,
                      .out_version = out->storage->version,
                      .saves = call->saves,
                      .wants = call->wants,
                      .inputs = call->inputs,
                      .extra = call->extra};
    for (int i = 0; i < call->inputs; i++)
        node->in[i] = (mt_edge){call->in[i], call->in[i]->storage->version};
    if (count) {
        mt_attribute *kept = (mt_attribute *)(node->in + call->inputs);
        keep_attributes(call, kept, count);
        node->attribute = kept;
    }
    out->requires_grad = true;
    out->node = node;
    tape->newest = node;
    tape->length++;
    return out;
}

/* ---- leaves and constants ---- */

mt_status mt_require_grad(mt_tensor *x, bool on)
{
    mt_status status = mt_tensor_check(x, "require_grad");
    if (status != MT_OK) return status;
    if (x->lifetime && !x->is_view)
        return mt_fail(
            MT_ERR_STATE,
            "require_grad: this is the result of a tape operation; mark the tensors it is made from");
    if (x->is_gradient)
        return mt_fail(
            MT_ERR_STATE,
            "require_grad: this is a gradient, and there is no double backward; copy it with mt_keep");
    if (x->is_view)
        return mt_fail(
            MT_ERR_STATE,
            "require_grad: this is a view; mark the tensor it shows, and use mt_permute, mt_slice, ... "
            "on the tape");
    if (x->kind != MT_REAL) return mt_fail(MT_ERR_KIND, "require_grad: an INDEX tensor has no gradient");
    x->requires_grad = on;
    return MT_OK;
}

bool mt_requires_grad(const mt_tensor *x) { return x && x->requires_grad; }

mt_tensor *mt_keep(const mt_tensor *x) { return mt_tensor_copy(x); }

mt_tensor *mt_detach(mt_tape *tape, mt_tensor *x)
{
    if (!mt_tape_enter(tape, "detach", &x, 1)) return NULL;
    mt_tensor *constant = mt_tape_alias(tape, x, &x->layout);
    return constant ? constant : mt_tape_give_up(tape);
}

mt_tensor *mt_num(mt_tape *tape, double value)
{
    if (!mt_tape_enter(tape, "num", NULL, 0)) return NULL;
    mt_tensor *number = mt_tape_number(tape, value);
    return number ? number : mt_tape_give_up(tape);
}
