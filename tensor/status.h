/* tensor/status.h - how a failure is told: a status for the program and one sentence for the person.
 *
 * A function that can fail for a reason outside the program returns NULL or an mt_status and records a
 * sentence for the calling thread; the latest wins. Operations on a tape also record in the tape, where the
 * first wins (tape.h). The library never exits, never aborts and writes to no stream that it was not given,
 * but for warnings: a sentence about what works and is most likely not meant, told once.
 */
#ifndef MT_STATUS_H
#define MT_STATUS_H

#include <stdio.h>

#include "base.h"

typedef enum mt_status {
    MT_OK = 0,
    MT_ERR_NULL,  /* an argument was NULL: something before failed; the earlier sentence is left as it was, or
                     told again */
    MT_ERR_SHAPE, /* shapes, dimensions or strides do not fit */
    MT_ERR_INDEX, /* an index is out of bounds */
    MT_ERR_KIND,  /* REAL where INDEX is needed, or the other way round */
    MT_ERR_BACKEND, /* operands of two backends, or a backend that is not there or refuses */
    MT_ERR_MEMORY,  /* memory ran out */
    MT_ERR_VALUE,   /* a number or an option outside its range */
    MT_ERR_PARSE,   /* text that cannot be read */
    MT_ERR_IO,      /* a file or a pipe failed */
    MT_ERR_STATE, /* use after a reset, a value overwritten before backward read it, operands of two tapes */
    MT_ERR_NAME   /* a name that nothing has */
} mt_status;

MT_BEGIN

/* The status as a short English word, for logs. */
MT_API const char *mt_status_name(mt_status status);

/* The sentence of the calling thread's latest failure, "" if there was none. Valid until the thread's next
 * failure. */
MT_API const char *mt_last_message(void);
MT_API mt_status mt_last_status(void);

/* Records a failure and returns its status: for code that extends the library. A NULL-argument failure
 * (MT_ERR_NULL) is never recorded, since the earlier sentence explains it. */
MT_API mt_status mt_fail(mt_status status, const char *format, ...) MT_PRINTF(2, 3);
/* How many failures the calling thread has recorded: unchanged over a call that failed without a sentence. */
MT_INTERNAL uint64_t mt_failures(void);
/* An address that is the calling thread's own. */
MT_INTERNAL const void *mt_failing_thread(void);
/* For what would otherwise fail without a word: records that the tensor given to what is NULL, beside the
 * thread's latest failure, which is most often why. Returns MT_ERR_NULL. */
MT_INTERNAL mt_status mt_fail_null(const char *what);
/* The same for a NULL tape; returns MT_ERR_STATE. */
MT_INTERNAL mt_status mt_fail_no_tape(const char *what);

/* Where warnings go, each as a line: stderr until this is called; NULL: nowhere. The only one so far is that
 * of a tape which is never reset (tape.h). The stream must stay open. */
MT_API void mt_set_warnings(FILE *stream);
MT_INTERNAL void mt_warn(const char *format, ...) MT_PRINTF(1, 2);

MT_END

/* For broken invariants only, in debug builds; bad input is an error with a sentence instead. */
#ifdef NDEBUG
#define MT_ASSERT(condition) ((void)0)
#else
#include <assert.h>
#define MT_ASSERT(condition) assert(condition)
#endif

#endif
