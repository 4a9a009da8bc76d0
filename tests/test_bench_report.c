/* tests/test_bench_report.c - a multiply-add peak that products exceed is measured again, for the report or
 * for the row that has its own; what stays above is warned of.
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/report.h"

static const bench_options quick = {.quick = true};

/* Of a machine that reached a million multiply-adds a second. */
static bench_report slow_report(void)
{
    return (bench_report){.program = "test", .options = &quick, .ceilings = {.fma = 1e-3, .threads = 1}};
}

static bench_row row_of(bench_bound bound, double gflops)
{
    bench_row row = {.work = "matmul", .shape = "8", .engine = "cpu", .threads = 1, .percent = true};
    row.bound = bound;
    row.flops = row.bytes = 1e9 * gflops;
    row.time.median = 1;
    return row;
}

/* Calls bench_report_raise and keeps the beginning of what it says on stderr. */
static const char *raise_of(bench_report *report, bench_row *row)
{
    static char said[1024];
    fflush(stderr);
    FILE *file = tmpfile();
    const int before = dup(STDERR_FILENO);
    assert_true(file != NULL && before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    bench_report_raise(report, row);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    return said;
}

static void test_report_is_raised(void **data)
{
    (void)data;
    bench_report report = slow_report();
    bench_row row = row_of(BENCH_BY_FMA, 2e-3);
    const char *said = raise_of(&report, &row);
    assert_true(report.ceilings.fma > 2e-3 && row.ceiling == 0);
    assert_true(bench_row_share(&report, &row) < 1);
    assert_true(strstr(said, "had been disturbed") != NULL && strstr(said, "warning") == NULL);
}

static void test_row_is_raised(void **data)
{
    (void)data;
    bench_report report = slow_report();
    bench_row row = row_of(BENCH_BY_FMA, 2e-3);
    row.ceiling = 1.5e-3;
    raise_of(&report, &row);
    assert_true(row.ceiling > 2e-3 && report.ceilings.fma == 1e-3);
}

static void test_impossible_is_warned_of(void **data)
{
    (void)data;
    bench_report report = slow_report();
    bench_row row = row_of(BENCH_BY_FMA, 1e12);
    const char *said = raise_of(&report, &row);
    assert_true(report.ceilings.fma > 1e-3);
    assert_true(strstr(said, "warning: matmul of 8 by cpu reached ") != NULL);
}

static void test_others_are_left_alone(void **data)
{
    (void)data;
    bench_report report = slow_report();
    report.ceilings.copy = 1e-3;
    bench_row below = row_of(BENCH_BY_FMA, 1.04e-3), copy = row_of(BENCH_BY_COPY, 1);
    assert_string_equal(raise_of(&report, &below), "");
    assert_string_equal(raise_of(&report, &copy), "");
    assert_true(report.ceilings.fma == 1e-3 && report.ceilings.copy == 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_is_raised),
        cmocka_unit_test(test_row_is_raised),
        cmocka_unit_test(test_impossible_is_warned_of),
        cmocka_unit_test(test_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
