/* tests/install/plugin.c - a plugin that holds the library's archive: run.sh loads it, calls it and lets go
 * of it. */
#include <minitorch.h>

/* 0 when a product by two threads came out. */
MT_API int plugin_run(void)
{
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tensor *x = mt_full(cpu, mt_shape(256, 256), 0.5), *y = mt_zeros(cpu, mt_shape(256, 256));
    const bool good = mt_set_threads(2) == MT_OK && mt_op_matmul(y, x, x) == MT_OK;
    mt_tensor_free(y);
    mt_tensor_free(x);
    return good ? 0 : 1;
}
