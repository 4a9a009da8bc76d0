/* tensor/tensor.h - the tensor handle: a layout over a reference-counted storage that lives on one backend.
 *
 * Everything here is outside any tape: constructors and views return a handle that the caller frees with
 * mt_tensor_free; a view shares its source's storage and keeps it alive. The differentiable twins of the
 * views stand in autodiff/operations.h. NULL as an argument means that something before failed: it passes
 * through. Dimensions and indices may be negative, counting from the end.
 */
#ifndef MT_TENSOR_H
#define MT_TENSOR_H

#include <stdio.h>

#include "backend.h"

typedef struct mt_tensor mt_tensor;

/* How mt_print_with shows a tensor. */
typedef struct mt_print_options {
    int digits;        /* significant ones of a REAL, 1 to 17; 8 */
    int64_t threshold; /* with more elements than this a tensor is summarised; 1000, INT64_MAX: never */
    int64_t edge;      /* of a summarised dimension, how many are shown at each end; 3 */
    int width;         /* of a line in characters, after which a row goes on in the next; 80, 0: no limit */
} mt_print_options;

MT_BEGIN

/* ---- constructors: row-major, on the given backend ---- */

/* Copies count(shape) values. mt_from_indices makes an INDEX tensor. */
MT_API mt_tensor *mt_from_floats(mt_backend *backend, const float *values, mt_shape shape);
MT_API mt_tensor *mt_from_doubles(mt_backend *backend, const double *values, mt_shape shape);
MT_API mt_tensor *mt_from_indices(mt_backend *backend, const int64_t *values, mt_shape shape);
/* Reads nested text such as "[[1, 2.5], [-3e4, nan]]"; every row of a level must have the same length. */
MT_API mt_tensor *mt_parse(mt_backend *backend, const char *text);
/* Memory that is not cleared. */
MT_API mt_tensor *mt_empty(mt_backend *backend, mt_shape shape, mt_kind kind);
MT_API mt_tensor *mt_zeros(mt_backend *backend, mt_shape shape);
MT_API mt_tensor *mt_ones(mt_backend *backend, mt_shape shape);
MT_API mt_tensor *mt_full(mt_backend *backend, mt_shape shape, double value);
/* start, start+step, ... before stop (after stop, when step is negative), as INDEX. */
MT_API mt_tensor *mt_arange(mt_backend *backend, int64_t start, int64_t stop, int64_t step);
/* count values from first to last, both included, evenly spaced; NaN where an infinite end gives no number.
 */
MT_API mt_tensor *mt_linspace(mt_backend *backend, double first, double last, int64_t count);
/* The n x n identity. */
MT_API mt_tensor *mt_eye(mt_backend *backend, int64_t n);
/* Independent draws from [low, high), or from the normal distribution; rng advances by the number of
 * elements. */
MT_API mt_tensor *mt_uniform(mt_backend *backend, mt_shape shape, mt_rng *rng, double low, double high);
MT_API mt_tensor *mt_normal(mt_backend *backend, mt_shape shape, mt_rng *rng, double mean, double deviation);
/* 0 .. count-1 in a random order, as INDEX. */
MT_API mt_tensor *mt_permutation(mt_backend *backend, mt_rng *rng, int64_t count);

/* Frees a handle that a constructor, a view or mt_keep returned; the storage goes with its last handle. A
 * tape that used the tensor keeps it until it is reset. NULL is allowed. A tensor of a tape is not freed: the
 * tape owns it. */
MT_API void mt_tensor_free(mt_tensor *tensor);

/* ---- views: a new handle on the same storage; NULL with a sentence when the layout does not allow it ----
 */

MT_API mt_tensor *mt_tensor_view(mt_tensor *x, mt_shape shape);    /* contiguous only; one size may be -1 */
MT_API mt_tensor *mt_tensor_reshape(mt_tensor *x, mt_shape shape); /* a view, or a copy when it must */
MT_API mt_tensor *mt_tensor_permute(mt_tensor *x, mt_shape order); /* result dimension i is x's order[i] */
MT_API mt_tensor *mt_tensor_transpose(mt_tensor *x, int64_t dim0, int64_t dim1);
/* start, start+step, ... before stop, clamped as in Python; MT_END_OF_DIM for the end; step >= 1. */
MT_API mt_tensor *mt_tensor_slice(mt_tensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step);
MT_API mt_tensor *mt_tensor_select(mt_tensor *x, int64_t dim, int64_t index); /* the dimension disappears */
MT_API mt_tensor *mt_tensor_expand(mt_tensor *x,
                                   mt_shape shape); /* sizes of 1 stretch with stride 0; -1 keeps */
MT_API mt_tensor *mt_tensor_squeeze(mt_tensor *x, int64_t dim);   /* unchanged when the size is not 1 */
MT_API mt_tensor *mt_tensor_unsqueeze(mt_tensor *x, int64_t dim); /* a size of 1 before dim; -1 appends */
/* Windows of size elements along dim, step apart, in a new last dimension; they may share elements. */
MT_API mt_tensor *mt_tensor_unfold(mt_tensor *x, int64_t dim, int64_t size, int64_t step);
MT_API mt_tensor *mt_tensor_flatten(mt_tensor *x, int64_t first, int64_t last); /* a view, or a copy */

/* ---- copies ---- */

/* The same elements, row-major: another handle when x is contiguous already, otherwise a copy. */
MT_API mt_tensor *mt_tensor_contiguous(mt_tensor *x);
/* Always a row-major copy. */
MT_API mt_tensor *mt_tensor_copy(const mt_tensor *x);
/* A row-major copy on another backend, or of the other kind (to INDEX rounds towards zero). */
MT_API mt_tensor *mt_tensor_to(const mt_tensor *x, mt_backend *backend);
MT_API mt_tensor *mt_tensor_as(const mt_tensor *x, mt_kind kind);

/* ---- what a tensor is ---- */

MT_API int mt_tensor_rank(const mt_tensor *x);                    /* 0 for NULL */
MT_API mt_shape mt_tensor_shape(const mt_tensor *x);              /* rank 0 for NULL */
MT_API int64_t mt_tensor_size(const mt_tensor *x, int64_t dim);   /* -1 with a sentence */
MT_API int64_t mt_tensor_stride(const mt_tensor *x, int64_t dim); /* 0 with a sentence */
MT_API int64_t mt_tensor_offset(const mt_tensor *x);
MT_API int64_t mt_tensor_count(const mt_tensor *x); /* -1 for NULL */
MT_API mt_kind mt_tensor_kind(const mt_tensor *x);
MT_API mt_backend *mt_tensor_backend(const mt_tensor *x); /* NULL with a sentence when its tape was reset */
MT_API bool mt_tensor_is_contiguous(const mt_tensor *x);
/* How often the storage has been written in place since it was made; 0 with a sentence when its tape was
 * reset. */
MT_API uint64_t mt_tensor_version(const mt_tensor *x);
/* The first element of a tensor on a host backend, for reading; NULL with a sentence elsewhere. */
MT_API const void *mt_tensor_data(const mt_tensor *x);

/* ---- values ---- */

/* One element; index has as many entries as x has dimensions. set writes in place. */
MT_API mt_status mt_get(const mt_tensor *x, mt_shape index, double *value);
MT_API mt_status mt_set(mt_tensor *x, mt_shape index, double value);
/* The value of a tensor of one element; NaN with a sentence for any other, and for NULL. NaN has no sign. */
MT_API double mt_item(const mt_tensor *x);
/* All elements, row-major; count must be the tensor's. mt_set_doubles overwrites x in place (an index is the
 * nearest integer towards zero). After a failed read from a device the array holds anything. */
MT_API mt_status mt_to_floats(const mt_tensor *x, float *values, int64_t count);
MT_API mt_status mt_to_doubles(const mt_tensor *x, double *values, int64_t count);
MT_API mt_status mt_to_indices(const mt_tensor *x, int64_t *values, int64_t count);
MT_API mt_status mt_set_doubles(mt_tensor *x, const double *values, int64_t count);

/* Nested text that mt_parse reads back to the same values, as snprintf writes: at most size bytes with the
 * final 0, returning the length of the whole text, or -1 with a sentence. An empty dimension ends the
 * nesting: "[]". */
MT_API int64_t mt_format(const mt_tensor *x, char *buffer, size_t size);
/* For a person: each row on a line, numbers in columns, and of a large tensor the elements at the edges, with
 * "..." between them. What is not summarised mt_parse reads back, within the digits. Of NULL it prints the
 * sentence, so that a program which prints its results shows that an operation was refused. */
MT_API mt_status mt_print(FILE *stream, const mt_tensor *x);
/* The same in another form; mt_print_defaults gives what mt_print uses. MT_ERR_VALUE for a number outside. */
MT_API mt_status mt_print_with(FILE *stream, const mt_tensor *x, mt_print_options options);
MT_API mt_print_options mt_print_defaults(void);

MT_END

#endif
