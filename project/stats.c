/* stats.c - what a backend tells of itself, and --stats (see stats.h). */
#include "stats.h"

#include <inttypes.h>
#include <string.h>

void stats_machine(mt_backend *backend, run_machine *machine)
{
    mt_backend_facts facts = {.threads = 1, .isa = "none"};
    if (backend->describe != NULL) backend->describe(backend, &facts);
    machine->backend = backend->name;
    machine->threads = facts.threads;
    strcpy(machine->isa, facts.isa);
}

/* ---- counts ---- */

void stats_epoch_begins(run_stats *stats, mt_backend *backend)
{
    if (backend->counts != NULL) backend->counts(backend, &stats->before);
}

void stats_epoch_ends(run_stats *stats, mt_backend *backend)
{
    if (backend->counts == NULL) return;
    mt_backend_counts *epoch = &stats->epoch;
    const mt_backend_counts *before = &stats->before;
    backend->counts(backend, epoch);
    epoch->uploads -= before->uploads;
    epoch->upload_bytes -= before->upload_bytes;
    epoch->downloads -= before->downloads;
    epoch->download_bytes -= before->download_bytes;
    /* Rows keep their places; one that is new has none in before. */
    for (int i = 0; i < before->kernels; i++) epoch->kernel[i].launches -= before->kernel[i].launches;
}

static uint64_t launches_of(const mt_backend_counts *counts)
{
    uint64_t sum = 0;
    for (int i = 0; i < counts->kernels; i++) sum += counts->kernel[i].launches;
    return sum;
}

/* The last epoch may have launched fewer kernels than the run. */
static uint64_t epoch_launches(const run_stats *stats, int i)
{
    return i < stats->epoch.kernels ? stats->epoch.kernel[i].launches : 0;
}

static double ratio(uint64_t a, uint64_t b) { return b > 0 ? (double)a / (double)b : 0; }

static void print_copies(const char *what, uint64_t copies, uint64_t bytes, uint64_t epoch_copies,
                         uint64_t epoch_bytes)
{
    char run[64], epoch[64];
    snprintf(run, sizeof run, "%" PRIu64 " (%" PRIu64 " bytes)", copies, bytes);
    snprintf(epoch, sizeof epoch, "%" PRIu64 " (%" PRIu64 " bytes)", epoch_copies, epoch_bytes);
    fprintf(stderr, "%-38s %20s %20s\n", what, run, epoch);
}

static void print_counts(const run_stats *stats, const mt_backend_counts *all)
{
    const mt_backend_counts *epoch = &stats->epoch;
    fprintf(stderr, "device memory          %" PRIu64 " bytes in %" PRIu64 " allocations\n\n",
            all->device_bytes, all->allocations);
    fprintf(stderr, "%-38s %20s %20s %14s\n", "", "the run", "last epoch's updates", "few blocks");
    print_copies("copies to the device", all->uploads, all->upload_bytes, epoch->uploads,
                 epoch->upload_bytes);
    print_copies("copies from the device", all->downloads, all->download_bytes, epoch->downloads,
                 epoch->download_bytes);
    uint64_t few = 0;
    for (int i = 0; i < all->kernels; i++) few += all->kernel[i].few_blocks;
    fprintf(stderr, "%-38s %20" PRIu64 " %20" PRIu64 " %14" PRIu64 "\n", "launches", launches_of(all),
            launches_of(epoch), few);
    for (int i = 0; i < all->kernels; i++)
        fprintf(stderr, "  %-36s %20" PRIu64 " %20" PRIu64 " %14" PRIu64 "\n", all->kernel[i].name,
                all->kernel[i].launches, epoch_launches(stats, i), all->kernel[i].few_blocks);
    if (few > 0)
        fprintf(
            stderr,
            "few blocks: launches of the run with fewer blocks than the %d multiprocessors of %s; the others "
            "have\nnothing to do meanwhile. Larger layers and batches fill them.\n",
            all->multiprocessors, all->simulated ? "an H100" : "the card");
    if (!all->simulated) return;
    fprintf(
        stderr,
        "\nWhat the simulator counted in the run: counts, not times. A request is one access of a warp, a "
        "sector 32 bytes\n"
        "of device memory, a conflict one more pass over the banks of shared memory, partial a request that "
        "only some\n"
        "threads of the warp made (an edge, or a branch that diverges).\n"
        "%-36s %9s %9s %10s %8s %10s %10s %8s\n%-36s %9s %9s %10s %8s %10s %10s %8s\n",
        "", "", "", "device", "sectors/", "shared", "bank", "", "kernel", "blocks", "barriers", "requests",
        "request", "requests", "conflicts", "partial");
    for (int i = 0; i < all->kernels; i++) {
        const mt_kernel_counts *k = &all->kernel[i];
        fprintf(stderr,
                "%-36s %9" PRIu64 " %9" PRIu64 " %10" PRIu64 " %8.2f %10" PRIu64 " %10" PRIu64 " %7.1f%%\n",
                k->name, k->blocks, k->barriers, k->requests, ratio(k->sectors, k->requests),
                k->shared_requests, k->bank_conflicts,
                100 * ratio(k->partial, k->requests + k->shared_requests));
    }
}

/* As fields of the last JSON object, each behind a comma. */
static void print_counts_json(const run_stats *stats, const mt_backend_counts *all)
{
    const mt_backend_counts *epoch = &stats->epoch;
    printf(", \"device_bytes\": %" PRIu64 ", \"device_allocations\": %" PRIu64, all->device_bytes,
           all->allocations);
    printf(", \"uploads\": %" PRIu64 ", \"upload_bytes\": %" PRIu64 ", \"downloads\": %" PRIu64
           ", \"download_bytes\": %" PRIu64,
           all->uploads, all->upload_bytes, all->downloads, all->download_bytes);
    printf(", \"epoch_uploads\": %" PRIu64 ", \"epoch_upload_bytes\": %" PRIu64
           ", \"epoch_downloads\": %" PRIu64 ", \"epoch_download_bytes\": %" PRIu64,
           epoch->uploads, epoch->upload_bytes, epoch->downloads, epoch->download_bytes);
    printf(", \"launches\": %" PRIu64 ", \"epoch_launches\": %" PRIu64
           ", \"multiprocessors\": %d, \"by_kernel\": [",
           launches_of(all), launches_of(epoch), all->multiprocessors);
    for (int i = 0; i < all->kernels; i++) {
        const mt_kernel_counts *k = &all->kernel[i];
        printf("%s{\"kernel\": \"%s\", \"launches\": %" PRIu64 ", \"epoch_launches\": %" PRIu64
               ", \"few_blocks\": %" PRIu64,
               i > 0 ? ", " : "", k->name, k->launches, epoch_launches(stats, i), k->few_blocks);
        if (all->simulated)
            printf(", \"blocks\": %" PRIu64 ", \"barriers\": %" PRIu64 ", \"requests\": %" PRIu64
                   ", \"sectors\": %" PRIu64 ", \"shared_requests\": %" PRIu64
                   ", \"bank_conflicts\": %" PRIu64 ", \"partial_requests\": %" PRIu64,
                   k->blocks, k->barriers, k->requests, k->sectors, k->shared_requests, k->bank_conflicts,
                   k->partial);
        printf("}");
    }
    printf("]");
}

bool stats_print(const run_settings *settings, const run_machine *machine, mt_backend *backend,
                 const run_stats *stats)
{
    static mt_backend_counts counts; /* large */
    const bool counted = backend->counts != NULL;
    if (counted) backend->counts(backend, &counts);
    char per_epoch[32], per_second[32];
    mt_backend_facts facts = {.threads = 1, .isa = "none"};
    if (backend->describe != NULL) backend->describe(backend, &facts);
    for (char *c = facts.words; *c != 0; c++) /* fit for a JSON string */
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20) *c = ' ';
    const double milliseconds = stats->epochs > 0 ? stats->seconds * 1e3 / (double)stats->epochs : 0;
    const double rate = stats->seconds > 0 ? (double)stats->steps / stats->seconds : 0;
    const uint64_t peak = mt_get_alloc_stats().peak_bytes;
    const uint64_t steady = stats->last_requests - stats->first_requests;
    if (settings->log == LOG_JSON) {
        printf("{\"stats\": true, \"ms_per_epoch\": %s, \"steps_per_second\": %s, \"peak_bytes\": %" PRIu64
               ", \"steady_allocations\": %" PRIu64 ", \"seed\": %" PRIu64
               ", \"backend\": \"%s\", \"threads\": %d, \"isa\": \"%s\", \"kernels\": \"%s\"",
               json_number(milliseconds, per_epoch), json_number(rate, per_second), peak, steady,
               settings->seed, machine->backend, machine->threads, machine->isa, facts.words);
        if (counted) print_counts_json(stats, &counts);
        printf("}\n");
        return log_flush();
    }
    fprintf(stderr,
            "ms an epoch            %.4g\n"
            "steps a second         %.6g\n"
            "peak bytes             %" PRIu64 "\n"
            "steady allocations     %" PRIu64 "\n"
            "threads                %d\n"
            "instruction set        %s\n"
            "kernels                %s%s%s\n",
            milliseconds, rate, peak, steady, machine->threads, machine->isa, machine->backend,
            facts.words[0] != 0 ? ": " : "", facts.words);
    if (counted) print_counts(stats, &counts);
    return true;
}
