/* tests/test_api.c - every public function with NULL for each pointer, and with a tensor whose tape was
 * reset, rewound or freed for each tensor: nothing crashes, and what is refused says so.
 *
 * The calls are made from the headers, so none is missing. Each runs in a child of its own, which may crash.
 * A tensor that was passed to mt_tensor_free cannot be recognised, and is not tried.
 */
#define _POSIX_C_SOURCE 200809L
#include "test_api.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* ---- what stands in the hole ---- */

typedef enum wrong { IS_NULL, WAS_RESET, WAS_REWOUND, VIEW_OF_FREED, VIEW_OF_REWOUND, WRONG_COUNT } wrong;
static const char *const wrong_names[] = {"NULL", "a tensor from before a reset",
                                          "a tensor from before a rewind", "a view of a freed tape's tensor",
                                          "a view of what was rewound"};

static int hole;
static wrong in_hole;
static mt_backend *backend;
static mt_tape *tape;
static mt_rng rng;

static mt_tensor *numbers(void)
{
    return mt_from_doubles(backend, (double[]){0.25, 0.5, 0.75, 1}, mt_shape(2, 2));
}

static mt_tensor *make_forgotten(mt_shape shape)
{
    mt_tape *whose = in_hole == VIEW_OF_FREED ? mt_tape_new(backend) : tape;
    const mt_tape_position before = mt_tape_mark(whose);
    mt_tensor *result = mt_exp(whose, mt_ones(backend, shape));
    mt_tensor *forgotten = result;
    const bool view = in_hole == VIEW_OF_FREED || in_hole == VIEW_OF_REWOUND;
    if (view) forgotten = mt_tensor_view(result, shape);
    if (in_hole == WAS_RESET) mt_tape_reset(whose);
    if (in_hole == WAS_REWOUND || in_hole == VIEW_OF_REWOUND) mt_tape_rewind(whose, before);
    if (in_hole == VIEW_OF_FREED) mt_tape_free(whose);
    return forgotten;
}

/* ---- arguments ---- */

static bool is_hole(int number) { return number == hole; }

mt_tensor *api_tensor(int number, const char *name)
{
    const mt_shape shape = strcmp(name, "bias") == 0   ? mt_shape(2)
                           : strcmp(name, "loss") == 0 ? mt_shape(1)
                                                       : mt_shape(2, 2);
    if (is_hole(number)) return in_hole == IS_NULL ? NULL : make_forgotten(shape);
    if (strcmp(name, "index") == 0) return mt_from_indices(backend, (int64_t[]){1, 0}, mt_shape(2));
    if (strcmp(name, "bias") == 0) return mt_ones(backend, mt_shape(2));
    mt_tensor *x = numbers();
    if (strcmp(name, "loss") == 0) mt_require_grad(x, true), x = mt_sum(tape, x);
    return x;
}

mt_tensor *const *api_list(int number)
{
    static mt_tensor *list[2];
    if (is_hole(number) && in_hole == IS_NULL) return NULL;
    list[0] = is_hole(number) ? make_forgotten(mt_shape(2, 2)) : numbers();
    list[1] = numbers();
    return list;
}

mt_tape *api_tape(int number) { return is_hole(number) ? NULL : tape; }

mt_backend *api_backend(int number) { return is_hole(number) ? NULL : backend; }

mt_rng *api_rng(int number) { return is_hole(number) ? NULL : &rng; }

FILE *api_stream(int number) { return is_hole(number) ? NULL : tmpfile(); }

static mt_module *net(void) { return mt_linear_layer(backend, 2, 2, MT_INIT_MINITORCH, &rng); }

mt_module *api_module(int number, const char *name)
{
    if (is_hole(number)) return NULL;
    return strcmp(name, "sequential") == 0 ? mt_sequential() : net();
}

mt_optimizer *api_optimizer(int number)
{
    return is_hole(number) ? NULL : mt_sgd_new(net(), mt_sgd_defaults());
}

mt_loss_fn api_loss(int number) { return is_hole(number) ? NULL : mt_loss_mse; }

mt_step *api_step(int number)
{
    mt_module *model = net();
    mt_optimizer *optimizer = mt_sgd_new(model, mt_sgd_defaults());
    return is_hole(number) ? NULL : mt_step_new(model, mt_loss_mse, optimizer, mt_step_defaults());
}

mt_dataset *api_dataset(int number)
{
    return is_hole(number) ? NULL : mt_dataset_make(backend, MT_DATASET_XOR, 4, &rng);
}

mt_batches *api_batches(int number)
{
    return is_hole(number) ? NULL : mt_batches_new(numbers(), numbers(), 1, rng);
}

mt_layout *api_layout(int number)
{
    static mt_layout layout;
    layout = mt_layout_contiguous(mt_shape(2, 2));
    return is_hole(number) ? NULL : &layout;
}

static mt_tensor *first(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_exp(t, in[0]);
}

static mt_status back(mt_tape *t, void *context, mt_tensor *const *in, const mt_tensor *out,
                      const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)t, (void)context, (void)in, (void)needs;
    return mt_op_mul(grad[0], cotangent, out);
}

const mt_function *api_function(int number)
{
    static const mt_function function = {"first", 1, NULL, first, back};
    return is_hole(number) ? NULL : &function;
}

const mt_operation *api_operation(int number)
{
    return is_hole(number) ? NULL : mt_operation_by_name("scale");
}

static mt_tensor *forward(mt_module *self, void *context, mt_tape *t, mt_tensor *x)
{
    (void)self, (void)context;
    return mt_exp(t, x);
}

mt_forward_fn api_forward(int number) { return is_hole(number) ? NULL : forward; }

mt_gradcheck_fn api_checked(int number) { return is_hole(number) ? NULL : first; }

static void release(void *context) { (void)context; }

void (*api_release(int number))(void *) { return is_hole(number) ? NULL : release; }

char *api_text(int number)
{
    static char text[MT_SHAPE_TEXT];
    strcpy(text, "simple");
    return is_hole(number) ? NULL : text;
}

mt_tensor **api_parts(int number)
{
    static mt_tensor *parts[8];
    return is_hole(number) ? NULL : parts;
}

void *api_memory(int number) { return is_hole(number) ? NULL : calloc(64, sizeof(double)); }

mt_shape api_shape(const char *name)
{
    if (strcmp(name, "dims") == 0) return mt_axes(0);
    if (strcmp(name, "order") == 0) return mt_axes(1, 0);
    return strcmp(name, "index") == 0 ? mt_at(1, 0) : mt_shape(2, 2);
}

int64_t api_integer(const char *name)
{
    static const struct {
        const char *name;
        int64_t value;
    } usual[] = {{"count", 4}, {"dim", 0},  {"dim0", 0},  {"dim1", 1}, {"first", 0}, {"last", 1},
                 {"start", 0}, {"stop", 2}, {"index", 1}, {"i", 0},    {"points", 4}};
    for (size_t i = 0; i < TEST_LENGTH(usual); i++)
        if (strcmp(name, usual[i].name) == 0) return usual[i].value;
    return 1;
}

mt_op api_op(const char *function) { return strstr(function, "zip") ? MT_OP_mul : MT_OP_exp; }

mt_tape_position api_position(void) { return mt_tape_mark(tape); }

/* ---- results ---- */

static enum { NOTHING, REFUSED, ACCEPTED } outcome;
static mt_status got;

void api_status(mt_status status)
{
    got = status;
    outcome = status == MT_OK ? ACCEPTED : REFUSED;
}

void api_pointer(const void *pointer)
{
    got = mt_last_status();
    outcome = pointer ? ACCEPTED : REFUSED;
}

void api_value(void) { outcome = NOTHING; }

/* ---- what may be ---- */

/* Parameters that may be NULL, or are not read in this call: "function number". */
static const char *const allowed[] = {
    "mt_module_free 0",          "mt_module_kind 0", "mt_module_message 0", "mt_module_name 0",
    "mt_tape_message 0",         "mt_shape_text 1", /* these six say so, or give "" */
    "mt_loss_bce_with_logits 0", "mt_loss_mse 0",   /* a context, which these do not read */
    "mt_op_linear_act 6",                           /* pre, of which keep_pre says that it is not given */
    "mt_op_map_grad 3",          "mt_op_zip_grad 5", "mt_op_zip_grad 6", /* operands that the derivative does
                                                                            not need */
};

static bool may(const char *name, int number)
{
    char text[80];
    snprintf(text, sizeof text, "%s %d", name, number);
    for (size_t i = 0; i < TEST_LENGTH(allowed); i++)
        if (strcmp(text, allowed[i]) == 0) return true;
    return false;
}

/* Functions whose sentence names the operation that they consist of, or that they were asked for. */
static const struct {
    const char *function, *named;
} inner[] = {
    {"mt_apply", "first"},           /* the function's own name */
    {"mt_apply_operation", "scale"}, /* the operation's */
    {"mt_gradcheck", "exp"},
    {"mt_init_constant", "fill"},
    {"mt_init_kaiming_normal", "normal"},
    {"mt_init_kaiming_uniform", "uniform"},
    {"mt_init_linear", "uniform"}, /* the weight; "fill" for the bias */
    {"mt_init_linear", "fill"},
    {"mt_init_normal", "normal"},
    {"mt_init_uniform", "uniform"},
    {"mt_init_xavier_normal", "normal"},
    {"mt_init_xavier_uniform", "uniform"},
    {"mt_keep", "copy"},
    {"mt_loss_bce_with_logits", "bce_with_logits"},
    {"mt_loss_cross_entropy", "cross_entropy"},
    {"mt_loss_mse", "mse"},
    {"mt_map", "exp"},
    {"mt_module_forward", "linear"},
    {"mt_op_map", "exp"},
    {"mt_op_map_grad", "exp"},
    {"mt_op_zip", "mul"},
    {"mt_op_zip_grad", "mul"},
    {"mt_zip", "mul"},
};

/* Whether a sentence begins with what the function is called behind its prefixes, or with one of these. */
static bool is_named(const char *function, const char *told)
{
    static const char *const prefixes[] = {"mt_", "tensor_", "op_"};
    const size_t length = strcspn(told, ":");
    for (size_t i = 0; i < TEST_LENGTH(inner); i++)
        if (strcmp(function, inner[i].function) == 0 && strlen(inner[i].named) == length &&
            strncmp(told, inner[i].named, length) == 0)
            return true;
    for (size_t i = 0; i < TEST_LENGTH(prefixes); i++)
        if (strncmp(function, prefixes[i], strlen(prefixes[i])) == 0) function += strlen(prefixes[i]);
    return length > 0 && strncmp(told, function, length) == 0;
}

/* In a child: exits with 0 where all is well. */
_Noreturn static void try(const api_call *c)
{
    backend = test_cpu();
    tape = mt_tape_new(backend);
    rng = mt_rng_make(1);
    mt_fail(MT_ERR_IO, "a sentence from before");
    c->call();
    const char *told = mt_last_message();
    const bool fresh = strcmp(told, "a sentence from before") != 0;
    const char *problem = NULL;
    if (outcome == ACCEPTED && !may(c->name, hole)) problem = "was accepted";
    if (outcome == REFUSED && in_hole != IS_NULL && (!fresh || !is_named(c->name, told)))
        problem = "was refused without a sentence that names the function";
    if (outcome == REFUSED && in_hole != IS_NULL && mt_last_status() != MT_ERR_STATE)
        problem = "was refused with another status than MT_ERR_STATE";
    if (problem) {
        printf("%s: parameter %d, %s, %s (%s: %s)\n", c->name, hole, wrong_names[in_hole], problem,
               mt_status_name(got), told);
        fflush(stdout);
    }
    _exit(problem != NULL);
}

static bool runs(const api_call *c)
{
    fflush(stdout);
    const pid_t child = fork();
    TEST_CHECK(child >= 0, "no process");
    if (child == 0) {
        const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                             SIGABRT}; /* of which the test library has its own */
        for (size_t i = 0; i < TEST_LENGTH(fatal); i++) signal(fatal[i], SIG_DFL);
        try(c);
    }
    int status;
    TEST_TRUE(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        printf("%s: parameter %d, %s, ended the program (%d)\n", c->name, hole, wrong_names[in_hole], status);
    return status == 0;
}

static void test_all(void **data)
{
    (void)data;
    int failed = 0;
    for (int i = 0; i < api_count; i++) {
        const api_call *c = &api_calls[i];
        for (hole = 0; c->kinds[hole]; hole++) {
            const int count = c->kinds[hole] == '.' ? 0 : c->kinds[hole] == 'p' ? 1 : WRONG_COUNT;
            for (int w = 0; w < count; w++) {
                in_hole = (wrong)w;
                failed += !runs(c);
                test_cases++;
            }
        }
    }
    TEST_CHECK(failed == 0, "%d calls of %ld went wrong", failed, test_cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_all)};
    return TEST_RUN("api", tests);
}
