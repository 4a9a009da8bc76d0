/* tests/programs.c - see programs.h. */
#include "programs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/op_id.h"

static _Noreturn void give_up(const char *what, const char *which)
{
    fprintf(stderr, "random_programs: %s%s\n", what, which);
    exit(2);
}

int64_t shape_count(mt_shape shape)
{
    int64_t count = 1;
    for (int d = 0; d < shape.rank; d++) count *= shape.size[d];
    return count;
}

double *program_numbers(program *p, int64_t count)
{
    if (count < 0 || (size_t)count > MOST_NUMBERS - p->used) give_up("a program has too many numbers", "");
    p->used += (size_t)count;
    return p->number + p->used - count;
}

/* ---- written ---- */

static void write_numbers(FILE *to, const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) fprintf(to, " %.17g", mt_printable(values[i]));
    fputc('\n', to);
}

static void write_list(FILE *to, mt_shape list, char between)
{
    for (int d = 0; d < list.rank; d++)
        fprintf(to, "%.*s%" PRId64, d > 0, (char[]){between, 0}, list.size[d]);
}

static const char *kind_name(mt_kind kind) { return kind == MT_INDEX ? "index" : "real"; }

static void write_attribute(FILE *to, const item *it, int a)
{
    const mt_attribute *value = &it->attribute[a];
    fprintf(to, " %s=", it->operation->attribute[a].name);
    switch (it->operation->attribute[a].type) {
    case MT_NO_ATTRIBUTE: break;
    case MT_ATTRIBUTE_REAL: fprintf(to, "%.17g", value->real); break;
    case MT_ATTRIBUTE_INTEGER:
    case MT_ATTRIBUTE_DIM: fprintf(to, "%" PRId64, value->integer); break;
    case MT_ATTRIBUTE_BOOL: fprintf(to, "%d", value->truth); break;
    case MT_ATTRIBUTE_SHAPE:
    case MT_ATTRIBUTE_DIMS:
        fputs(it->list[a].rank ? "[" : "all", to);
        write_list(to, it->list[a], ',');
        fputs(it->list[a].rank ? "]" : "", to);
        break;
    case MT_ATTRIBUTE_KIND: fputs(kind_name(value->kind), to); break;
    case MT_ATTRIBUTE_OP: fputs(mt_op_describe(value->op)->name, to); break;
    }
}

void program_write(const program *p, FILE *to)
{
    fprintf(to, "program %" PRIu64 " %s\n", p->seed, p->fused ? "fused" : "parts");
    for (int k = 0; k < p->count; k++) {
        const item *it = &p->item[k];
        if (it->operation) {
            fprintf(to, "node %s", it->operation->name);
            for (int a = 0; a < MT_MAX_ATTRIBUTES && it->operation->attribute[a].name; a++)
                write_attribute(to, it, a);
            fputs(" :", to);
            for (int i = 0; i < it->inputs; i++) fprintf(to, " %d", it->in[i]);
            fputc('\n', to);
        } else {
            fprintf(to, "leaf %s %s ", kind_name(it->kind), it->grad ? "grad" : "const");
            write_list(to, it->shape, 'x');
            write_numbers(to, it->values, shape_count(it->shape));
        }
    }
    for (int k = 0; k < p->count; k++)
        if (p->item[k].cotangent) {
            fprintf(to, "cotangent %d", k);
            write_numbers(to, p->item[k].cotangent, p->item[k].cotangents);
        }
    fputs("end\n", to);
}

/* ---- read ---- */

static char *word(void)
{
    char *next = strtok(NULL, " \n");
    if (!next) give_up("a line breaks off", "");
    return next;
}

static mt_shape read_list(const char *text, char between)
{
    mt_shape list = {0};
    if (strcmp(text, "all") == 0) return list;
    for (;;) {
        char *end;
        if (list.rank == MT_MAX_DIMS) give_up("too many sizes: ", text);
        list.size[list.rank++] = strtoll(text, &end, 10);
        if (end == text) give_up("no list: ", text);
        if (*end != between) return list;
        text = end + 1;
    }
}

/* Numbers up to the end of the line, of which there must be count. */
static double *read_numbers(program *p, int64_t count)
{
    double *values = program_numbers(p, count);
    for (int64_t i = 0; i < count; i++) values[i] = strtod(word(), NULL);
    if (strtok(NULL, " \n")) give_up("a line has more numbers than its shape", "");
    return values;
}

static mt_kind read_kind(const char *text) { return strcmp(text, "index") == 0 ? MT_INDEX : MT_REAL; }

static void read_attribute(item *it, char *text)
{
    char *value = strchr(text, '=');
    if (!value) give_up("no attribute: ", text);
    *value++ = 0;
    int a = 0;
    const mt_operation *o = it->operation;
    while (a < MT_MAX_ATTRIBUTES && o->attribute[a].name && strcmp(o->attribute[a].name, text) != 0) a++;
    if (a == MT_MAX_ATTRIBUTES || !o->attribute[a].name) give_up("no attribute of the operation: ", text);
    mt_attribute *to = &it->attribute[a];
    switch (o->attribute[a].type) {
    case MT_NO_ATTRIBUTE: break;
    case MT_ATTRIBUTE_REAL: to->real = strtod(value, NULL); break;
    case MT_ATTRIBUTE_INTEGER:
    case MT_ATTRIBUTE_DIM: to->integer = strtoll(value, NULL, 10); break;
    case MT_ATTRIBUTE_BOOL: to->truth = strcmp(value, "0") != 0; break;
    case MT_ATTRIBUTE_SHAPE:
    case MT_ATTRIBUTE_DIMS: it->list[a] = read_list(value + (*value == '['), ','); break;
    case MT_ATTRIBUTE_KIND: to->kind = read_kind(value); break;
    case MT_ATTRIBUTE_OP: to->op = mt_op_by_name(value); break;
    }
}

static int read_item_number(const program *p, const char *text)
{
    char *end;
    const long k = strtol(text, &end, 10);
    if (end == text || k < 0 || k >= p->count) give_up("no item before: ", text);
    return (int)k;
}

static void read_node(program *p, item *it)
{
    const char *name = word();
    it->operation = mt_operation_by_name(name);
    if (!it->operation) give_up("no operation is called ", name);
    char *next = word();
    for (; strcmp(next, ":") != 0; next = word()) read_attribute(it, next);
    while ((next = strtok(NULL, " \n")) != NULL) {
        if (it->inputs == MT_MAX_LIST) give_up("too many inputs of ", name);
        it->in[it->inputs++] = read_item_number(p, next);
    }
}

/* A line of any length, in memory that is used again; NULL at the end of the stream. */
static char *read_line(FILE *from)
{
    static char *line;
    static size_t room;
    for (size_t used = 0;; used = strlen(line)) {
        if (used + 2 > room) {
            room = room ? 2 * room : 4096;
            line = realloc(line, room);
            if (!line) give_up("out of memory", "");
        }
        if (!fgets(line + used, (int)(room - used), from)) return used ? line : NULL;
        if (strchr(line + used, '\n')) return line;
    }
}

bool program_read(program *p, FILE *from)
{
    char *line = read_line(from);
    if (!line) return false;
    const char *first = strtok(line, " \n");
    if (!first || strcmp(first, "program") != 0) give_up("no program: ", line);
    p->count = 0;
    p->used = 0;
    p->seed = strtoull(word(), NULL, 10);
    p->fused = strcmp(word(), "fused") == 0;
    while ((line = read_line(from)) != NULL) {
        const char *what = strtok(line, " \n");
        if (!what) continue;
        if (strcmp(what, "end") == 0) return true;
        if (strcmp(what, "cotangent") == 0) {
            item *it = &p->item[read_item_number(p, word())];
            it->cotangent = program_numbers(p, 0);
            it->cotangents = 0;
            for (const char *next; (next = strtok(NULL, " \n")) != NULL; it->cotangents++)
                *program_numbers(p, 1) = strtod(next, NULL);
            continue;
        }
        if (p->count == MOST_ITEMS) give_up("a program has too many items", "");
        item *it = &p->item[p->count];
        *it = (item){.operation = NULL};
        if (strcmp(what, "node") == 0) {
            read_node(p, it);
        } else if (strcmp(what, "leaf") == 0) {
            it->kind = read_kind(word());
            it->grad = strcmp(word(), "grad") == 0;
            it->shape = read_list(word(), 'x');
            it->values = read_numbers(p, shape_count(it->shape));
        } else {
            give_up("no line of a program: ", what);
        }
        p->count++;
    }
    give_up("a program has no end", "");
}

/* ---- a wrong operation ---- */

static const double WRONG = 1 + 1e-6;
static const mt_operation *spoiled; /* as it should be; NULL: none */
static mt_operation wrong;

static void wrong_vjp(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    spoiled->vjp(tape, node, mt_scale(tape, g, WRONG));
}

bool spoil(const char *name, bool gradient)
{
    spoiled = mt_operation_by_name(name);
    if (!spoiled || (gradient && !spoiled->vjp)) return false;
    wrong = *spoiled;
    if (gradient) wrong.vjp = wrong_vjp;
    return true;
}

/* ---- run ---- */

static _Noreturn void failed(void) { give_up("outside a program's operations: ", mt_last_message()); }

/* The element's own number in [-1, 1): bits of a product with the golden ratio. */
static double wobble(int k, int64_t i)
{
    uint64_t z = ((uint64_t)k << 32 ^ (uint64_t)i) + 1;
    z *= 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 29) * 0xBF58476D1CE4E5B9u;
    return (double)(z >> 11) * 0x1p-52 - 1;
}

/* What the noise multiplies item k's elements by. */
static double *noise_factors(const machine *m, int k, int64_t count)
{
    double *factor = malloc((size_t)(count + 1) * sizeof *factor);
    if (!factor) give_up("out of memory", "");
    for (int64_t i = 0; i < count; i++) factor[i] = 1 + m->noise * wobble(k, i);
    return factor;
}

static mt_tensor *disturb(machine *m, int k, mt_tensor *y)
{
    double *factor = noise_factors(m, k, mt_tensor_count(y));
    mt_tensor *factors = mt_from_doubles(m->backend, factor, mt_tensor_shape(y));
    free(factor);
    if (!factors) failed();
    y = mt_mul(m->tape, y, factors);
    mt_tensor_free(factors); /* the tape holds on to it */
    return y;
}

void machine_begin(machine *m, const program *p, mt_backend *backend, double noise)
{
    memset(m, 0, sizeof *m);
    m->backend = backend;
    m->noise = noise;
    m->tape = mt_tape_new(backend);
    if (!m->tape) failed();
    mt_tape_fuse(m->tape, p->fused);
}

void machine_end(machine *m)
{
    mt_tape_free(m->tape);
    for (int k = 0; k < MOST_ITEMS; k++) mt_tensor_free(m->leaf[k]);
}

static mt_tensor *make_leaf(machine *m, const item *it, int k)
{
    const int64_t count = shape_count(it->shape);
    if (it->kind == MT_REAL) {
        double *noisy = noise_factors(m, k, count);
        for (int64_t i = 0; i < count; i++) noisy[i] *= it->values[i];
        mt_tensor *leaf = mt_from_doubles(m->backend, noisy, it->shape);
        free(noisy);
        return leaf;
    }
    int64_t *values = malloc((size_t)(count + 1) * sizeof *values);
    if (!values) give_up("out of memory", "");
    for (int64_t i = 0; i < count; i++) values[i] = (int64_t)it->values[i];
    mt_tensor *leaf = mt_from_indices(m->backend, values, it->shape);
    free(values);
    return leaf;
}

bool machine_step(machine *m, const program *p, int k)
{
    const item *it = &p->item[k];
    if (!it->operation) {
        m->leaf[k] = m->result[k] = make_leaf(m, it, k);
        if (!m->leaf[k] || (it->grad && mt_require_grad(m->leaf[k], true) != MT_OK)) failed();
        return true;
    }
    mt_attribute attribute[MT_MAX_ATTRIBUTES];
    memcpy(attribute, it->attribute, sizeof attribute);
    for (int a = 0; a < MT_MAX_ATTRIBUTES && it->operation->attribute[a].name; a++) {
        const mt_attribute_type type = it->operation->attribute[a].type;
        if (type == MT_ATTRIBUTE_SHAPE || type == MT_ATTRIBUTE_DIMS)
            attribute[a].shape = it->list[a].rank ? &it->list[a] : NULL;
    }
    mt_tensor *in[MT_MAX_LIST];
    for (int i = 0; i < it->inputs; i++) in[i] = m->result[it->in[i]];
    const bool is_wrong = it->operation == spoiled;
    mt_tensor *y = mt_apply_operation(m->tape, is_wrong ? &wrong : it->operation, in, it->inputs, attribute);
    if (y && is_wrong && wrong.vjp == spoiled->vjp) y = mt_scale(m->tape, y, WRONG);
    if (y && m->noise != 0 && mt_tensor_kind(y) == MT_REAL) y = disturb(m, k, y);
    m->result[k] = y;
    return y != NULL;
}

mt_status machine_backward(machine *m, const program *p)
{
    for (int k = 0; k < p->count; k++) {
        const item *it = &p->item[k];
        if (!it->cotangent) continue;
        const int64_t count = mt_tensor_count(m->result[k]);
        double *values = malloc((size_t)(count + 1) * sizeof *values);
        if (!values) give_up("out of memory", "");
        for (int64_t i = 0; i < count; i++)
            values[i] = it->cotangents ? it->cotangent[i % it->cotangents] : 0;
        mt_tensor *cotangent = mt_from_doubles(m->backend, values, mt_tensor_shape(m->result[k]));
        free(values);
        if (!cotangent) failed();
        const mt_status status = mt_backward_from(m->tape, m->result[k], cotangent);
        mt_tensor_free(cotangent);
        if (status != MT_OK) return status;
    }
    return MT_OK;
}

void tensor_numbers(const mt_tensor *x, double *values)
{
    const int64_t count = mt_tensor_count(x);
    if (mt_tensor_kind(x) == MT_REAL) {
        if (mt_to_doubles(x, values, count) != MT_OK) failed();
        return;
    }
    int64_t *integers = malloc((size_t)(count + 1) * sizeof *integers);
    if (!integers) give_up("out of memory", "");
    if (mt_to_indices(x, integers, count) != MT_OK) failed();
    for (int64_t i = 0; i < count; i++) values[i] = (double)integers[i];
    free(integers);
}

static void write_tensor(FILE *to, const mt_tensor *x)
{
    const int64_t count = mt_tensor_count(x);
    double *values = malloc((size_t)(count + 1) * sizeof *values);
    if (!values) give_up("out of memory", "");
    tensor_numbers(x, values);
    write_numbers(to, values, count);
    free(values);
}

void program_run(const program *p, mt_backend *backend, FILE *to)
{
    machine m;
    machine_begin(&m, p, backend, 0);
    int done = 0;
    while (done < p->count && machine_step(&m, p, done)) done++;
    if (done < p->count) {
        fprintf(to, "refused %d %s\n", done, mt_tape_message(m.tape));
    } else if (machine_backward(&m, p) != MT_OK) {
        fprintf(to, "refused -1 %s\n", mt_last_message());
    } else {
        for (int k = 0; k < p->count; k++) {
            if (!p->item[k].operation) continue;
            fprintf(to, "value %d %s ", k, kind_name(mt_tensor_kind(m.result[k])));
            write_list(to, mt_tensor_shape(m.result[k]), 'x');
            write_tensor(to, m.result[k]);
        }
        for (int k = 0; k < p->count; k++) {
            if (p->item[k].operation || !p->item[k].grad) continue;
            fprintf(to, "gradient %d", k);
            write_tensor(to, mt_grad(m.leaf[k]));
        }
    }
    fputs("end\n", to);
    fflush(to);
    machine_end(&m);
}
