/* tensor/shape.h - shapes and layouts: pure integers, no memory.
 *
 * A layout maps an index (i0, ..., i[r-1]) to the position offset + i0*stride[0] + ... in a storage. Sizes
 * and strides are counted in elements. Every view is a change of layout: a permutation swaps strides, a slice
 * moves the offset and scales a stride, an expansion sets a stride to 0. Functions that can fail return a
 * status with a sentence and leave the result untouched. NULL for a layout or a result gives MT_ERR_NULL, and
 * a count or a position of -1, a shape of rank 0, false, nothing written.
 */
#ifndef MT_SHAPE_H
#define MT_SHAPE_H

#include "status.h"

/* One to eight integers, by value: the sizes of a tensor, an index into one, or a list of dimensions. */
typedef struct mt_shape {
    int rank;
    int64_t size[MT_MAX_DIMS];
} mt_shape;

typedef struct mt_layout {
    int rank;
    int64_t size[MT_MAX_DIMS];
    int64_t stride[MT_MAX_DIMS];
    int64_t offset;
} mt_layout;

/* rank sizes read from an array; a rank outside 1..8 gives rank 0, which every function that takes a shape
 * refuses. */
static inline mt_shape mt_shape_make(int rank, const int64_t *sizes)
{
    mt_shape shape = {0, {0}};
    if (rank < 1 || rank > MT_MAX_DIMS || !sizes) return shape;
    shape.rank = rank;
    for (int d = 0; d < rank; d++) shape.size[d] = sizes[d];
    return shape;
}

MT_BEGIN

MT_API bool mt_shape_equal(mt_shape a, mt_shape b);

/* The number of elements; -1 with a sentence when a size is negative, the rank is not 1..8 or the product
 * times 8 bytes does not fit in 63 bits. */
MT_API int64_t mt_shape_count(mt_shape shape);

/* The shape that a and b broadcast to: aligned at the right, where a size of 1 (or none) stretches to the
 * other's. */
MT_API mt_status mt_shape_broadcast(mt_shape a, mt_shape b, mt_shape *result);

/* Writes "(2, 3)" and returns buffer. MT_SHAPE_TEXT bytes hold any shape. */
#define MT_SHAPE_TEXT 192
MT_API const char *mt_shape_text(mt_shape shape, char buffer[MT_SHAPE_TEXT]);

MT_END

/* mt_shape(2, 3), mt_axes(0, 2), mt_at(i, j): a list of one to eight integers; a ninth does not compile.
 * mt_axes names dimensions and mt_at an element; negative entries count from the end, as in PyTorch. */
#ifdef __cplusplus
template <class... mt_sizes> static inline mt_shape mt_shape_of(mt_sizes... sizes)
{
    static_assert(sizeof...(sizes) >= 1 && sizeof...(sizes) <= MT_MAX_DIMS, "a shape has 1 to 8 sizes");
    const int64_t list[] = {static_cast<int64_t>(sizes)...};
    return mt_shape_make(static_cast<int>(sizeof...(sizes)), list);
}
#define mt_shape(...) mt_shape_of(__VA_ARGS__)
#else
#define MT_LIST_LENGTH(...) (sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define MT_LIST_CHECKED(n)  ((n) * sizeof(char[(n) >= 1 && (n) <= MT_MAX_DIMS ? 1 : -1]))
#define mt_shape(...) \
    mt_shape_make((int)MT_LIST_CHECKED(MT_LIST_LENGTH(__VA_ARGS__)), (const int64_t[]){__VA_ARGS__})
#endif
#define mt_axes(...) mt_shape(__VA_ARGS__)
#define mt_at(...)   mt_shape(__VA_ARGS__)

MT_BEGIN

/* Layouts. mt_layout_contiguous is row-major with offset 0. In all of them a negative dim counts from the
 * end. */
MT_API mt_layout mt_layout_contiguous(mt_shape shape);
/* Row-major strides of size[0..rank-1], with offset 0, into *layout, which the caller has zeroed. Returns the
 * number of elements, or -1 with a sentence as mt_shape_count does. */
MT_API int64_t mt_layout_rows(int rank, const int64_t *size, mt_layout *layout);
MT_API mt_shape mt_layout_shape(const mt_layout *layout);
MT_API int64_t mt_layout_count(const mt_layout *layout);

/* Row-major without gaps; dimensions of size 1 do not matter, an empty layout is contiguous. */
MT_API bool mt_layout_is_contiguous(const mt_layout *layout);
MT_API int64_t mt_layout_position(const mt_layout *layout, const int64_t *index);

/* Turns dim (from -rank to rank-1) into 0..rank-1; what names the operation in the sentence. */
MT_API mt_status mt_layout_dim(const mt_layout *layout, int64_t dim, const char *what, int *result);

/* Whether dims, which may have been made by hand, can be read as a list of 1 to MT_MAX_DIMS dimensions; which
 * they are is not looked at. what as above. */
MT_API mt_status mt_shape_check_dims(mt_shape dims, const char *what);

/* A new shape over the same elements. view needs a contiguous layout; one size may be -1. */
MT_API mt_status mt_layout_view(const mt_layout *layout, mt_shape shape, mt_layout *result);
/* Fills in a size of -1 so that the count becomes count. */
MT_API mt_status mt_shape_infer(mt_shape shape, int64_t count, mt_shape *result);
MT_API mt_status mt_layout_permute(const mt_layout *layout, mt_shape order, mt_layout *result);
MT_API mt_status mt_layout_transpose(const mt_layout *layout, int64_t dim0, int64_t dim1, mt_layout *result);
/* Elements start, start+step, ... before stop of one dimension. start and stop are clamped as Python clamps
 * them, MT_END_OF_DIM as stop means the end; step is at least 1. */
#define MT_END_OF_DIM INT64_MAX
MT_API mt_status mt_layout_slice(const mt_layout *layout, int64_t dim, int64_t start, int64_t stop,
                                 int64_t step, mt_layout *result);
/* One index of a dimension, which disappears; of a vector, a shape of (1) is left. */
MT_API mt_status mt_layout_select(const mt_layout *layout, int64_t dim, int64_t index, mt_layout *result);
/* Sizes of 1 stretch, as in broadcasting, with stride 0; -1 keeps a size. */
MT_API mt_status mt_layout_expand(const mt_layout *layout, mt_shape shape, mt_layout *result);
/* Drops one dimension, which must have size 1 (else the layout stays as it is, as in PyTorch). */
MT_API mt_status mt_layout_squeeze(const mt_layout *layout, int64_t dim, mt_layout *result);
MT_API mt_status mt_layout_unsqueeze(const mt_layout *layout, int64_t dim, mt_layout *result);
/* Windows of size neighbours along dim, each step behind the one before: dim counts them, and a new last
 * dimension their elements; element (.., w, .., i) is x's (.., w*step + i, ..). Windows that do not fit whole
 * are left out. size is 1 to dim's, step at least 1; where step is below size, elements are shared. */
MT_API mt_status mt_layout_unfold(const mt_layout *layout, int64_t dim, int64_t size, int64_t step,
                                  mt_layout *result);
/* The shape with dimensions first..last joined into one. */
MT_API mt_status mt_shape_flatten(mt_shape shape, int64_t first, int64_t last, mt_shape *result);

/* The lowest and one past the highest position the layout reaches; both 0 when it is empty. */
MT_API void mt_layout_extent(const mt_layout *layout, int64_t *low, int64_t *high);
/* Whether two indices share a position. Strides are at least 0. Exact, but for layouts with so many ways to
 * look through that the answer is true unseen; no chain of views of a row-major layout without an unfold is
 * one. */
MT_API bool mt_layout_overlaps_itself(const mt_layout *layout);

MT_END

#endif
