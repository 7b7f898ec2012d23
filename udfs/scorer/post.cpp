// Post-processors: each the formula of the trainer's own source, in the trainer's own precision.
#include <cmath>

#include "forest.hpp"

namespace treehouse {

namespace {

double sigmoid(double x, double slope, bool single) {
    if (!single) return 1.0 / (1.0 + std::exp(-slope * x));
    // XGBoost's common/math.h
    const float negated = std::fmin(-static_cast<float>(x), 88.7f);
    return static_cast<double>(1.0f / (std::exp(negated) + 1.0f + 1e-16f));
}

double apply(Post post, double x, double parameter, bool single) {
    switch (post) {
        case Post::sigmoid:
            return sigmoid(x, parameter, single);
        case Post::exponential:
            return single ? static_cast<double>(std::exp(static_cast<float>(x))) : std::exp(x);
        case Post::signed_square:
            return std::copysign(x * x, x);
        case Post::hinge:
            return x > 0 ? 1.0 : 0.0;
        case Post::log1p_exp:
            return std::log1p(std::exp(x));
        case Post::isolation:
            return std::exp2(-x / parameter);
        default:
            return x;
    }
}

// LightGBM sums in double, XGBoost exponentiates in float and sums in double.
void softmax(std::size_t n, std::size_t stride, const double* from, double* to, bool single) {
    double most = from[0];
    for (std::size_t k = 1; k < n; ++k) most = std::fmax(most, from[k * stride]);
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) {
        const double x = from[k * stride] - most;
        to[k * stride] = single ? static_cast<double>(std::exp(static_cast<float>(x))) : std::exp(x);
        sum += to[k * stride];
    }
    for (std::size_t k = 0; k < n; ++k) {
        double& share = to[k * stride];
        share = single ? static_cast<double>(static_cast<float>(share) / static_cast<float>(sum))
                       : share / sum;
    }
}

}  // namespace

void post_process(const ForestHead& head, std::size_t count, const double* margins,
                  double* outputs) {
    const auto post = static_cast<Post>(head.post);
    const bool single = (head.flags & kSumFloat32) != 0;
    if (post == Post::softmax) {
        for (std::size_t r = 0; r < count; ++r)
            softmax(head.n_outputs, count, margins + r, outputs + r, single);
        return;
    }
    for (std::size_t i = 0; i < count * head.n_outputs; ++i)
        outputs[i] = apply(post, margins[i], head.post_parameter, single);
}

}  // namespace treehouse
