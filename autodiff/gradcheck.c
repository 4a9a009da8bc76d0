/* autodiff/gradcheck.c - backward against central differences, at every index or along random directions.
 *
 * f(in) = sum of c * fn(in) for a random cotangent c; all sums are made on the host in double.
 */
#include "gradcheck.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../tensor/arena.h"
#include "../tensor/scalar/random_ops.h"

typedef struct {
    mt_tape *tape;
    mt_gradcheck_fn fn;
    void *context;
    mt_tensor *const *in;
    double *cotangent; /* of the result's row-major elements */
    double *values;    /* two results: one for each side of a difference */
    int64_t outputs;   /* how many elements a result has */
} checker;

mt_gradcheck_options mt_gradcheck_defaults(void)
{
    bool exact = sizeof(mt_real) == sizeof(double);
    return (mt_gradcheck_options){
        .epsilon = exact ? 1e-6 : 1e-2,
        .atol = exact ? 1e-7 : 2e-2,
        .rtol = exact ? 1e-5 : 5e-2,
        .every_index = 64,
        .directions = 4,
        .seed = 1,
    };
}

static double normal(mt_rng *rng)
{
    return mt_normal_from_bits(mt_philox_bits(rng->seed, rng->counter++), 0, 1);
}

static double *doubles(int64_t count) { return mt_alloc((size_t)count * sizeof(double)); }

static void free_doubles(double *values, int64_t count) { mt_free(values, (size_t)count * sizeof(double)); }

/* fn returned NULL: its failure, or one of ours when it gave no reason. */
static mt_status gave_up(const checker *check)
{
    if (mt_tape_status(check->tape) != MT_OK) return mt_tape_status(check->tape);
    return mt_fail(MT_ERR_STATE,
                   "gradcheck: the function under test returned NULL, and no operation on its tape failed");
}

/* Writes fn's row-major elements, at the inputs as they are now. */
static mt_status evaluate(const checker *check, double *values)
{
    mt_tape_reset(check->tape);
    mt_tape_record(check->tape, false);
    mt_tensor *y = check->fn(check->tape, check->context, check->in);
    mt_tape_record(check->tape, true);
    return y ? mt_to_doubles(y, values, check->outputs) : gave_up(check);
}

/* The difference quotient along direction from x's values start, which are restored. Elements are subtracted
 * before they are summed: the large part that the two sides share then rounds away nothing of the small one.
 */
static mt_status difference(const checker *check, mt_tensor *x, const double *start, const double *direction,
                            double *moved, double epsilon, double *quotient)
{
    int64_t n = mt_tensor_count(x);
    double *values[2] = {check->values, check->values + check->outputs}, sum = 0;
    mt_status status = MT_OK;
    for (int side = 0; side < 2 && status == MT_OK; side++) {
        for (int64_t i = 0; i < n; i++) moved[i] = start[i] + (side == 0 ? epsilon : -epsilon) * direction[i];
        status = mt_set_doubles(x, moved, n);
        if (status == MT_OK) status = evaluate(check, values[side]);
    }
    mt_status restored = mt_set_doubles(x, start, n);
    if (status != MT_OK) return status;
    for (int64_t i = 0; i < check->outputs; i++) sum += check->cotangent[i] * (values[0][i] - values[1][i]);
    *quotient = sum / (2 * epsilon);
    return restored;
}

static bool agree(double expected, double found, const mt_gradcheck_options *options)
{
    double size = fmax(fabs(expected), fabs(found));
    return fabs(expected - found) <= options->atol + options->rtol * size;
}

/* The derivative along direction against found. A central difference is wrong by a multiple of epsilon^2;
 * where the two disagree a second one, with half the step, takes that term away (Richardson's extrapolation)
 * before the gradient is blamed.
 */
static mt_status compare(const checker *check, int input, int64_t trial, bool along, const double *start,
                         const double *direction, double *moved, double found,
                         const mt_gradcheck_options *options)
{
    mt_tensor *x = check->in[input];
    double whole, half;
    mt_status status = difference(check, x, start, direction, moved, options->epsilon, &whole);
    if (status != MT_OK || agree(whole, found, options)) return status;
    status = difference(check, x, start, direction, moved, options->epsilon / 2, &half);
    if (status != MT_OK || agree((4 * half - whole) / 3, found, options)) return status;
    return mt_fail(MT_ERR_VALUE,
                   "gradcheck: input %d, %s %" PRId64
                   ": the difference quotient is %.9g and the gradient %.9g",
                   input, along ? "direction" : "element", trial, mt_printable(whole), mt_printable(found));
}

/* One input: grad holds its gradient, start its values; direction and moved are scratch. */
static mt_status check_input(const checker *check, int input, const double *grad, const double *start,
                             double *direction, double *moved, const mt_gradcheck_options *options,
                             mt_rng *rng)
{
    int64_t n = mt_tensor_count(check->in[input]);
    bool along = n > options->every_index;
    int64_t trials = along ? options->directions : n;
    mt_status status = MT_OK;
    memset(direction, 0, (size_t)n * sizeof *direction);
    for (int64_t trial = 0; trial < trials && status == MT_OK; trial++) {
        double found = 0;
        if (along)
            for (int64_t i = 0; i < n; i++) direction[i] = normal(rng);
        else
            direction[trial] = 1;
        for (int64_t i = 0; i < n; i++) found += grad[i] * direction[i];
        status = compare(check, input, trial, along, start, direction, moved, found, options);
        if (!along) direction[trial] = 0;
    }
    return status;
}

/* Runs fn once with recording, draws the cotangent and fills the inputs' gradients. */
static mt_status run_backward(checker *check, mt_rng *rng)
{
    mt_tensor *y = check->fn(check->tape, check->context, check->in);
    if (!y) return gave_up(check);
    check->outputs = mt_tensor_count(y);
    check->cotangent = doubles(check->outputs);
    check->values = doubles(2 * check->outputs);
    if (!check->cotangent || !check->values) return MT_ERR_MEMORY;
    for (int64_t i = 0; i < check->outputs; i++) check->cotangent[i] = normal(rng);
    mt_tensor *cotangent = mt_from_doubles(mt_tensor_backend(y), check->cotangent, mt_tensor_shape(y));
    if (!cotangent) return mt_last_status();
    /* What the tensor holds may be rounded to float; the sums must use the same numbers. */
    mt_status status = mt_to_doubles(cotangent, check->cotangent, check->outputs);
    if (status == MT_OK) status = mt_backward_from(check->tape, y, cotangent);
    mt_tensor_free(cotangent);
    return status;
}

static mt_status check_all(checker *check, int inputs, const mt_gradcheck_options *options)
{
    mt_rng rng = mt_rng_make(options->seed);
    for (int i = 0; i < inputs; i++) mt_zero_grad(check->in[i]);
    mt_status status = run_backward(check, &rng);
    for (int i = 0; i < inputs && status == MT_OK; i++) {
        if (!mt_requires_grad(check->in[i])) continue;
        int64_t n = mt_tensor_count(check->in[i]);
        double *block = doubles(4 * n); /* gradient, values, direction, moved values */
        if (!block) return MT_ERR_MEMORY;
        mt_tensor *grad = mt_grad(check->in[i]);
        status = grad ? mt_to_doubles(grad, block, n) : mt_last_status();
        if (status == MT_OK) status = mt_to_doubles(check->in[i], block + n, n);
        if (status == MT_OK)
            status = check_input(check, i, block, block + n, block + 2 * n, block + 3 * n, options, &rng);
        free_doubles(block, 4 * n);
    }
    for (int i = 0; i < inputs; i++) mt_zero_grad(check->in[i]);
    return status;
}

/* NaN fails every comparison, so conditions are written to be true for good values. */
static mt_status check_options(int inputs, const mt_gradcheck_options *o)
{
    if (inputs < 1)
        return mt_fail(MT_ERR_VALUE, "gradcheck: %d inputs; give at least one, which requires a gradient",
                       inputs);
    if (!((mt_real)o->epsilon > 0 && (mt_real)o->epsilon <= MT_REAL_MAX))
        return mt_fail(MT_ERR_VALUE,
                       "gradcheck: epsilon is %g; it must be a finite number above 0, in the "
                       "library's precision too",
                       mt_printable(o->epsilon));
    if (!(o->atol >= 0 && isfinite(o->atol) && o->rtol >= 0 && isfinite(o->rtol)))
        return mt_fail(MT_ERR_VALUE, "gradcheck: atol is %g and rtol %g; both must be finite and at least 0",
                       mt_printable(o->atol), mt_printable(o->rtol));
    if (o->every_index < 0 || o->directions < 1)
        return mt_fail(MT_ERR_VALUE,
                       "gradcheck: every_index is %" PRId64
                       " and directions %d; they must be at least 0 and 1",
                       o->every_index, o->directions);
    return MT_OK;
}

mt_status mt_gradcheck(mt_backend *backend, mt_gradcheck_fn fn, void *context, mt_tensor *const *in,
                       int inputs, mt_gradcheck_options options)
{
    if (!backend || !fn || !in) return MT_ERR_NULL;
    mt_status fine = check_options(inputs, &options);
    if (fine != MT_OK) return fine;
    for (int i = 0; i < inputs; i++)
        if (!in[i]) return MT_ERR_NULL;
    checker check = {.tape = mt_tape_new(backend), .fn = fn, .context = context, .in = in};
    if (!check.tape) return MT_ERR_MEMORY;
    mt_status status = check_all(&check, inputs, &options);
    if (check.cotangent) free_doubles(check.cotangent, check.outputs);
    if (check.values) free_doubles(check.values, 2 * check.outputs);
    mt_tape_free(check.tape);
    return status;
}
