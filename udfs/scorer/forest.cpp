#include "forest.hpp"

#include "lanes.hpp"
#include "walk.hpp"

#include <algorithm>
#include <limits>

namespace treehouse {

double Rows::input(std::size_t row, std::size_t i) const {
    if (i < n_numeric) return numbers(row)[i];
    const std::int32_t code = categories(row)[i - n_numeric];
    return code < 0 ? std::numeric_limits<double>::quiet_NaN() : code;
}

void Rows::gather(std::size_t i, std::size_t first, std::size_t n, double* to) const {
    if (i < n_numeric && numeric_at == nullptr) {
        const double* from = numeric + first * n_numeric + i;
        for (std::size_t r = 0; r < n; ++r) to[r] = from[r * n_numeric];
        return;
    }
    for (std::size_t r = 0; r < n; ++r) to[r] = input(first + r, i);
}

namespace {

const char* validate_node(const Forest& forest, std::uint32_t i, std::uint32_t end) {
    const Node& node = forest.nodes[i];
    const ForestHead& head = *forest.head;
    if ((node.test & kLeaf) != 0) {
        std::uint64_t row;
        __builtin_memcpy(&row, &node.value, sizeof row);
        if (node.left != i || node.test != kLeaf) return "a leaf that does not end its path";
        const bool vectors = (head.flags & kLeafVectors) != 0;
        return vectors && row >= head.n_vectors ? "a leaf vector out of range" : nullptr;
    }
    if (node.left <= i || node.left >= end - 1) return "a child out of range";
    if ((node.test & kFeatureMask) >= head.n_features) return "a feature out of range";
    if ((node.test & kCategorical) != 0) {
        std::uint32_t span[2];
        __builtin_memcpy(span, &node.value, sizeof span);
        if (std::uint64_t{span[0]} + span[1] > head.n_words) return "a set out of range";
    }
    return nullptr;
}

}  // namespace

const char* Forest::validate(std::uint32_t n_inputs) const {
    if (head->n_outputs == 0) return "a forest without outputs";
    if (has(kSumFloat32) && !has(kBaseFirst)) return "float32 sums whose base comes last";
    if (head->post > static_cast<std::uint32_t>(Post::isolation)) return "an unknown post-processor";
    for (std::uint32_t f = 0; f < head->n_features; ++f)
        if (binding[f] >= n_inputs) return "a feature bound to no input";
    const auto outputs = static_cast<std::int64_t>(head->n_outputs);
    if (roots[0] != 0 || static_cast<std::uint64_t>(roots[head->n_trees]) != head->n_nodes)
        return "trees that do not cover the nodes";
    const bool vectors_used = has(kLeafVectors);
    for (std::uint32_t t = 0; t < head->n_trees; ++t) {
        if (roots[t] < 0 || roots[t] >= roots[t + 1]) return "an empty tree";
        if (vectors_used ? tree_output[t] != -1 : tree_output[t] < 0 || tree_output[t] >= outputs)
            return "a tree's output out of range";
        const auto end = static_cast<std::uint32_t>(roots[t + 1]);
        if (end > head->n_nodes) return "a tree out of range";
        for (auto i = static_cast<std::uint32_t>(roots[t]); i < end; ++i)
            if (const char* wrong = validate_node(*this, i, end)) return wrong;
    }
    return nullptr;
}

void evaluate(const Forest& forest, const Rows& rows, Scratch& scratch, double* margins,
              double* outputs) {
    // Below these the fixed work of ranking and of filling registers does not pay.
    constexpr std::size_t kFewForLanes = 4, kFewForWalk = 256;
    const ForestHead& head = *forest.head;
    const bool base_first = forest.has(kBaseFirst);
    scratch.start.resize(head.n_outputs);
    for (std::size_t k = 0; k < head.n_outputs; ++k)
        scratch.start[k] = base_first ? forest.base[k] : 0.0;
    auto sum = sum_rows;
    if (rows.count >= kFewForLanes && forest.lanes != nullptr) sum = sum_lanes;
    if (rows.count >= kFewForWalk && forest.walk != nullptr) sum = sum_walk;
    sum(forest, rows, scratch, scratch.start.data(), margins);
    for (std::size_t k = 0; k < head.n_outputs; ++k)
        for (std::size_t r = 0; r < rows.count; ++r) {
            double& margin = margins[k * rows.count + r];
            if (head.divisor != 1.0) margin /= head.divisor;
            if (!base_first) margin += forest.base[k];
        }
    post_process(head, rows.count, margins, outputs);
}

}  // namespace treehouse
