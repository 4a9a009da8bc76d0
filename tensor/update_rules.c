/* tensor/update_rules.c - the table of update rules as data. */
#include "update_rules.h"

#define MT_UPDATE(name, states, names, formula)                   \
    _Static_assert((states) >= 0 && (states) <= MT_UPDATE_STATES, \
                   "update_table.inc: " #name                     \
                   " keeps more arrays than MT_UPDATE_STATES of tensor/update_rules.h");
#include "scalar/update_table.inc"

#define MT_STATES(...) \
    {                  \
        __VA_ARGS__    \
    }
#define MT_UPDATE(name, states, names, formula) [MT_UPDATE_##name] = {#name, formula, states, names},
static const mt_update_info table[MT_UPDATE_COUNT] = {
#include "scalar/update_table.inc"
};

const mt_update_info *mt_update_describe(mt_update_rule rule)
{
    if ((unsigned)rule < MT_UPDATE_COUNT) return &table[rule];
    mt_fail(MT_ERR_NAME, "update rule number %d; there are %d, from 0", (int)rule, (int)MT_UPDATE_COUNT);
    return NULL;
}
