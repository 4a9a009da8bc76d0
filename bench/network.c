/* network.c - see network.h. */
#include "network.h"

const double network_rate = 0.05;

bool network_make(network *self, network_task t, mt_backend *backend, uint64_t seed)
{
    *self = (network){.task = t, .rng = mt_rng_make(seed)};
    if (t.toy) {
        self->dataset = mt_dataset_make(backend, MT_DATASET_XOR, t.points, &self->rng);
        self->x = mt_dataset_x(self->dataset);
        self->y = mt_dataset_y(self->dataset);
    } else {
        self->x = mt_uniform(backend, mt_shape(t.points, t.widths[0]), &self->rng, 0, 1);
        self->y = mt_uniform(backend, mt_shape(t.points, t.widths[NETWORK_LAYERS]), &self->rng, 0, 1);
    }
    const mt_shape widths = mt_shape(t.widths[0], t.widths[1], t.widths[2], t.widths[3]);
    self->model = mt_mlp(backend, widths, MT_OP_relu, MT_INIT_PYTORCH, &self->rng);
    mt_sgd_options options = mt_sgd_defaults();
    options.rate = network_rate;
    self->optimizer = mt_sgd_new(self->model, options);
    self->tape = mt_tape_new(backend);
    if (self->x != NULL && self->y != NULL)
        self->batches = mt_batches_new(self->x, self->y, t.batch, self->rng);
    return self->optimizer != NULL && self->tape != NULL && self->batches != NULL;
}

void network_free(network *self)
{
    mt_tape_free(self->tape);
    mt_batches_free(self->batches);
    mt_optimizer_free(self->optimizer);
    mt_module_free(self->model);
    if (self->dataset == NULL) {
        mt_tensor_free(self->x);
        mt_tensor_free(self->y);
    }
    mt_dataset_free(self->dataset);
}

mt_tensor *network_step(network *self, mt_tensor *x, mt_tensor *y)
{
    mt_tape_reset(self->tape);
    mt_tensor *z = mt_module_forward(self->model, self->tape, x);
    mt_tensor *loss = self->task.toy ? mt_bce_with_logits(self->tape, z, y) : mt_mse(self->tape, z, y);
    mt_optimizer_zero_grad(self->optimizer);
    return mt_backward(self->tape, loss) == MT_OK && mt_optimizer_step(self->optimizer) == MT_OK ? loss
                                                                                                 : NULL;
}

bool network_shuffle(network *self)
{
    mt_tape_reset(self->tape);
    return mt_batches_shuffle(self->batches) == MT_OK;
}
