/* tests/install/race.c - a program with a race of its own, for its own ThreadSanitizer to find beside the
 * kernels of gpu-sim, which are compiled with that sanitizer's hooks. */
#include <pthread.h>
#include <minitorch.h>

static int count;

static void *add(void *argument)
{
    count++; /* the race */
    return argument;
}

int main(void)
{
    mt_backend *backend = mt_backend_get("gpu-sim");
    if (backend == NULL) return fprintf(stderr, "%s\n", mt_last_message()), 3;
    mt_tensor *x = mt_full(backend, mt_shape(100, 100), 0.5), *y = mt_zeros(backend, mt_shape(100, 100));
    if (mt_op_matmul(y, x, x) != MT_OK) return fprintf(stderr, "%s\n", mt_last_message()), 2;
    mt_tensor_free(y);
    mt_tensor_free(x);

    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, add, NULL) != 0) return 2;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    printf("counted %d\n", count);
    return 0;
}
