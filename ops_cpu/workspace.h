/* ops_cpu/workspace.h - memory that one call of the backend works in, kept for the next one.
 */
#ifndef MT_WORKSPACE_H
#define MT_WORKSPACE_H

#include "tensor/base.h"

typedef struct mt_workspace {
    struct mt_workspace_slot *slot; /* NULL: allocated for this call, or nothing was asked for */
    mt_real *data;                  /* aligned to MT_ALIGN; NULL where no bytes were asked for */
    size_t bytes;
} mt_workspace;

MT_BEGIN
/* At least bytes for the caller alone, whose contents are whatever the last one left, until they are given
 * back. False where memory has run out. Any thread may call. */
MT_INTERNAL bool mt_workspace_borrow(size_t bytes, mt_workspace *result);
MT_INTERNAL void mt_workspace_give_back(const mt_workspace *workspace);
MT_END

#endif
