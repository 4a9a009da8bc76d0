/* project/lab/command.h - the lab's command line: what it was asked to do, and the table of options that
 * fills it. */
#ifndef LAB_COMMAND_H
#define LAB_COMMAND_H

#include "project/options.h"

enum { LAB_MOST_SIZES = 32, LAB_LARGEST_SIZE = 4096, LAB_MOST_SCHEDULES = 1000 };

typedef struct lab_settings {
    const char *sizes;
    int64_t schedules;
    uint64_t seed;
    int backend;
    bool stats, help;
} lab_settings;

/* C = A B with A (m, k) and B (k, n). */
typedef struct lab_size {
    int m, n, k;
} lab_size;

const option_table *lab_table(void);
/* Reads "65x33x17,8x8x8". Returns how many, 0 with a sentence on stderr. */
int lab_read_sizes(const char *text, lab_size sizes[LAB_MOST_SIZES]);

#endif
