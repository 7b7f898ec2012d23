#include "walk.hpp"

#include <algorithm>

#include "lanes.hpp"

namespace treehouse {

namespace {

// Walks kept in flight: each step waits for two loads, so several share the wait.
constexpr std::size_t kFlight = 8;

// One step down; a leaf steps to itself.
template <bool kSets>
inline std::uint32_t step(const Forest& forest, std::uint32_t at, const double* x) {
    const Node& node = forest.nodes[at];
    const double value = x[node.test & kFeatureMask];
    const std::uint32_t flags = node.test >> 24;
    std::uint32_t left = (value <= node.value ? 1u : 0u) | (flags & 1u) |
                         ((flags >> 1) & (value != value ? 1u : 0u));
    if (kSets && (node.test & kCategorical) != 0) left = goes_left(forest, node, value) ? 1u : 0u;
    return node.left + 1u - (left & 1u);
}

// Walks kFlight paths to their leaves: path j starts at node at[j] and reads the row x[j].
template <bool kSets>
void find_leaves(const Forest& forest, const double* const* x, std::uint32_t* at) {
    for (std::uint32_t moved = 1; moved != 0;) {
        moved = 0;
        for (std::size_t j = 0; j < kFlight; ++j) {
            const std::uint32_t next = step<kSets>(forest, at[j], x[j]);
            moved |= next ^ at[j];
            at[j] = next;
        }
    }
}

template <typename T>
inline void add(double& sum, double value) {
    sum = static_cast<double>(static_cast<T>(sum) + static_cast<T>(value));
}

template <typename T>
inline void add_leaf(const Forest& forest, std::uint32_t tree, double value, double* sums,
                     std::size_t stride) {
    const std::int32_t output = forest.tree_output[tree];
    if (output >= 0) return add<T>(sums[static_cast<std::size_t>(output) * stride], value);
    std::uint64_t row;
    __builtin_memcpy(&row, &value, sizeof row);
    const std::uint32_t n_outputs = forest.head->n_outputs;
    const double* vector = forest.vectors + row * n_outputs;
    for (std::uint32_t k = 0; k < n_outputs; ++k) add<T>(sums[k * stride], vector[k]);
}

// One row: several trees at once.
template <typename T, bool kSets>
void sum_row(const Forest& forest, const double* x, double* sums, std::size_t stride) {
    const std::uint32_t n_trees = forest.head->n_trees;
    const double* same[kFlight];
    std::fill_n(same, kFlight, x);
    std::uint32_t at[kFlight];
    for (std::uint32_t t = 0; t < n_trees; t += kFlight) {
        const std::size_t count = std::min<std::size_t>(kFlight, n_trees - t);
        for (std::size_t j = 0; j < kFlight; ++j)
            at[j] = static_cast<std::uint32_t>(forest.roots[t + std::min(j, count - 1)]);
        find_leaves<kSets>(forest, same, at);
        for (std::uint32_t j = 0; j < count; ++j)
            add_leaf<T>(forest, t + j, forest.nodes[at[j]].value, sums, stride);
    }
}

// Many rows of `width` numbers: several at once through each tree, which is read but once.
template <typename T, bool kSets>
void sum_strip(const Forest& forest, const double* x, std::size_t width, std::size_t count,
               double* sums, std::size_t stride) {
    const double* row[kFlight];
    std::uint32_t at[kFlight];
    for (std::uint32_t t = 0; t < forest.head->n_trees; ++t)
        for (std::size_t first = 0; first < count; first += kFlight) {
            const std::size_t flying = std::min(kFlight, count - first);
            for (std::size_t j = 0; j < kFlight; ++j) {
                row[j] = x + (first + std::min(j, flying - 1)) * width;
                at[j] = static_cast<std::uint32_t>(forest.roots[t]);
            }
            find_leaves<kSets>(forest, row, at);
            for (std::size_t j = 0; j < flying; ++j)
                add_leaf<T>(forest, t, forest.nodes[at[j]].value, sums + first + j, stride);
        }
}

template <typename T, bool kSets>
void sum_some(const Forest& forest, const double* x, std::size_t width, std::size_t count,
              double* sums, std::size_t stride) {
    if (count >= kFlight) return sum_strip<T, kSets>(forest, x, width, count, sums, stride);
    for (std::size_t r = 0; r < count; ++r)
        sum_row<T, kSets>(forest, x + r * width, sums + r, stride);
}

// Walks kFlight paths to their leaves: path j starts at the inner node at[j] and reads the ranks
// that begin at row[j]. A path that has arrived repeats its last step.
inline void fly(const WalkNode* nodes, const std::uint16_t* const* row, std::uint32_t* at,
                double* values) {
    std::uint32_t next[kFlight];
    for (std::uint32_t open = 1; open != 0;) {
        open = 0;
        for (std::size_t j = 0; j < kFlight; ++j) {
            const WalkNode node = nodes[at[j]];
            const std::uint32_t right = row[j][node.column & kWalkColumn] >= node.cut ? 1u : 0u;
            const std::uint32_t leaf = (node.column >> (14 + right)) & 1u;
            next[j] = node.left + right;
            at[j] = leaf != 0 ? at[j] : next[j];
            open |= leaf ^ 1u;
        }
    }
    for (std::size_t j = 0; j < kFlight; ++j)
        __builtin_memcpy(values + j, nodes + next[j], sizeof *values);
}

// Values of kFlight rows in one tree, or of one row in kFlight trees.
inline void fly_from(const WalkNode* nodes, bool only_leaf, const std::uint16_t* const* row,
                     std::uint32_t* at, double* values) {
    if (!only_leaf) return fly(nodes, row, at, values);
    for (std::size_t j = 0; j < kFlight; ++j)
        __builtin_memcpy(values + j, nodes + at[j], sizeof *values);
}

// uint16[row][column] for all rows of the chunk: the columns of tables [first_table, end_table).
void rank_rows(const Forest& forest, const Rows& rows, std::uint32_t first_table,
               std::uint32_t end_table, std::uint16_t* ranks) {
    const Ranks& tables = *forest.ranks;
    const std::size_t n_columns = tables.head->n_columns;
    double xs[64];
    for (std::size_t first = 0; first < rows.count; first += 64) {
        const std::size_t count = std::min<std::size_t>(64, rows.count - first);
        for (std::uint32_t i = first_table; i < end_table; ++i) {
            const RankTable& table = tables.tables[i];
            rows.gather(forest.binding[table.feature], first, count, xs);
            std::uint16_t* at = ranks + first * n_columns;
            lane_kernel().rank_wide(reinterpret_cast<const double*>(tables.data(table)),
                                    table.count, xs, count, n_columns,
                                    table.below < 0 ? nullptr : at + table.below,
                                    table.above < 0 ? nullptr : at + table.above);
        }
    }
}

inline bool only_leaf(const Forest& forest, std::uint32_t tree) {
    return forest.roots[tree + 1] - forest.roots[tree] == 1;
}

template <typename T>
void add_trees(const Forest& forest, const Rows& rows, std::uint32_t first_tree,
               std::uint32_t end_tree, const std::uint16_t* ranks, double* margins) {
    const std::size_t n_columns = forest.ranks->head->n_columns;
    const std::uint16_t* row[kFlight];
    std::uint32_t at[kFlight];
    double values[kFlight];
    for (std::uint32_t t = first_tree; t < end_tree; ++t) {
        const bool leaf = only_leaf(forest, t);
        for (std::size_t first = 0; first < rows.count; first += kFlight) {
            for (std::size_t j = 0; j < kFlight; ++j) {
                row[j] = ranks + (first + j) * n_columns;
                at[j] = static_cast<std::uint32_t>(forest.roots[t]);
            }
            fly_from(forest.walk, leaf, row, at, values);
            const std::size_t count = std::min(kFlight, rows.count - first);
            for (std::size_t j = 0; j < count; ++j)
                add_leaf<T>(forest, t, values[j], margins + first + j, rows.count);
        }
    }
}

const char* validate_walk_node(const Forest& forest, std::uint64_t i) {
    const WalkNode& node = forest.walk[i];
    const Node& known = forest.nodes[i];
    if ((known.test & kLeaf) != 0) {
        std::uint64_t row;
        __builtin_memcpy(&row, &node, sizeof row);
        const bool wrong = forest.has(kLeafVectors) && row >= forest.head->n_vectors;
        return wrong ? "a leaf vector out of range" : nullptr;
    }
    const auto is_leaf = [&forest](std::uint32_t at) {
        return (forest.nodes[at].test & kLeaf) != 0;
    };
    if (node.left != known.left || (node.column & kWalkColumn) >= forest.ranks->head->n_columns ||
        ((node.column & kLeftLeaf) != 0) != is_leaf(node.left) ||
        ((node.column & kRightLeaf) != 0) != is_leaf(node.left + 1))
        return "a walk that does not follow the trees";
    return nullptr;
}

}  // namespace

const char* validate_walk(const Forest& forest) {
    const Ranks& ranks = *forest.ranks;
    for (std::uint64_t i = 0; i < forest.head->n_nodes; ++i)
        if (const char* wrong = validate_walk_node(forest, i)) return wrong;
    for (std::uint32_t i = 0; i < ranks.head->n_tables; ++i)
        if (ranks.tables[i].categorical != 0)
            return "a rank table that does not fit a walk";
    return nullptr;
}

void sum_rows(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
              double* margins) {
    constexpr std::size_t kStripNumbers = std::size_t{1} << 14;  // stay in the caches
    const ForestHead& head = *forest.head;
    const auto sum = forest.has(kSumFloat32)
                         ? (head.n_words != 0 ? sum_some<float, true> : sum_some<float, false>)
                         : (head.n_words != 0 ? sum_some<double, true> : sum_some<double, false>);
    // a leaf reads the first number, even where there is no feature at all
    const std::size_t width = std::max<std::size_t>(head.n_features, 1);
    const std::size_t strip = std::clamp(kStripNumbers / width, kFlight, kChunk);
    scratch.values.resize(strip * width);
    double* x = scratch.values.data();
    x[0] = 0;
    for (std::size_t k = 0; k < head.n_outputs; ++k)
        std::fill_n(margins + k * rows.count, rows.count, start[k]);
    for (std::size_t first = 0; first < rows.count; first += strip) {
        const std::size_t count = std::min(strip, rows.count - first);
        for (std::size_t r = 0; r < count; ++r)
            for (std::size_t f = 0; f < head.n_features; ++f)
                x[r * width + f] = rows.input(first + r, forest.binding[f]);
        sum(forest, x, width, count, margins + first, rows.count);
    }
}

void sum_walk(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
              double* margins) {
    const std::size_t n_columns = forest.ranks->head->n_columns;
    scratch.ranks.resize((rows.count + kFlight) * n_columns + 1);
    std::uint16_t* ranks = scratch.ranks.data();
    // rows that fill up the last flight walk too, on some path
    std::fill(ranks + rows.count * n_columns, ranks + scratch.ranks.size(), std::uint16_t{0});
    for (std::size_t k = 0; k < forest.head->n_outputs; ++k)
        std::fill_n(margins + k * rows.count, rows.count, start[k]);
    const bool single = forest.has(kSumFloat32);
    const auto add = single ? add_trees<float> : add_trees<double>;
    for (std::uint32_t tree = 0, table = 0; tree < forest.head->n_trees;) {
        const std::uint32_t next = forest.ranks->tables_until(table, tree);
        rank_rows(forest, rows, table, next, ranks);
        const std::uint32_t end = forest.ranks->next_tree(next, forest.head->n_trees);
        add(forest, rows, tree, end, ranks, margins);
        table = next;
        tree = end;
    }
}

}  // namespace treehouse
