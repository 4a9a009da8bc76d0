/* tensor/scalar/needs.h - what a derivative of an elementwise operation reads: a column of map_table.inc and
 * zip_table.inc. */
#ifndef MT_NEEDS_H
#define MT_NEEDS_H

/* Of a map, A is the operand. MT_OF_ORDER has MT_IS_ZERO's bit. */
enum {
    MT_NEED_NONE = 0,
    MT_NEED_A = 1,
    MT_NEED_B = 2,
    MT_NEED_Y = 4,
    MT_IS_ONE = 8,
    MT_IS_ZERO = 16,
    MT_OF_ORDER = 32 | 16
};

/* The text `fixed` where needs, a column of a table, is MT_IS_ONE, MT_IS_ZERO or MT_OF_ORDER, and the text
 * `computed` elsewhere: what names mt_d_name, mt_da_name or mt_db_name stands in `computed`. Either may
 * be empty; neither has a comma outside parentheses. For those three the pasted MT_FIXED_needs is a comma,
 * which makes `fixed` the second of a list. */
#define MT_DERIVED(needs, computed, fixed) MT_SECOND_OF(MT_FIXED_##needs fixed, computed, )
#define MT_FIXED_MT_IS_ONE                 ,
#define MT_FIXED_MT_IS_ZERO                ,
#define MT_FIXED_MT_OF_ORDER               ,
#define MT_SECOND_OF(...)                  MT_SECOND_OF_(__VA_ARGS__)
#define MT_SECOND_OF_(first, second, ...)  second

#endif
