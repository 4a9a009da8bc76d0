/* tests/both.h - what the two halves of test_both.c say to each other; no type of the library among it. */
#ifndef MT_TEST_BOTH_H
#define MT_TEST_BOTH_H

/* The name that a function really has, after the renaming of the double library. */
#define BOTH_TEXT(name) #name
#define BOTH_NAME(name) BOTH_TEXT(name)

/* The value and the gradient of sigmoid(x^2) at 1/3; the size of mt_real and a function's name as that half
 * has them. */
double both_double(double *gradient, int *bytes, const char **name);
/* The largest element of a product that is worth several threads, all elements of which are n. */
double both_double_product(int n);
/* The sentence of a failure in the double library. */
const void *both_double_message(void);

#endif
