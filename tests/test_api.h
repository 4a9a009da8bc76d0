/* tests/test_api.h - what the generated calls of every public function (make_api_calls.py) take their
 * arguments from, and hand their results to.
 *
 * One parameter of a call is the hole: there stands NULL, or a tensor that has been forgotten; everywhere
 * else a usual value. The number is the parameter's.
 */
#ifndef MT_TEST_API_H
#define MT_TEST_API_H

#include <stdio.h>

#include "minitorch.h"

typedef struct api_call {
    const char *name, *kinds; /* kinds: x a tensor, l a list of them, p another pointer, . a value */
    void (*call)(void);
} api_call;

extern const api_call api_calls[];
extern const int api_count;

mt_tensor *api_tensor(int number, const char *name);
mt_tensor *const *api_list(int number);
mt_tape *api_tape(int number);
mt_backend *api_backend(int number);
mt_rng *api_rng(int number);
FILE *api_stream(int number);
mt_module *api_module(int number, const char *name);
mt_optimizer *api_optimizer(int number);
mt_step *api_step(int number);
mt_loss_fn api_loss(int number);
mt_dataset *api_dataset(int number);
mt_batches *api_batches(int number);
mt_layout *api_layout(int number);
const mt_function *api_function(int number);
const mt_operation *api_operation(int number); /* of one input and one attribute */
mt_forward_fn api_forward(int number);
mt_gradcheck_fn api_checked(int number);
void (*api_release(int number))(void *context);
char *api_text(int number);
mt_tensor **api_parts(int number);
void *api_memory(int number);
mt_shape api_shape(const char *name);
int64_t api_integer(const char *name);
mt_op api_op(const char *function);
mt_tape_position api_position(void);

void api_status(mt_status status);
void api_pointer(const void *pointer);
void api_value(void); /* any other result, or none */

#endif
