#include "explain.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "bundle.hpp"
#include "refusal.hpp"

namespace treehouse {

namespace {

constexpr std::array<int, 8> kExplainPoints = {1, 2, 3, 4, 6, 8, 16, 32};
// The kernel calls itself once a level, and each call keeps its products on the stack.
constexpr std::uint32_t kMaxExplainDepth = 1000;
constexpr std::size_t kMaxExplainWork = 12000;

struct Quadrature {
    std::vector<double> nodes, weights;
};

// Gauss-Legendre on (0, 1): roots of the Legendre polynomial by Newton's method.
Quadrature gauss_legendre(int n) {
    Quadrature found;
    for (int i = 0; i < n; ++i) {
        double x = std::cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5));
        double slope = 1;
        for (int round = 0; round < 100; ++round) {
            double p = 1, before = 0;
            for (int k = 1; k <= n; ++k) {
                const double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
                before = p;
                p = next;
            }
            slope = n * (x * p - before) / (x * x - 1);
            x -= p / slope;
            if (std::fabs(p / slope) < 1e-16) break;
        }
        found.nodes.push_back((1 + x) / 2);
        found.weights.push_back(1 / ((1 - x * x) * slope * slope));
    }
    return found;
}

const Quadrature& quadrature(int points) {
    static const std::array<Quadrature, kExplainPoints.size()> known = [] {
        std::array<Quadrature, kExplainPoints.size()> all;
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = gauss_legendre(kExplainPoints[i]);
        return all;
    }();
    const auto* at = std::find(kExplainPoints.begin(), kExplainPoints.end(), points);
    return known[static_cast<std::size_t>(at - kExplainPoints.begin())];
}

struct TreeFacts {
    std::uint32_t depth = 0;
    std::size_t n_features = 0;
    double expected = 0;
};

TreeFacts study(const Forest& forest, std::uint32_t tree, std::uint32_t output) {
    const auto first = static_cast<std::uint32_t>(forest.roots[tree]);
    const auto end = static_cast<std::uint32_t>(forest.roots[tree + 1]);
    std::vector<std::uint32_t> depth(end - first, 0);
    std::vector<double> reach(end - first, 0);
    std::set<std::uint32_t> features;
    TreeFacts facts;
    reach[0] = 1;
    for (std::uint32_t at = first; at < end; ++at) {
        const Node& node = forest.nodes[at];
        if ((node.test & kLeaf) != 0) {
            facts.expected += reach[at - first] * leaf_value(forest, node, output);
            facts.depth = std::max(facts.depth, depth[at - first]);
            continue;
        }
        features.insert(node.test & kFeatureMask);
        const double share = left_share(forest, at);
        for (std::uint32_t side = 0; side < 2; ++side) {
            depth[node.left + side - first] = depth[at - first] + 1;
            reach[node.left + side - first] = reach[at - first] * (side == 0 ? share : 1 - share);
        }
    }
    facts.n_features = features.size();
    return facts;
}

}  // namespace

Explainer::Explainer(const Bundle& bundle)
    : n_inputs_(bundle.head().n_numeric + bundle.head().n_categorical) {
    for (const ExplainedOutput& part : bundle.explained)
        add_part(bundle.forests[part.forest], part.output, part.weight);
}

void Explainer::add_part(const Forest& forest, std::uint32_t output, double weight) {
    Part part{&forest, output, weight / forest.head->divisor, {}, {}};
    base_ += weight * forest.base[output];
    for (std::uint32_t t = 0; t < forest.head->n_trees; ++t) {
        const bool vectors = forest.tree_output[t] < 0;
        if (!vectors && static_cast<std::uint32_t>(forest.tree_output[t]) != output) continue;
        const TreeFacts facts = study(forest, t, output);
        const std::size_t most = std::min<std::size_t>(facts.depth, facts.n_features);
        base_ += part.weight * facts.expected;
        if (facts.depth == 0) continue;
        if (facts.depth > kMaxExplainDepth || facts.depth * most > kMaxExplainWork || most > 2 * kExplainPoints.back())
            refuse("a tree of depth %u over %zu features is too deep to explain", facts.depth,
                   facts.n_features);
        part.trees.push_back(t);
        part.points.push_back(*std::find_if(
            kExplainPoints.begin(), kExplainPoints.end(),
            [most](int points) { return 2 * static_cast<std::size_t>(points) >= most; }));
    }
    parts_.push_back(std::move(part));
}

void Explainer::explain(const Rows& rows, double* answers) {
    for (std::size_t r = 0; r < rows.count; ++r) {
        std::fill_n(answers + r * width(), width(), 0.0);
        answers[r * width()] = base_;
    }
    for (std::size_t first = 0; first < rows.count; first += kExplainRows)
        for (const Part& part : parts_)
            add(part, rows, first, std::min(kExplainRows, rows.count - first),
                answers + first * width());
}

void Explainer::add(const Part& part, const Rows& rows, std::size_t first, std::size_t count,
                    double* answers) {
    const Forest& forest = *part.forest;
    const std::size_t n_features = forest.head->n_features;
    const std::size_t wide = count == 1 ? 1 : kExplainRows;
    const std::size_t size = n_features * wide;
    x_.assign(size, 0);
    contributions_.assign(size, 0);
    passed_.assign(size, 0);
    share_.assign(n_features, 0);
    for (std::size_t f = 0; f < n_features; ++f)
        rows.gather(forest.binding[f], first, count, x_.data() + f * wide);
    for (std::size_t i = 0; i < part.trees.size(); ++i) {
        const Quadrature& points = quadrature(part.points[i]);
        lane_kernel().explain({&forest, part.trees[i], part.output, part.points[i],
                               points.nodes.data(), points.weights.data(), wide, x_.data(),
                               contributions_.data(), passed_.data(), share_.data()});
    }
    for (std::size_t f = 0; f < n_features; ++f)
        for (std::size_t r = 0; r < count; ++r)
            answers[r * width() + 1 + forest.binding[f]] +=
                part.weight * contributions_[f * wide + r];
}

}  // namespace treehouse
