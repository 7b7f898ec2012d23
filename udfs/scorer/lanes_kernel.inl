// The lane kernel over a traits class `L`; included by one file per instruction set, inside an
// unnamed namespace, so that no code for a newer processor can be shared with the others.
//
// L::V    a register of bytes, L::kRows of them      L::Mask   which rows go right
// L::load, L::store, L::splat (a byte), L::splat4 (four equal bytes in a word)
// L::right(x, cut): x >= cut, both with 128 added    L::member(hi, bit, set)
// L::pick(mask, left, right)
// L::add(tree's leaves, numbers of L::kRows leaves, sums)

template <typename L>
struct Pair {
    typename L::V a, b;
};

// The index of a row's leaf within the subtree of depth D at heap position I, plus Base. Both
// subtrees come first and the node's own comparison last: the other way round every mask on the
// path would stay alive, and there are not enough registers for that. L::keep() says that a value
// is wanted now: without it g++ loads what half of the rows need, spills it, and comes back later.
template <typename L, int D, int I, int Base>
__attribute__((always_inline)) inline Pair<L> descend(const LaneNode* nodes,
                                                      const std::uint8_t* columns) {
    Pair<L> left, right;
    if constexpr (D == 1) {
        left.a = left.b = L::splat(Base);
        right.a = right.b = L::splat(Base + 1);
    } else if constexpr (D <= 3) {
        left = descend<L, D - 1, 2 * I + 1, Base>(nodes, columns);
        right = descend<L, D - 1, 2 * I + 2, Base + (1 << (D - 1))>(nodes, columns);
    } else {
        left = descend<L, D - 1, 2 * I + 1, 0>(nodes, columns);
        right = descend<L, D - 1, 2 * I + 2, 0>(nodes, columns);
        const auto high = L::splat(1 << (D - 1));
        right.a = L::either(right.a, high);
        right.b = L::either(right.b, high);
    }
    const std::uint8_t* column = columns + nodes[I].column;
    const auto cut = L::splat4(nodes[I].cut);
    Pair<L> leaf{L::pick(L::right(L::load(column), cut), left.a, right.a),
                 L::pick(L::right(L::load(column + L::kRows), cut), left.b, right.b)};
    L::keep(leaf.a);
    L::keep(leaf.b);
    return leaf;
}

template <typename L, int D>
void complete_tree(const LaneWork& work, const LaneTree& tree, std::uint8_t* sums) {
    const LaneNode* nodes = work.lanes->nodes + tree.first;
    for (std::size_t row = 0; row < work.n_rows; row += 2 * L::kRows) {
        Pair<L> leaf{L::splat(0), L::splat(0)};
        if constexpr (D > 0) leaf = descend<L, D, 0, 0>(nodes, work.columns + row);
        L::add(work, tree, leaf.a, row, sums);
        if (row + L::kRows < work.n_rows) L::add(work, tree, leaf.b, row + L::kRows, sums);
    }
}

template <typename L>
void run_op(const LaneWork& work, const LaneOp& op) {
    const auto operand = [&work](std::uint16_t from) {
        return from < kTemporary ? kLeafNumbers.bytes[from]
                                 : work.temporaries + (from - kTemporary) * kChunk;
    };
    const std::uint8_t* left = operand(op.left);
    const std::uint8_t* right = operand(op.right);
    const std::size_t left_step = op.left < kTemporary ? 0 : L::kRows;
    const std::size_t right_step = op.right < kTemporary ? 0 : L::kRows;
    std::uint8_t* to = work.temporaries + std::size_t{op.to} * kChunk;
    const std::uint8_t* column = work.columns + (op.column & (kSetColumn - 1u)) * kChunk;
    if ((op.column & kSetColumn) == 0) {
        const auto cut = L::splat(static_cast<int>(op.cut));
        for (std::size_t row = 0; row < work.n_rows; row += L::kRows) {
            const auto mask = L::right(L::load(column + row), cut);
            L::store(to + row, L::pick(mask, L::load(left), L::load(right)));
            left += left_step;
            right += right_step;
        }
        return;
    }
    const auto set = L::load_set(work.lanes->sets + std::size_t{op.cut} * kSetBytes);
    for (std::size_t row = 0; row < work.n_rows; row += L::kRows) {
        const auto mask =
            L::member(L::load(column + row), L::load(column + kChunk + row), set);
        L::store(to + row, L::pick(mask, L::load(left), L::load(right)));
        left += left_step;
        right += right_step;
    }
}

template <typename L>
void ragged_tree(const LaneWork& work, const LaneTree& tree, std::uint8_t* sums) {
    const LaneOp* op = work.lanes->ops + tree.first;
    for (std::uint32_t i = 0; i < tree.count; ++i) run_op<L>(work, op[i]);
    for (std::size_t row = 0; row < work.n_rows; row += L::kRows)
        L::add(work, tree, L::load(work.temporaries + row), row, sums);
}

template <typename L>
void run_trees(const LaneWork& work, std::uint32_t first, std::uint32_t end) {
    const std::size_t stride = kChunk * (work.single ? sizeof(float) : sizeof(double));
    for (std::uint32_t t = first; t < end; ++t) {
        const LaneTree& tree = work.lanes->trees[t];
        auto* sums = static_cast<std::uint8_t*>(work.sums) +
                     static_cast<std::size_t>(work.tree_output[t]) * stride;
        switch (tree.kind) {
            case 0: complete_tree<L, 0>(work, tree, sums); break;
            case 1: complete_tree<L, 1>(work, tree, sums); break;
            case 2: complete_tree<L, 2>(work, tree, sums); break;
            case 3: complete_tree<L, 3>(work, tree, sums); break;
            case 4: complete_tree<L, 4>(work, tree, sums); break;
            case 5: complete_tree<L, 5>(work, tree, sums); break;
            case 6: complete_tree<L, 6>(work, tree, sums); break;
            case 7: complete_tree<L, 7>(work, tree, sums); break;
            case 8: complete_tree<L, 8>(work, tree, sums); break;
            default: ragged_tree<L>(work, tree, sums); break;
        }
    }
}

// Sums in the order of the rows: what kernels that do not permute them need.
inline void copy_sums(const void* sums, bool single, std::size_t n_rows, double* to) {
    for (std::size_t r = 0; r < n_rows; ++r)
        to[r] = single ? static_cast<double>(static_cast<const float*>(sums)[r])
                       : static_cast<const double*>(sums)[r];
}

// Leaf values picked one by one, added in the order of the rows.
template <typename T>
inline void add_scalar(const LaneWork& work, const LaneTree& tree, const std::uint8_t* leaf,
                       std::size_t count, T* sums) {
    const T* values = static_cast<const T*>(work.lanes->values) + tree.leaf;
    for (std::size_t r = 0; r < count; ++r) sums[r] += values[leaf[r]];
}

// Ranks in 16 bits: down the search tree, 16 keys a level.
template <unsigned Count(const double*, double)>
inline void search(const double* levels, std::uint32_t n_keys, const double* xs, std::size_t n,
                   std::size_t stride, std::uint16_t* below, std::uint16_t* above) {
    std::uint32_t blocks[4];  // of each level, the lowest first
    int depth = 0;
    for (std::uint32_t keys = n_keys;; keys = blocks[depth - 1] - 1) {
        blocks[depth++] = keys / 16 + 1;
        if (blocks[depth - 1] == 1) break;
    }
    for (std::size_t r = 0; r < n; ++r) {
        const double* level = levels;
        std::uint32_t position = 0;
        for (int d = depth - 1; d >= 0; --d) {
            position = 16 * position + Count(level + 16 * std::size_t{position}, xs[r]);
            level += 16 * std::size_t{blocks[d]};
        }
        if (below != nullptr) below[r * stride] = static_cast<std::uint16_t>(position);
        if (above != nullptr)
            above[r * stride] = static_cast<std::uint16_t>(xs[r] != xs[r] ? n_keys : position);
    }
}
