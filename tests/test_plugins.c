/* tests/test_plugins.c - backends in shared objects: one that is right, and each way to be wrong.
 *
 *     test_plugins FOLDER
 *
 * In the folder lie the objects that meson.build makes of backend_plugin.c, named for what is wrong with
 * them, in both precisions.
 */
#include <stdlib.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "support.h"
#include "tensor/elementwise_ops.h"

static const char *folder;

#ifdef MT_DOUBLE
#define MINE  "double"
#define OTHER "float"
#else
#define MINE  "float"
#define OTHER "double"
#endif

static const char *object(const char *fault, const char *precision)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s_%s.so", folder, fault, precision);
    return path;
}

static void test_right(void **data)
{
    (void)data;
    mt_backend *b = mt_backend_open(object("plugin_right", MINE)), *simple = test_simple();
    TEST_CHECK(b, "%s", mt_last_message());
    TEST_TRUE(strcmp(b->name, "plugin") == 0 && b == mt_backend_get("plugin"));
    TEST_TRUE(b == mt_backend_open(object("plugin_right", MINE)) && b == mt_backend_open("plugin"));
    TEST_TRUE(b->map != simple->map && b->reduce != simple->reduce && b->zip == simple->zip);
    bool listed = false;
    for (int i = 0; mt_backend_name(i); i++) listed = listed || strcmp(mt_backend_name(i), "plugin") == 0;
    TEST_TRUE(listed);
    for (int round = 0; round < 50; round++) {
        test_array *x = test_array_random(simple, test_shape(4, 500, true), TEST_INPUT, -1, 1);
        test_array *twin = test_array_twin(x, b);
        mt_tensor *want = OWN(mt_empty(simple, x->shape, MT_REAL)),
                  *got = OWN(mt_empty(b, x->shape, MT_REAL));
        TEST_OK(mt_op_relu(want, x->x));
        TEST_OK(mt_op_relu(got, twin->x));
        TEST_ALL_SAME(test_read(got), test_read(want), x->count, "relu");
        TEST_OK(mt_op_exp(want, x->x));
        TEST_OK(mt_op_exp(got, twin->x));
        TEST_ALL_SAME(test_read(got), test_read(want), x->count, "exp");
        test_cases++;
    }
    /* What fails in the object tells this program. */
    mt_tensor *x = OWN(mt_ones(b, mt_shape(3))), *y = OWN(mt_ones(b, mt_shape(1)));
    TEST_OK(mt_op_sum(y, x, mt_axes(0)));
    TEST_FAILS(mt_op_prod(y, x, mt_axes(0)), MT_ERR_VALUE, "backend plugin multiplies nothing");
}

static void test_wrong(void **data)
{
    (void)data;
    static const struct {
        const char *fault;
        mt_status status;
        const char *part;
    } wrong[] = {
        {"plugin_version", MT_ERR_BACKEND, "of version 999"},
        {"plugin_silent", MT_ERR_BACKEND, "mt_backend_entry"},
        {"plugin_empty", MT_ERR_BACKEND, "without a backend"},
        {"plugin_named", MT_ERR_NAME, "\"cpu\" is there already"},
        {"plugin_size", MT_ERR_VALUE, "no backend has 12345 bytes"},
        {"plugin_lacks", MT_ERR_IO, "nobody_has_this"},
        {"no_such_file", MT_ERR_IO, "no_such_file"},
    };
    int names = 0, after = 0;
    while (mt_backend_name(names)) names++;
    for (size_t i = 0; i < TEST_LENGTH(wrong); i++) {
        TEST_NULL(mt_backend_open(object(wrong[i].fault, MINE)), wrong[i].status, wrong[i].part);
        test_cases++;
    }
    TEST_NULL(mt_backend_open(object("plugin_right", OTHER)), MT_ERR_BACKEND, "computes in " OTHER);
    TEST_NULL(mt_backend_open(object("plugin_version", OTHER)), MT_ERR_BACKEND, "of version 999");
    TEST_NULL(mt_backend_open("./"), MT_ERR_IO, "./");
    TEST_NULL(mt_backend_open(__FILE__), MT_ERR_IO, "test_plugins.c"); /* a path, and a text */
    TEST_NULL(mt_backend_open("plugin.so"), MT_ERR_NAME, "no backend is called \"plugin.so\"");
    TEST_NULL(mt_backend_get(object("plugin_right", MINE)), MT_ERR_NAME, "mt_backend_open");
    while (mt_backend_name(after)) after++;
    TEST_TRUE(names == after);
    TEST_TRUE(!mt_backend_open(NULL));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {TEST(test_wrong), TEST(test_right)};
    if (argc != 2) return fprintf(stderr, "usage: test_plugins FOLDER\n"), 2;
    folder = argv[1];
    return TEST_RUN("plugins", tests);
}
