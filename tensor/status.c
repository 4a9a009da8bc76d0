/* tensor/status.c - the calling thread's latest failure, in a buffer of the thread's own. */
#include "status.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local struct {
    mt_status status;
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
    snprintf(last.message, sizeof last.message, "%s", text);
    return status;
}
