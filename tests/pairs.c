/* tests/pairs.c - see pairs.h. */
#include "pairs.h"

mt_backend *backends[2];

const int64_t pair_sides[PAIR_SIDES][3] = {
    {1, 1, 1},      {5, 7, 3},      {17, 9, 17},  {16, 32, 16},  {16, 32, 32}, {15, 33, 31},
    {33, 31, 48},   {20, 36, 20},   {32, 64, 33}, {1, 40, 50},   {40, 1, 33},  {1, 9, 64},
    {18, 33, 1100}, {20, 36, 1100}, {1, 3, 1100}, {19, 35, 132}, {16, 32, 64}, {130, 129, 18},
};

pair twins(test_array *first) { return (pair){{first, test_array_twin(first, backends[1])}}; }
pair input(mt_shape shape, unsigned flags)
{
    return twins(test_array_random(backends[0], shape, flags, 0.5, 1.5));
}
pair output(mt_shape shape, unsigned flags)
{
    return twins(test_array_from(backends[0], shape, TEST_OUTPUT | flags, NULL));
}
pair indices_laid(mt_shape shape, int64_t limit, unsigned flags)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)(i < 2 ? i * (limit - 1) : test_below(limit));
    return twins(test_array_from(backends[0], shape, TEST_INDICES | flags, values));
}
pair indices(mt_shape shape, int64_t limit) { return indices_laid(shape, limit, 0); }

void agree(pair out, double tolerance, const char *what)
{
    test_guards(out.on[0], what);
    TEST_ALL_CLOSE(test_read(out.on[0]->x), test_read(out.on[1]->x), out.on[0]->count, tolerance, tolerance,
                   what);
    test_cases++;
}
