/* peers.c - the conversation with peers.py (see peers.h). */
#define _POSIX_C_SOURCE 200809L
#include "peers.h"

#include <math.h>
#include <string.h>

#include "json.h"

enum { LINE_BYTES = 1024 };

const char *const peers_names[PEERS] = {"torch", "numpy", "jax"};

static void nobody(peers *self, const char *why)
{
    self->running = false;
    for (int i = 0; i < PEERS; i++) {
        self->there[i] = false;
        snprintf(self->about[i], sizeof self->about[i], "%.*s", (int)sizeof self->about[i] - 1, why);
    }
}

static bool read_line(peers *self, char *line)
{
    return fgets(line, LINE_BYTES, self->python.from) != NULL && strchr(line, '\n') != NULL;
}

static void start(peers *self, const peers_options *options, const bench_options *bench)
{
    char python[512], script[1024], threads[16], line[LINE_BYTES], quick[] = "--quick", full[] = "--full";
    snprintf(python, sizeof python, "%s", options->python);
    snprintf(script, sizeof script, "%s", options->script);
    snprintf(threads, sizeof threads, "%d", mt_get_threads());
    char *const arguments[] = {python, script, threads, bench->quick ? quick : full, NULL};
    const int error = child_start(&self->python, arguments, -1, 1);
    if (error != 0) {
        snprintf(line, sizeof line, "no python: %.60s: %.40s", options->python, strerror(error));
        nobody(self, line);
        return;
    }
    self->running = true;
    if (!read_line(self, line)) { /* the first line says who is there */
        child_finish(&self->python);
        nobody(self, "python ended without a word");
        return;
    }
    for (int i = 0; i < PEERS; i++) {
        char key[16];
        snprintf(key, sizeof key, "no_%s", peers_names[i]);
        self->there[i] = json_read_text(line, peers_names[i], self->about[i], sizeof self->about[i]);
        if (self->there[i]) continue;
        if (!json_read_text(line, key, self->about[i], sizeof self->about[i]))
            snprintf(self->about[i], sizeof self->about[i], "not asked for");
    }
}

void peers_open(peers *self, const peers_options *options, const bench_options *bench)
{
    *self = (peers){.running = false};
    if (options->none) {
        nobody(self, "not asked for");
    } else {
        start(self, options, bench);
    }
    for (int i = 0; i < PEERS; i++)
        printf("%s: %s%s\n", peers_names[i], self->there[i] ? "" : "absent: ", self->about[i]);
}

void peers_close(peers *self)
{
    if (self->running) child_finish(&self->python);
    self->running = false;
}

/* One answer; false when the pipe is broken. A peer that does not know the work answers without seconds. */
static bool answer(peers *self, bench_report *report, const bench_row *like, double seconds[PEERS])
{
    char line[LINE_BYTES], name[24];
    if (!read_line(self, line) || !json_read_text(line, "engine", name, sizeof name)) return false;
    for (int i = 0; i < PEERS; i++) {
        bench_row row = *like;
        double samples = 0, threads = like->threads;
        if (strcmp(name, peers_names[i]) != 0) continue;
        if (!json_read_number(line, "seconds", &row.time.median)) return true;
        json_read_number(line, "low", &row.time.low);
        json_read_number(line, "high", &row.time.high);
        json_read_number(line, "best", &row.time.best);
        json_read_number(line, "samples", &samples);
        row.time.samples = (int)samples;
        json_read_number(line, "threads", &threads);
        row.threads = (int)threads;
        row.percent = row.percent && row.threads == like->threads; /* the ceiling is that of ours */
        row.peer = true;
        snprintf(row.engine, sizeof row.engine, "%s", name);
        seconds[i] = row.time.median;
        return bench_report_add(report, &row);
    }
    return true;
}

void peers_measure(peers *self, bench_report *report, const bench_row *like, double seconds[PEERS])
{
    int present = 0;
    for (int i = 0; i < PEERS; i++) {
        seconds[i] = NAN;
        present += self->there[i];
    }
    if (!self->running || present == 0) return;
    fputs("{\"work\": ", self->python.to);
    json_write_text(self->python.to, like->work);
    fputs(", \"shape\": ", self->python.to);
    json_write_text(self->python.to, like->shape);
    fputs("}\n", self->python.to);
    bool good = fflush(self->python.to) == 0;
    for (int i = 0; i < present && good; i++) good = answer(self, report, like, seconds);
    if (good) return;
    fprintf(stderr, "%s: peers.py ended while it was to time %s; run it by hand to see why\n",
            report->program, like->work);
    child_finish(&self->python);
    nobody(self, "its python ended early");
}
