/* tests/launched_kernels.c - runs what `gpu_slots --large` runs, on gpu-sim, and prints the address of each
 * kernel that was launched, template instances apart: "launched ADDRESS", and "main ADDRESS" of its own main,
 * by which tests/check_kernels.py finds them among the program's symbols. Exit status 1 when a slot is wrong.
 */
#include "bench/slots.h"
#include "ops_cuda/sim/sim.h"

int main(void)
{
    backends[0] = mt_backend_get("gpu-sim");
    backends[1] = mt_backend_get("simple");
    if (backends[0] == NULL || backends[1] == NULL) {
        printf("%s\n", mt_last_message());
        return 1;
    }
    slots_large = true;
    const int failed = slots_run(0, slot_check_count);
    printf("main %llx\n", (unsigned long long)(uintptr_t)main);
    const void *kernel;
    for (int i = 0; (kernel = mt_sim_launched(i)) != NULL; i++)
        printf("launched %llx\n", (unsigned long long)(uintptr_t)kernel);
    return failed;
}
