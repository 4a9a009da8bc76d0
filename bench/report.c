/* report.c - rows of figures: the table, CSV, JSON, the comparison (see report.h). */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "ops_cpu/kernels.h"
#include "project/outfile.h"

/* How much slower, relative to the ceiling, is worth telling. */
static const double SLOWER = 1.1;

bool bench_report_open(bench_report *report, const char *program, const bench_options *options)
{
    *report = (bench_report){.program = program, .options = options, .load = bench_load()};
    if (options->baseline != NULL && !baseline_read(&report->before, options->baseline, program))
        return false;
    const time_t seconds = time(NULL);
    struct tm utc;
    strftime(report->date, sizeof report->date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    bench_cpu_name(report->cpu, sizeof report->cpu);
    snprintf(report->isa, sizeof report->isa, "%s", mt_cpu_kernels_get()->isa);
    if (!bench_ceilings_measure(options, mt_get_threads(), &report->ceilings)) {
        baseline_free(&report->before);
        return false;
    }
    printf("%s, %s kernels, %d threads, load %.1f, %s\n", report->cpu, report->isa, mt_get_threads(),
           report->load, report->date);
    printf("ceilings: copy %.1f GB/s, read %.1f GB/s, multiply-add %.0f GFLOP/s (%s)\n",
           report->ceilings.copy, report->ceilings.read, report->ceilings.fma, report->ceilings.vector);
    return true;
}

void bench_report_close(bench_report *report)
{
    free(report->rows);
    baseline_free(&report->before);
}

bool bench_report_add(bench_report *report, const bench_row *row)
{
    if (report->count == report->room) {
        const int room = report->room == 0 ? 64 : 2 * report->room;
        bench_row *rows = realloc(report->rows, (size_t)room * sizeof *rows);
        if (rows == NULL) {
            bench_fail(report->program, "no memory is left for the figures; close other programs");
            return false;
        }
        report->rows = rows;
        report->room = room;
    }
    report->rows[report->count++] = *row;
    return true;
}

double bench_ceiling_of(const bench_ceilings *ceilings, bench_bound bound)
{
    switch (bound) {
    case BENCH_BY_COPY: return ceilings->copy;
    case BENCH_BY_READ: return ceilings->read;
    default: return ceilings->fma;
    }
}

double bench_row_ceiling(const bench_report *report, const bench_row *row)
{
    return row->ceiling > 0 ? row->ceiling : bench_ceiling_of(&report->ceilings, row->bound);
}

const char *bench_bound_name(bench_bound bound)
{
    static const char *const names[] = {"fma", "copy", "read"};
    return names[bound];
}

double bench_row_share(const bench_report *report, const bench_row *row)
{
    const double work = row->bound == BENCH_BY_FMA ? row->flops : row->bytes;
    if (!row->percent || work <= 0) return NAN;
    return 1e-9 * work / row->time.median / bench_row_ceiling(report, row);
}

/* Above this share of the peak it cannot be only the clock that moved. */
static const double TOO_MUCH = 1.05;

void bench_report_raise(bench_report *report, bench_row *row)
{
    enum { TIMES = 5 };
    if (row->bound != BENCH_BY_FMA || !(bench_row_share(report, row) > TOO_MUCH)) return;
    double *peak = row->ceiling > 0 ? &row->ceiling : &report->ceilings.fma;
    const double before = *peak;
    for (int i = 0; i < TIMES; i++) {
        const double now = bench_fma_now(report->options, row->threads);
        if (now > *peak) *peak = now;
    }
    if (*peak > before)
        fprintf(stderr,
                "%s: the multiply-add peak of %.4g GFLOP/s had been disturbed; measured again, it is %.4g\n",
                report->program, before, *peak);
    const double share = bench_row_share(report, row);
    if (share > TOO_MUCH)
        fprintf(stderr,
                "%s: warning: %s of %s by %s reached %.0f %% of the multiply-add peak, so one of the two is "
                "wrong; run it again on a quiet machine\n",
                report->program, row->work, row->shape, row->engine, 100 * share);
}

/* ---- the table ---- */

const char *bench_seconds_text(double seconds, char text[24])
{
    const double scale[] = {1, 1e3, 1e6, 1e9};
    static const char *const unit[] = {"s", "ms", "us", "ns"};
    int i = 0;
    while (i < 3 && seconds * scale[i] < 1) i++;
    const double value = seconds * scale[i];
    snprintf(text, 24, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, unit[i]);
    return text;
}

void bench_print_heading(void)
{
    printf("%-16s %-18s %-9s %10s  %10s %10s %9s %8s  %s\n", "work", "shape", "engine", "median", "quartile",
           "quartile", "GFLOP/s", "GB/s", "of ceiling");
}

static void print_rate(double amount, double seconds, int width)
{
    if (amount > 0) {
        printf(" %*.*f", width, amount / seconds < 1e11 ? 2 : 1, 1e-9 * amount / seconds);
    } else {
        printf(" %*s", width, "");
    }
}

void bench_print_row(const bench_report *report, const bench_row *row)
{
    char median[24], low[24], high[24];
    printf("%-16s %-18s %-9s %10s  %10s %10s", row->work, row->shape, row->engine,
           bench_seconds_text(row->time.median, median), bench_seconds_text(row->time.low, low),
           bench_seconds_text(row->time.high, high));
    print_rate(row->flops, row->time.median, 9);
    print_rate(row->bytes, row->time.median, 8);
    const double share = bench_row_share(report, row);
    if (isfinite(share)) printf("  %3.0f %% of %s", 100 * share, bench_bound_name(row->bound));
    putchar('\n');
}

/* ---- files ---- */

static void write_csv_text(FILE *stream, const char *text)
{
    if (text[strcspn(text, ",\"\r\n")] == 0) {
        fputs(text, stream);
        return;
    }
    fputc('"', stream);
    for (; *text != 0; text++) {
        if (*text == '"') fputc('"', stream);
        fputc(*text, stream);
    }
    fputc('"', stream);
}

static bool write_csv(const bench_report *report)
{
    outfile file;
    if (!outfile_open(&file, report->options->csv, report->program)) return false;
    fputs("work,shape,engine,threads,seconds,low,high,best,samples,gflops,gbs,ceiling,ceiling_rate,percent\n",
          file.stream);
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        const bench_time *t = &row->time;
        const double share = bench_row_share(report, row);
        write_csv_text(file.stream, row->work);
        fputc(',', file.stream);
        write_csv_text(file.stream, row->shape);
        fputc(',', file.stream);
        write_csv_text(file.stream, row->engine);
        fprintf(file.stream, ",%d,%.6g,%.6g,%.6g,%.6g,%d,", row->threads, t->median, t->low, t->high, t->best,
                t->samples);
        if (row->flops > 0) fprintf(file.stream, "%.6g", 1e-9 * row->flops / t->median);
        fputc(',', file.stream);
        if (row->bytes > 0) fprintf(file.stream, "%.6g", 1e-9 * row->bytes / t->median);
        fprintf(file.stream, ",%s,%.6g,", bench_bound_name(row->bound), bench_row_ceiling(report, row));
        if (isfinite(share)) fprintf(file.stream, "%.4g", 100 * share);
        fputc('\n', file.stream);
    }
    return outfile_commit(&file, report->program);
}

static void text_field(FILE *stream, const char *name, const char *text)
{
    fprintf(stream, "\"%s\": ", name);
    json_write_text(stream, text);
    fputs(", ", stream);
}

static void number_field(FILE *stream, const char *name, double value)
{
    fprintf(stream, "\"%s\": ", name);
    json_write_number(stream, value);
    fputs(", ", stream);
}

/* The first object is the machine, each other one a row. */
static bool write_json(const bench_report *report)
{
    outfile file;
    if (!outfile_open(&file, report->options->json, report->program)) return false;
    FILE *s = file.stream;
    fputs("[\n{", s);
    text_field(s, "program", report->program);
    text_field(s, "version", mt_version());
    text_field(s, "cpu", report->cpu);
    text_field(s, "isa", report->isa);
    text_field(s, "date", report->date);
    number_field(s, "load", report->load);
    number_field(s, "copy_gbs", report->ceilings.copy);
    number_field(s, "read_gbs", report->ceilings.read);
    number_field(s, "fma_gflops", report->ceilings.fma);
    text_field(s, "fma_with", report->ceilings.vector);
    fprintf(s, "\"seed\": %" PRIu64 ", \"quick\": %s}", report->options->seed,
            report->options->quick ? "true" : "false");
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        fputs(",\n{", s);
        text_field(s, "work", row->work);
        text_field(s, "shape", row->shape);
        text_field(s, "engine", row->engine);
        number_field(s, "seconds", row->time.median);
        number_field(s, "low", row->time.low);
        number_field(s, "high", row->time.high);
        number_field(s, "best", row->time.best);
        number_field(s, "samples", row->time.samples);
        number_field(s, "gflops", row->flops > 0 ? 1e-9 * row->flops / row->time.median : NAN);
        number_field(s, "gbs", row->bytes > 0 ? 1e-9 * row->bytes / row->time.median : NAN);
        text_field(s, "ceiling", bench_bound_name(row->bound));
        number_field(s, "ceiling_rate", bench_row_ceiling(report, row));
        number_field(s, "percent", 100 * bench_row_share(report, row));
        fprintf(s, "\"peer\": %s, \"threads\": %d}", row->peer ? "true" : "false", row->threads);
    }
    fputs("\n]\n", s);
    return outfile_commit(&file, report->program);
}

/* ---- the comparison ---- */

static const baseline_row *earlier(const bench_report *report, const bench_row *row)
{
    if (row->peer) return NULL;
    return baseline_find(&report->before, row->work, row->shape, row->engine, row->threads);
}

/* Names what is slower, and what has nothing to be compared with. */
static int compare_all(const bench_report *report)
{
    int compared = 0, slower = 0;
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        const baseline_row *was = earlier(report, row);
        char now[24], before[24];
        if (was == NULL) continue;
        compared++;
        const double ratio =
            row->time.median * bench_row_ceiling(report, row) / (was->seconds * was->ceiling);
        if (!(ratio > SLOWER)) continue;
        slower++;
        printf("slower: %s of %s by %s took %.2f times as long relative to the ceiling (%s, was %s)\n",
               row->work, row->shape, row->engine, ratio, bench_seconds_text(row->time.median, now),
               bench_seconds_text(was->seconds, before));
    }
    if (compared == 0) {
        return bench_fail(report->program,
                          "the baseline has no figure that this run has too; write one with --json FILE and "
                          "the same options");
    }
    int missing = 0;
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        if (row->peer || earlier(report, row) != NULL) continue;
        missing++;
        printf("not in the baseline: %s of %s by %s, threads %d\n", row->work, row->shape, row->engine,
               row->threads);
    }
    printf("baseline: %d figures compared, %d slower by more than %.1f times", compared, slower, SLOWER);
    if (missing > 0) printf("; %d of this run are not in it", missing);
    putchar('\n');
    return slower > 0 && report->options->check ? 1 : 0;
}

int bench_report_finish(const bench_report *report)
{
    int status = report->options->baseline != NULL ? compare_all(report) : 0;
    if (report->options->json != NULL && !write_json(report)) status = 1;
    if (report->options->csv != NULL && !write_csv(report)) status = 1;
    return bench_flushed(report->program) ? status : 1;
}
