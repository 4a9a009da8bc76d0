/* ops_cuda/sim/report.cpp - turns a fault into a report: who, where in memory, at which line, against whom.
 *
 * The same fault at the same place of the same kernel is counted, not told again. Nothing is printed here: a
 * program reads the reports, or asks to be called at each new one.
 */
#include "internal.h"
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace mt_sim {

namespace {

enum { MAX_REPORTS = 64, MAX_SITES = 1000, NULL_BYTES = 1 << 16, FAR = 16 << 20 };

/* What makes two faults the same one. */
struct report_key {
    mt_sim_kind kind;
    const kernel_record *kernel;
    const void *code;
    int line, other_place;
};

mt_sim_report s_reports[MAX_REPORTS];
report_key s_keys[MAX_REPORTS];
int s_count, s_delivered;
int s_call_first = -1; /* the report of the first fault of the running launch or copy */
bool s_call_memory;    /* whether it found no memory */
__thread bool t_no_memory;
__thread char t_message[sizeof(mt_sim_report::sentence)];
u64 s_faults;
code_site s_sites[MAX_SITES]; /* of atomics */
u32 s_site_count;
void (*s_callback)(void *, const mt_sim_report *);
void *s_context;

bool same(const report_key &a, const report_key &b)
{
    return a.kind == b.kind && a.kernel == b.kernel && a.code == b.code && a.line == b.line &&
           a.other_place == b.other_place;
}

/* A new report for the key, or null when it is an old one or there are too many. */
mt_sim_report *begin(const report_key &key)
{
    ++s_faults;
    if (key.kind == MT_SIM_MEMORY) s_call_memory = true;
    for (int i = 0; i < s_count; ++i) {
        if (!same(s_keys[i], key)) continue;
        s_reports[i].count++;
        if (s_call_first < 0) s_call_first = i;
        return nullptr;
    }
    if (s_count == MAX_REPORTS) return nullptr;
    mt_sim_report *r = &s_reports[s_count];
    memset(r, 0, sizeof *r);
    s_keys[s_count] = key;
    if (s_call_first < 0) s_call_first = s_count;
    r->kind = key.kind;
    r->count = 1;
    r->kernel = key.kernel ? key.kernel->name : "";
    if (t_now) {
        memcpy(r->block, g_block.index, sizeof r->block);
        thread_index_of(g_now.thread, r->thread);
        memcpy(r->other, r->thread, sizeof r->other);
    }
    return r;
}

/* A read that came before its write, with no barrier between, looks first like a read of what nobody wrote.
 * When the write comes the race is the report, under every schedule. */
void forget_unwritten(const void *code, int line)
{
    for (int i = s_delivered; i < s_count; ++i) {
        const report_key &key = s_keys[i];
        if (key.kind != MT_SIM_UNINITIALISED || key.kernel != g_block.kernel) continue;
        if (code ? key.code != code : key.line != line) continue;
        size_t after = (size_t)(s_count - i - 1);
        memmove(&s_reports[i], &s_reports[i + 1], after * sizeof *s_reports);
        memmove(&s_keys[i], &s_keys[i + 1], after * sizeof *s_keys);
        --s_count;
        if (s_call_first == i) s_call_first = -1;
        if (s_call_first > i) --s_call_first;
        return;
    }
}

void place_of(char *text, size_t size, const code_site *site, const void *code)
{
    text[0] = '\0';
    if (site && site->file) {
        const char *slash = strrchr(site->file, '/');
        snprintf(text, size, "%s:%d", slash ? slash + 1 : site->file, site->line);
    } else if (code || site) {
        line_of(code ? code : site->code, text, size);
    }
}

struct sentence_buffer {
    char *at;
    size_t left;
    void add(const char *format, ...) __attribute__((format(printf, 2, 3)))
    {
        va_list arguments;
        va_start(arguments, format);
        int n = vsnprintf(at, left, format, arguments);
        va_end(arguments);
        if (n < 0) return;
        size_t used = (size_t)n < left ? (size_t)n : left - 1;
        at += used, left -= used;
    }
    void triple(const char *what, const unsigned i[3]) { add("%s (%u,%u,%u)", what, i[0], i[1], i[2]); }
};

void add_place(sentence_buffer *text, const char *place)
{
    if (place[0])
        text->add(" at %s", place);
    else
        text->add(" at an unknown line (compile the .cu with -g)");
}

/* Addresses that no array is near. */
bool add_elsewhere(sentence_buffer *text, const access_fault &f)
{
    if (f.kind == MT_SIM_HOST_MEMORY && f.offset < NULL_BYTES)
        text->add("%zu bytes at 0x%zx, through a null pointer", f.bytes, f.offset);
    else if (f.kind == MT_SIM_HOST_MEMORY)
        text->add("%zu bytes at 0x%zx, which is not device memory", f.bytes, f.offset);
    else if (f.kind == MT_SIM_LOCAL_MEMORY)
        text->add("%zu bytes of another thread's local variables", f.bytes);
    else if ((ptrdiff_t)f.offset < 0)
        text->add(
            "%zu bytes, %zu bytes below all memory of the device (an int that overflows is a negative index)",
            f.bytes, 0 - f.offset);
    else if (f.offset >= g_memory.size)
        text->add("%zu bytes, %zu bytes above all memory of the device", f.bytes, f.offset - g_memory.size);
    else
        return false;
    return true;
}

/* The piece that a fault is about: the one that its first byte lies in, else the nearest. */
const memory_piece *piece_of(const access_fault &f)
{
    const char *kernel;
    if (f.kind == MT_SIM_USE_AFTER_FREE)
        return f.offset < g_shared_size ? shared_piece_ended(f.offset, &kernel) : piece_freed(f.offset);
    const memory_piece *before = piece_near(f.offset), *after = piece_after(f.offset);
    if (!before || !after) return before ? before : after;
    size_t end = before->offset + before->bytes;
    return f.offset < end || f.offset - end < after->offset - f.offset ? before : after;
}

/* Allocations that stand apart are never as near to each other as that. */
const char *far(size_t distance) { return distance >= FAR ? " far from every array" : ""; }

void add_location(sentence_buffer *text, const access_fault &f)
{
    if (add_elsewhere(text, f)) return;
    bool shared = f.offset < g_shared_size;
    const char *space = shared ? "shared memory" : "device memory";
    const memory_piece *p = piece_of(f);
    if (!p) {
        text->add("%zu bytes of %s outside every tensor", f.bytes, space);
        return;
    }
    char name[96];
    if (p->name[0])
        snprintf(name, sizeof name, "'%s' (%zu bytes of %s)", p->name, p->bytes, space);
    else
        snprintf(name, sizeof name, "a tensor of %zu bytes in %s", p->bytes, space);
    size_t at = f.offset - p->offset;
    size_t before = f.offset < p->offset ? p->offset - f.offset : 0, past = at - p->bytes;
    if (before)
        text->add("%zu bytes%s, %zu bytes before the start of %s", f.bytes, far(before), before, name);
    else if (at >= p->bytes)
        text->add("%zu bytes%s, %zu bytes past the end of %s", f.bytes, far(past), past, name);
    else if (at % f.bytes != 0) /* no whole element of that size begins there */
        text->add("%zu bytes from byte %zu on of %s", f.bytes, at, name);
    else
        text->add("byte %zu (element %zu of %zu bytes) of %s", at, at / f.bytes, f.bytes, name);
}

/* Where the index is right and the array's own address is what is not aligned, that is the fault. */
void add_alignment(sentence_buffer *text, const access_fault &f)
{
    text->add(": the address is not a multiple of %zu", f.bytes);
    const memory_piece *p = (ptrdiff_t)f.offset < 0 ? nullptr : piece_near(f.offset);
    if (!p || f.offset - p->offset >= p->bytes || (f.offset - p->offset) % f.bytes != 0) return;
    text->add(", since '%s' is declared with alignment %zu; write __align__(%zu) before its type", p->name,
              p->align, f.bytes);
}

void add_end(sentence_buffer *text, const access_fault &f)
{
    const char *kernel = "";
    if (f.offset < g_shared_size && shared_piece_ended(f.offset, &kernel))
        text->add(", which ended with the blocks of %s", kernel);
    else
        text->add(", which was given back before");
}

const char *verb(bool write, bool atomic)
{
    return atomic ? "updates atomically" : write ? "writes" : "reads";
}

/* Where the other thread's access stands: an accessor holds a code place or, for atomics, a site's number. */
struct other_access {
    const void *code;
    const code_site *site;
};
other_access other_of(const access_fault &f)
{
    int place = f.other.place();
    if (place == 0) return {nullptr, nullptr};
    if (f.other_atomic) return {nullptr, &s_sites[place - 1]};
    return {(const char *)g_block.launch->code + place, nullptr};
}

void add_other(sentence_buffer *text, const access_fault &f, mt_sim_report *r)
{
    unsigned block[3];
    const block_run *run = block_of_stamp(f.other_stamp);
    block_index_of(run->linear, block);
    thread_index_of(f.other.thread(), r->other);
    bool same_block = f.other_stamp >= g_now.block;
    other_access other = other_of(f);
    place_of(r->other_place, sizeof r->other_place, other.site, other.code);
    text->triple(", which thread", r->other);
    if (!same_block) text->triple(" of block", block);
    bool updates = f.other_atomic && !(other.site && other.site->code); /* else a volatile write */
    text->add(" %s", verb(f.other_write, updates));
    if (r->other_place[0]) add_place(text, r->other_place);
    if (same_block)
        text->add(" in the same barrier interval: a race");
    else
        text->add(" in the same launch: a race between blocks");
}

} // namespace

void report_access(const access_fault &f)
{
    report_key key = {f.kind, g_block.kernel, f.code, f.site ? f.site->line : 0,
                      f.has_other ? f.other.place() : 0};
    if (f.has_other) {
        other_access other = other_of(f);
        if (other.code || other.site) forget_unwritten(other.code, other.site ? other.site->line : 0);
    }
    mt_sim_report *r = begin(key);
    if (!r) return;
    place_of(r->place, sizeof r->place, f.site, f.code);
    sentence_buffer text = {r->sentence, sizeof r->sentence};
    text.add("%s: ", r->kernel);
    text.triple("thread", r->thread);
    text.triple(" of block", r->block);
    text.add(" %s ", verb(f.write, f.atomic && !f.code));
    add_location(&text, f);
    add_place(&text, r->place);
    switch (f.kind) {
    case MT_SIM_UNINITIALISED: text.add(", which nobody wrote"); break;
    case MT_SIM_OUT_OF_BOUNDS: text.add(": out of bounds"); break;
    case MT_SIM_USE_AFTER_FREE: add_end(&text, f); break;
    case MT_SIM_MISALIGNED: add_alignment(&text, f); break;
    default: break;
    }
    if (f.has_other) add_other(&text, f, r);
    ++s_count;
}

void report_threads(mt_sim_kind kind, int thread, const code_site *site, int other,
                    const code_site *other_site, const char *format, ...)
{
    report_key key = {kind, thread >= 0 || site ? g_block.kernel : nullptr, format, site ? site->line : 0,
                      other_site ? other_site->line : 0};
    mt_sim_report *r = begin(key);
    if (!r) return;
    place_of(r->place, sizeof r->place, site, nullptr);
    place_of(r->other_place, sizeof r->other_place, other_site, nullptr);
    sentence_buffer text = {r->sentence, sizeof r->sentence};
    if (r->kernel[0]) text.add("%s: ", r->kernel);
    if (thread >= 0) {
        thread_index_of((u32)thread, r->thread);
        memcpy(r->other, r->thread, sizeof r->other);
        text.triple("thread", r->thread);
        text.triple(" of block", r->block);
        text.add(" ");
    }
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text.at, text.left, format, arguments);
    va_end(arguments);
    size_t used = n < 0 ? 0 : (size_t)n < text.left ? (size_t)n : text.left - 1;
    text.at += used, text.left -= used;
    if (r->place[0]) add_place(&text, r->place);
    if (other >= 0) {
        thread_index_of((u32)other, r->other);
        text.triple("; the other is thread", r->other);
        if (r->other_place[0]) add_place(&text, r->other_place);
    }
    ++s_count;
}

u64 faults_seen(void) { return s_faults; }

u32 site_number(const code_site *site)
{
    for (u32 i = 0; i < s_site_count; ++i)
        if (s_sites[i].line == site->line && s_sites[i].file == site->file && s_sites[i].code == site->code)
            return i + 1;
    if (s_site_count == MAX_SITES) return 0;
    s_sites[s_site_count++] = *site;
    return s_site_count;
}

bool call_end(u64 faults_before)
{
    bool failed = s_faults != faults_before;
    if (failed)
        snprintf(t_message, sizeof t_message, "%s",
                 s_call_first >= 0 ? s_reports[s_call_first].sentence
                                   : "more different faults than are kept");
    if (failed) t_no_memory = s_call_memory;
    s_call_memory = false;
    s_call_first = -1;
    while (s_delivered < s_count) {
        const mt_sim_report *r = &s_reports[s_delivered++];
        if (s_callback) s_callback(s_context, r);
    }
    return !failed;
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

int mt_sim_report_count(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    return s_count;
}

const mt_sim_report *mt_sim_report_at(int i)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    return i >= 0 && i < s_count ? &s_reports[i] : nullptr;
}

const char *mt_sim_last_report(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    return s_count > 0 ? s_reports[0].sentence : "";
}

const char *mt_sim_message(void) { return t_message; }

bool mt_sim_no_memory(void) { return t_no_memory; }

void mt_sim_clear(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    s_count = s_delivered = 0;
}

void mt_sim_on_report(void (*callback)(void *context, const mt_sim_report *report), void *context)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    s_callback = callback;
    s_context = context;
}

} // extern "C"
