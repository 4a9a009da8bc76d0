/* tensor/status.c - the calling thread's latest failure, in a buffer of the thread's own. */
#include "status.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    mt_status status;
    size_t
        cause; /* where the failure itself begins in message, behind what mt_fail_null wrote in front of it */
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
    last.cause = 0;
    snprintf(last.message, sizeof last.message, "%s", text);
    return status;
}

mt_status mt_fail_null(const char *what)
{
    char text[sizeof last.message];
    const char *cause = last.message + last.cause;
    int front =
        snprintf(text, sizeof text, "%s: the tensor is NULL: what should have made it was refused", what);
    if (*cause) front += snprintf(text + front, sizeof text - (size_t)front, "; the latest failure: ");
    last.status = MT_ERR_NULL;
    snprintf(text + front, sizeof text - (size_t)front, "%s", cause);
    last.cause = (size_t)front;
    memcpy(last.message, text, sizeof text);
    return MT_ERR_NULL;
}
