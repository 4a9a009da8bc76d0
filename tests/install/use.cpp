// tests/install/use.cpp - the same headers read by a C++17 compiler.
#include <minitorch.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

struct release {
    void operator()(mt_tensor *tensor) const { mt_tensor_free(tensor); }
    void operator()(mt_tape *tape) const { mt_tape_free(tape); }
};

int main()
{
    mt_backend *backend = mt_backend_get("cpu");
    const std::vector<double> values = {1, 2, 3, 4};
    const int64_t rows = 2;
    std::unique_ptr<mt_tensor, release> x(mt_from_doubles(backend, values.data(), mt_shape(rows, 2)));
    std::unique_ptr<mt_tensor, release> w(mt_ones(backend, mt_shape(2, 1)));
    std::unique_ptr<mt_tape, release> tape(mt_tape_new(backend));
    mt_require_grad(w.get(), true);
    mt_tensor *loss = mt_mean_dims(tape.get(), mt_matmul(tape.get(), x.get(), w.get()), mt_axes(0, 1), false);
    if (mt_backward(tape.get(), loss) != MT_OK) {
        std::printf("%s\n", mt_tape_message(tape.get()));
        return 1;
    }
    double slope = 0;
    mt_get(mt_grad(w.get()), mt_at(-1, 0), &slope);
    const mt_gradcheck_options how = mt_gradcheck_defaults();
    std::printf("C++17: loss %g, gradient %g\n", mt_item(loss), slope);
    return mt_item(loss) == 5 && slope == 3 && how.epsilon > 0 && std::strcmp(mt_version(), MT_VERSION) == 0
               ? 0
               : 1;
}
