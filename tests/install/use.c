/* tests/install/use.c - a program of somebody else's, in C11 and C17 with every warning an error: shapes,
 * numbers, options and messages, with either library, against an installed copy alone. */
#include <minitorch.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int condition, const char *what)
{
    if (!condition) {
        printf("%s failed: %s\n", what, mt_last_message());
        failures++;
    }
}

static mt_tensor *cube(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_mul(tape, in[0], mt_square(tape, in[0]));
}

static void shapes(void)
{
    mt_shape shape = mt_shape(2, 3), wide, eight = mt_shape(1, 1, 1, 1, 1, 1, 1, 9);
    char text[MT_SHAPE_TEXT];
    expect(shape.rank == 2 && mt_shape_count(shape) == 6 && eight.rank == 8, "a list of sizes");
    expect(mt_shape_broadcast(mt_shape(4, 1, 3), shape, &wide) == MT_OK, "broadcasting");
    expect(strcmp(mt_shape_text(wide, text), "(4, 2, 3)") == 0, "a shape as text");
    expect(mt_shape_broadcast(mt_shape(2), mt_shape(3), &wide) == MT_ERR_SHAPE, "a refused broadcast");
    expect(mt_last_message()[0] != '\0', "its sentence");
}

static void numbers(mt_backend *backend)
{
    const float values[] = {1, 2, 3, 4, 5, 6};
    mt_tape *tape = mt_tape_new(backend);
    mt_tensor *x = mt_from_floats(backend, values, mt_shape(2, 3)),
              *w = mt_full(backend, mt_shape(3, 1), 0.5);
    double sum = 0, corner = 0;
    expect(mt_require_grad(w, true) == MT_OK, "a parameter");
    mt_tensor *y = mt_matmul(tape, x, w),
              *loss = mt_sum(tape, mt_sub(tape, mt_num(tape, 1), mt_relu(tape, y)));
    expect(mt_get(y, mt_at(1, -1), &corner) == MT_OK && corner == 7.5, "an element");
    sum = mt_item(loss);
    expect(sum == 2 - 10.5, "a sum");
    expect(mt_backward(tape, loss) == MT_OK, mt_tape_message(tape));
    expect(mt_item(mt_select(tape, mt_detach(tape, mt_grad(w)), 0, 1)) == -7, "a gradient");
    expect(mt_tensor_rank(mt_permute(tape, x, mt_axes(1, 0))) == 2, "a view");
    mt_tape_free(tape);
    mt_tensor_free(w);
    mt_tensor_free(x);
}

static void options(mt_backend *backend)
{
    mt_gradcheck_options how = mt_gradcheck_defaults();
    mt_rng rng = mt_rng_make(7);
    mt_tensor *x = mt_uniform(backend, mt_shape(4), &rng, 0.5, 1.5);
    how.seed = 3;
    expect(mt_require_grad(x, true) == MT_OK && mt_gradcheck(backend, cube, NULL, &x, 1, how) == MT_OK,
           "gradcheck");
    expect(!mt_backend_get("abacus") && strstr(mt_last_message(), "cpu") != NULL,
           "the names of the backends");
    mt_tensor_free(x);
}

int main(void)
{
    mt_backend *backend = mt_backend_get("cpu");
    expect(backend != NULL, "the cpu backend");
    expect(strcmp(mt_version(), MT_VERSION) == 0, "the version");
    shapes();
    numbers(backend);
    options(backend);
    printf("%s, %d bits a number: %d failures\n", mt_version(), (int)(8 * sizeof(mt_real)), failures);
    return failures != 0;
}
