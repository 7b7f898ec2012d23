// One forest of a bundle: views into the mapped file, and its evaluation over a chunk of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer.hpp"
#include "format.hpp"

namespace treehouse {

// Rows are scored in chunks of at most this many: their working set stays in the L1/L2 caches.
constexpr std::size_t kChunk = 512;
// Forests of large trees read each tree from memory once for this many rows.
constexpr std::size_t kWalkChunk = 4096;

// A chunk of rows as the block brought them. Inputs are numbered numeric first, then categories.
struct Rows {
    const double* numeric = nullptr;
    const std::int32_t* codes = nullptr;
    std::size_t n_numeric = 0;
    std::size_t n_categorical = 0;
    // For each row where its numbers and codes begin; null if rows follow each other.
    const std::uint64_t* numeric_at = nullptr;
    const std::uint64_t* codes_at = nullptr;
    std::size_t count = 0;

    const double* numbers(std::size_t row) const {
        return numeric + (numeric_at != nullptr ? numeric_at[row] : row * n_numeric);
    }
    const std::int32_t* categories(std::size_t row) const {
        return codes + (codes_at != nullptr ? codes_at[row] : row * n_categorical);
    }
    // A category's code as the forests see it: NaN if missing.
    double input(std::size_t row, std::size_t i) const;
    // One input of rows [first, first + n), side by side.
    void gather(std::size_t i, std::size_t first, std::size_t n, double* to) const;
};

struct Lanes;
struct Ranks;
struct WalkNode;

struct Forest {
    const ForestHead* head = nullptr;
    const std::uint32_t* binding = nullptr;
    const double* base = nullptr;
    const std::int32_t* roots = nullptr;
    const std::int32_t* tree_output = nullptr;
    const Node* nodes = nullptr;
    const std::uint32_t* words = nullptr;
    const double* vectors = nullptr;
    const double* cover = nullptr;
    const Lanes* lanes = nullptr;  // null where the forest has no such layout
    const Ranks* ranks = nullptr;
    const WalkNode* walk = nullptr;

    bool has(ForestFlag flag) const { return (head->flags & flag) != 0; }
    // Null if all is well, else what is wrong. Every index is checked once, here.
    const char* validate(std::uint32_t n_inputs) const;
};

// Scratch memory of one evaluating thread.
struct Scratch {
    Buffer<double> values;
    Buffer<double> sums;
    Buffer<double> start;
    Buffer<double> margins;
    Buffer<double> outputs;
    Buffer<double> stack;
    Buffer<std::uint8_t> columns;
    Buffer<std::uint8_t> temporaries;
    Buffer<std::uint16_t> ranks;
};

// Whether a category is in a node's set; codes beyond the set's words are not.
inline bool in_set(const Forest& forest, const Node& node, double x) {
    const double least = forest.has(kTruncateNegative) ? -1.0 : -0x1p-1074;
    if (!(x > least) || !(x < 2147483648.0)) return false;
    const auto code = static_cast<std::uint32_t>(static_cast<std::int32_t>(x));
    std::uint32_t span[2];
    static_assert(sizeof span == sizeof node.value, "a set's span lies in the node");
    __builtin_memcpy(span, &node.value, sizeof span);
    if ((code >> 5) >= span[1]) return false;
    return ((forest.words[span[0] + (code >> 5)] >> (code & 31)) & 1) != 0;
}

inline bool goes_left(const Forest& forest, const Node& node, double x) {
    if (x != x) return (node.test & kDefaultLeft) != 0;
    if ((node.test & kCategorical) == 0) return x <= node.value;
    return in_set(forest, node, x) != ((node.test & kInverted) != 0);
}

// The value of a leaf, for one output where leaves hold vectors.
inline double leaf_value(const Forest& forest, const Node& leaf, std::uint32_t output) {
    if (!forest.has(kLeafVectors)) return leaf.value;
    std::uint64_t row;
    __builtin_memcpy(&row, &leaf.value, sizeof row);
    return forest.vectors[row * forest.head->n_outputs + output];
}

// The share of a node's training rows that went left; never quite 0 or 1, so that products of
// shares stay invertible.
inline double left_share(const Forest& forest, std::uint32_t at) {
    const double left = forest.cover[forest.nodes[at].left];
    const double both = left + forest.cover[forest.nodes[at].left + 1];
    const double share = both > 0 ? left / both : 0.5;
    return share < 1e-12 ? 1e-12 : (share > 1 - 1e-12 ? 1 - 1e-12 : share);
}

// margins[k * rows.count + r] and outputs likewise: before and after the post-processor.
void evaluate(const Forest& forest, const Rows& rows, Scratch& scratch, double* margins,
              double* outputs);

// outputs = post-processor of margins, both float64[n_outputs][count].
void post_process(const ForestHead& head, std::size_t count, const double* margins,
                  double* outputs);

}  // namespace treehouse
