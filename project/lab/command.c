/* project/lab/command.c - see command.h. */
#include "command.h"

#include <stdio.h>

static const char *backend_choice(int i)
{
    static const char *names[] = {"gpu-sim", "gpu"};
    return i < 2 ? names[i] : NULL;
}

static const option rows[] = {
    {"--size", "", OPTION_TEXT, offsetof(lab_settings, sizes), 0, 0, NULL, "LIST",
     "1x1x1,33x65x17,64x64x64,5x130x7,67x36x100",
     "of C = A B: rows of A x columns of B x what they share; several with commas"},
    {"--schedules", "", OPTION_INT, offsetof(lab_settings, schedules), 1, LAB_MOST_SCHEDULES, NULL, "N", "3",
     "orders of the threads to try, on gpu-sim"},
    {"--seed", "", OPTION_SEED, offsetof(lab_settings, seed), 0, 0, NULL, "N", "1",
     "of the matrices, and of the first schedule"},
    {"--backend", "", OPTION_CHOICE, offsetof(lab_settings, backend), 0, 0, backend_choice, "NAME", "gpu-sim",
     "where to run; gpu prints times too"},
    {"--stats", "", OPTION_FLAG, offsetof(lab_settings, stats), 0, 0, NULL, "", "",
     "print what each kernel asked of the memory: counts, from gpu-sim"},
    {"--help", "-h", OPTION_FLAG, offsetof(lab_settings, help), 0, 0, NULL, "", "", "print this and exit"},
};

const option_table *lab_table(void)
{
    static const option_group groups[] = {{"Options", rows, (int)(sizeof rows / sizeof rows[0])}};
    static const option_table table = {"lab", groups, 1};
    return &table;
}

int lab_read_sizes(const char *text, lab_size sizes[LAB_MOST_SIZES])
{
    int count = 0, used = 0;
    for (const char *at = text;; at += used + 1) {
        lab_size s = {0, 0, 0};
        const bool read = count < LAB_MOST_SIZES && sscanf(at, "%5dx%5dx%5d%n", &s.m, &s.n, &s.k, &used) == 3;
        const bool fits = s.m >= 1 && s.n >= 1 && s.k >= 1 && s.m <= LAB_LARGEST_SIZE &&
                          s.n <= LAB_LARGEST_SIZE && s.k <= LAB_LARGEST_SIZE;
        if (!read || !fits || (at[used] != 0 && at[used] != ',')) {
            char shown[QUOTED_BYTES];
            fprintf(stderr,
                    "lab: --size must be up to %d of ROWSxCOLUMNSxSHARED, each from 1 to %d, as in "
                    "65x33x17,8x8x8, not '%s'\n",
                    LAB_MOST_SIZES, LAB_LARGEST_SIZE, quoted(text, shown));
            return 0;
        }
        sizes[count++] = s;
        if (at[used] == 0) return count;
    }
}
