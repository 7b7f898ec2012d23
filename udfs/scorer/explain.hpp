// Shapley contributions of each input to a margin: path-dependent TreeSHAP (Lundberg et al., "From
// local explanations to global understanding with explainable AI for trees", 2020), computed by
// integrating the multilinear extension (Owen, 1972) instead of weighing subsets: for a leaf with
// value v, reached through features j with o_j in {0, 1} (the row passes) and z_j (share of the
// training rows that pass), feature i's part is
//     v (o_i - z_i) integral from 0 to 1 of product over j != i of (t o_j + (1 - t) z_j) dt.
// That is a polynomial in t, so Gauss-Legendre quadrature with half as many points as features is
// exact, and every leaf below a node shares the products (as in Yu et al., "Linear TreeShap", 2022).
#pragma once

#include <cstdint>
#include <vector>

#include "forest.hpp"

namespace treehouse {

class Bundle;

// Rows explained side by side.
constexpr std::size_t kExplainRows = 16;

// What a tree's explanation needs beside the row.
struct ExplainJob {
    const Forest* forest;
    std::uint32_t tree;
    std::uint32_t output;  // which element of leaf vectors
    int points;            // of the quadrature; one of kExplainPoints
    const double* nodes;   // t_q, in (0, 1)
    const double* weights;
    std::size_t wide;    // rows side by side: kExplainRows, or 1 for a row alone
    const double* x;     // [feature][wide]
    double* contributions;  // [feature][wide], added to
    // Of each feature on the path: whether each row has passed so far, and the share that has.
    double* passed;  // [feature][wide]
    double* share;   // [feature]; 0: not on the path
};

using ExplainTree = void (*)(const ExplainJob& job);

// The explained margin is a weighted sum of forest outputs, as the bundle says.
class Explainer {
public:
    explicit Explainer(const Bundle& bundle);

    // How many numbers a row is answered with: the base value and one for each input.
    std::size_t width() const { return 1 + n_inputs_; }
    // answers[r * width() + i]: base, then contributions; their sum is the margin.
    void explain(const Rows& rows, double* answers);

private:
    struct Part {
        const Forest* forest;
        std::uint32_t output;
        double weight;
        std::vector<std::uint32_t> trees;
        std::vector<int> points;  // for each of the trees
    };
    void add_part(const Forest& forest, std::uint32_t output, double weight);
    void add(const Part& part, const Rows& rows, std::size_t first, std::size_t count,
             double* answers);

    std::size_t n_inputs_;
    double base_ = 0;
    std::vector<Part> parts_;
    std::vector<double> x_, contributions_, passed_, share_;
};

}  // namespace treehouse
