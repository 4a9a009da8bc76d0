/* tensor/status.c - the calling thread's latest failure, in a buffer of the thread's own. */
#include "status.h"
#include "text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

static _Thread_local struct {
    mt_status status;
    uint64_t count; /* of failures so far */
    size_t cause;   /* where the failure itself begins in message, behind what fail_before wrote in front */
    char message[640];
} last;

const char *mt_version(void) { return MT_VERSION; }

const char *mt_status_name(mt_status status)
{
    static const char *const names[] = {
        [MT_OK] = "ok",           [MT_ERR_NULL] = "null",     [MT_ERR_SHAPE] = "shape",
        [MT_ERR_INDEX] = "index", [MT_ERR_KIND] = "kind",     [MT_ERR_BACKEND] = "backend",
        [MT_ERR_VALUE] = "value", [MT_ERR_MEMORY] = "memory", [MT_ERR_PARSE] = "parse",
        [MT_ERR_IO] = "io",       [MT_ERR_STATE] = "state",   [MT_ERR_NAME] = "name",
    };
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

const char *mt_last_message(void) { return last.message; }

mt_status mt_last_status(void) { return last.status; }

uint64_t mt_failures(void) { return last.count; }

const void *mt_failing_thread(void) { return &last; }

mt_status mt_fail(mt_status status, const char *format, ...)
{
    if (status == MT_ERR_NULL || status == MT_OK) return status;
    /* The arguments may point into the old message, so the new one is written beside it first. */
    char text[sizeof last.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mt_text_clean(text); /* names, paths and numbers in it may be anybody's */
    last.status = status;
    last.count++;
    last.cause = 0;
    snprintf(last.message, sizeof last.message, "%s", text);
    return status;
}

/* Puts sentence in front of the thread's latest failure, which is most often why. */
static mt_status fail_before(mt_status status, const char *sentence)
{
    char text[sizeof last.message];
    const char *cause = last.message + last.cause;
    const int front = snprintf(text, sizeof text, "%s%s", sentence, *cause ? "; the latest failure: " : "");
    const size_t at = (size_t)front < sizeof text ? (size_t)front : sizeof text - 1;
    snprintf(text + at, sizeof text - at, "%s", cause);
    mt_text_clean(text);
    last.status = status;
    last.cause = at;
    memcpy(last.message, text, sizeof text);
    return status;
}

/* ---- warnings ---- */

static _Atomic(FILE *) warnings;
static atomic_bool given; /* warnings has been set, maybe to NULL */

void mt_set_warnings(FILE *stream)
{
    atomic_store(&warnings, stream);
    atomic_store(&given, true);
}

void mt_warn(const char *format, ...)
{
    char text[sizeof last.message];
    FILE *stream = atomic_load(&given) ? atomic_load(&warnings) : stderr;
    if (!stream) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mt_text_clean(text);
    fprintf(stream, "minitorch: %s\n", text);
    fflush(stream);
}

mt_status mt_fail_null(const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s: the tensor is NULL: what should have made it was refused", what);
    return fail_before(MT_ERR_NULL, text);
}

mt_status mt_fail_no_tape(const char *what)
{
    char text[200];
    snprintf(text, sizeof text, "%s: the tape is NULL: mt_tape_new failed, or was never called", what);
    return fail_before(MT_ERR_STATE, text);
}
