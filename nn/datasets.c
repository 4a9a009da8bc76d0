/* nn/datasets.c - the six toy data sets: points are drawn on the host, in double, and sent to the backend
 * once. */
#include "datasets.h"

#include <inttypes.h>
#include <math.h>

#include "../tensor/arena.h"
#include "names.h"

enum { MOST_POINTS = 10000000 };

struct mt_dataset {
    mt_tensor *x, *y;
    int64_t points;
};

static const struct {
    const char *name, *summary;
} sets[MT_DATASET_COUNT] = {
    [MT_DATASET_SIMPLE] = {"simple", "x1 < 0.5"},
    [MT_DATASET_DIAG] = {"diag", "x1 + x2 < 0.5"},
    [MT_DATASET_SPLIT] = {"split", "x1 < 0.2 or x1 > 0.8"},
    [MT_DATASET_XOR] = {"xor", "x1 < 0.5 and x2 > 0.5, or x1 > 0.5 and x2 < 0.5"},
    [MT_DATASET_CIRCLE] = {"circle", "(x1 - 0.5)^2 + (x2 - 0.5)^2 > 0.1"},
    [MT_DATASET_SPIRAL] = {"spiral", "two arms that turn around each other"},
};

const char *mt_dataset_name(int i) { return i >= 0 && i < MT_DATASET_COUNT ? sets[i].name : NULL; }

const char *mt_dataset_summary(int i) { return i >= 0 && i < MT_DATASET_COUNT ? sets[i].summary : NULL; }

mt_dataset_kind mt_dataset_by_name(const char *name)
{
    return (mt_dataset_kind)mt_find_name(name, MT_DATASET_COUNT, mt_dataset_name, "data set");
}

/* The label of a point of the unit square. */
static bool is_one(mt_dataset_kind kind, double x1, double x2)
{
    switch (kind) {
    case MT_DATASET_SIMPLE: return x1 < 0.5;
    case MT_DATASET_DIAG: return x1 + x2 < 0.5;
    case MT_DATASET_SPLIT: return x1 < 0.2 || x1 > 0.8;
    case MT_DATASET_XOR: return (x1 < 0.5 && x2 > 0.5) || (x1 > 0.5 && x2 < 0.5);
    case MT_DATASET_CIRCLE: return (x1 - 0.5) * (x1 - 0.5) + (x2 - 0.5) * (x2 - 0.5) > 0.1;
    case MT_DATASET_SPIRAL:
    case MT_DATASET_COUNT: break;
    }
    return false;
}

static void draw(mt_dataset_kind kind, int64_t points, mt_rng *rng, double *x, double *y)
{
    for (int64_t i = 0; i < points; i++) {
        x[2 * i] = mt_rng_double(rng);
        x[2 * i + 1] = mt_rng_double(rng);
        y[i] = is_one(kind, x[2 * i], x[2 * i + 1]);
    }
}

static void spiral(int64_t points, double *x, double *y)
{
    int64_t second = points / 2, first = points - second;
    double half = second ? (double)second : 1;
    for (int64_t i = 0; i < points; i++) {
        bool one = i >= first;
        double t = 10 * ((double)(5 + (one ? i - first : i)) / half);
        if (one) t = -t;
        double along = t * cos(t) / 20 + 0.5, across = t * sin(t) / 20 + 0.5;
        x[2 * i] = one ? across : along;
        x[2 * i + 1] = one ? along : across;
        y[i] = one;
    }
}

mt_dataset *mt_dataset_make(mt_backend *backend, mt_dataset_kind kind, int64_t points, mt_rng *rng)
{
    if (!backend || !rng) return NULL;
    if ((int)kind < 0 || kind >= MT_DATASET_COUNT) {
        mt_fail(MT_ERR_VALUE, "dataset_make: %d is not a data set; use one of the MT_DATASET_ names",
                (int)kind);
        return NULL;
    }
    if (points < 1 || points > MOST_POINTS) {
        mt_fail(MT_ERR_VALUE, "dataset_make: %" PRId64 " points of %s; choose from 1 to %d", points,
                sets[kind].name, MOST_POINTS);
        return NULL;
    }
    size_t bytes = (size_t)points * 3 * sizeof(double);
    double *host = mt_alloc(bytes);
    mt_dataset *dataset = host ? mt_alloc_zeroed(sizeof *dataset) : NULL;
    if (dataset) {
        double *x = host, *y = host + 2 * points;
        if (kind == MT_DATASET_SPIRAL)
            spiral(points, x, y);
        else
            draw(kind, points, rng, x, y);
        dataset->points = points;
        dataset->x = mt_from_doubles(backend, x, mt_shape(points, 2));
        dataset->y = dataset->x ? mt_from_doubles(backend, y, mt_shape(points, 1)) : NULL;
        if (!dataset->y) {
            mt_dataset_free(dataset);
            dataset = NULL;
        }
    }
    mt_free(host, bytes);
    return dataset;
}

void mt_dataset_free(mt_dataset *dataset)
{
    if (!dataset) return;
    mt_tensor_free(dataset->x);
    mt_tensor_free(dataset->y);
    mt_free(dataset, sizeof *dataset);
}

mt_tensor *mt_dataset_x(const mt_dataset *dataset) { return dataset ? dataset->x : NULL; }

mt_tensor *mt_dataset_y(const mt_dataset *dataset) { return dataset ? dataset->y : NULL; }

int64_t mt_dataset_points(const mt_dataset *dataset) { return dataset ? dataset->points : -1; }
