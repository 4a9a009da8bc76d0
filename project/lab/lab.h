/* project/lab/lab.h - what lab.c and the .cu files of the lab say to each other. Plain C.
 *
 * Each .cu has one entry a twin, made by LAB or LAB_MATMUL of lab.cuh, which takes a task and returns 0 when
 * all went well. The table of them is written by meson.build from its list of files.
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>

/* What an entry returns when everything ran and the result is not right, when there is no device, and when
 * it launched nothing or looked at no result. */
#define LAB_WRONG     1000
#define LAB_NO_DEVICE 1001
#define LAB_IDLE      1002

typedef struct lab_task {
    int m, n, k;
    const float *a, *b; /* A is (m, k), B is (k, n), row by row */
    float *c;           /* (m, n), to be filled with A B */
    bool is_matmul;     /* set by the entry: c holds its result */
    int repeats;        /* how often to time the product, after a first one; 0: do not */
    double seconds;     /* of one, on the card */
    char message[512];  /* why it failed */
} lab_task;

typedef int lab_entry(lab_task *task);

typedef struct lab_kernel {
    const char *name;
    lab_entry *sim, *gpu; /* gpu NULL in a build without nvcc */
} lab_kernel;

extern const lab_kernel lab_kernels[];
extern const int lab_kernel_count;

#endif
