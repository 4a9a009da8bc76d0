/* tests/sim/random_program.h - the sizes that random_program.cu and test_random.cpp share. */
#ifndef MT_TEST_RANDOM_PROGRAM_H
#define MT_TEST_RANDOM_PROGRAM_H

/* One full warp and one of 16 lanes. */
enum { RANDOM_BLOCKS = 3, RANDOM_THREADS = 48, RANDOM_WORDS = 40, RANDOM_STEPS = 24 };

#endif
