// Trees over byte lanes: features as ranks, 32 or 64 rows to a register, no branch, no gather.
// The layout is that of training/treehouse/bundle/lanes.py. The way of evaluating a tree for many rows at
// once goes back to Lucchese et al., "QuickScorer" (SIGIR 2015) and Ye et al., "RapidScorer"
// (KDD 2018); here leaf numbers are blended bottom-up by comparison masks instead of bitvectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forest.hpp"

namespace treehouse {

struct ExplainJob;

struct RankHead {
    std::uint32_t n_tables;
    std::uint32_t n_columns;
    std::uint32_t width;
    std::uint32_t reserved;
};

struct RankTable {
    std::uint32_t feature;
    std::uint32_t count;  // keys; of a categorical table: mapped codes
    std::uint64_t offset;
    std::int32_t below;  // column in which a missing value ranks below all; -1 if unused
    std::int32_t above;
    std::uint32_t categorical;
    std::uint32_t first_tree;
};
static_assert(sizeof(RankTable) == 32, "fixed by the format");

struct LaneHead {
    std::uint32_t n_trees;
    std::uint32_t n_sets;
    std::uint32_t n_temporaries;
    std::uint32_t n_ops;
    std::uint64_t trees, nodes, ops, sets, values, planes;  // offsets in the section
};
static_assert(sizeof(LaneHead) == 64, "fixed by the format");

struct LaneTree {
    std::uint16_t kind;   // depth of a complete tree, or kRagged
    std::uint16_t count;  // nodes or operations
    std::uint32_t first;
    std::uint32_t leaf;
    std::uint32_t padded;  // 64, 128 or 256 leaf values
};
static_assert(sizeof(LaneTree) == 16, "fixed by the format");

struct LaneNode {
    std::uint32_t cut;     // four times the same byte, 128 added
    std::uint32_t column;  // times kChunk: where the column begins
};

struct LaneOp {
    std::uint16_t column;  // kSetColumn: a categorical column
    std::uint16_t to;
    std::uint16_t left;  // below 256 a leaf, else a temporary
    std::uint16_t right;
    std::uint32_t cut;  // or the number of the set
};
static_assert(sizeof(LaneOp) == 12, "fixed by the format");

constexpr std::uint16_t kRagged = 255;
constexpr std::uint16_t kSetColumn = 0x8000;
constexpr std::uint16_t kTemporary = 256;
constexpr std::uint32_t kSetBytes = 32;
constexpr std::size_t kMaxDepth = 8;

// What features are looked up in: shared by the lanes (byte ranks) and the walk (16 bits).
struct Ranks {
    const RankHead* head = nullptr;
    const RankTable* tables = nullptr;

    const std::uint8_t* data(const RankTable& table) const {
        return reinterpret_cast<const std::uint8_t*>(head) + table.offset;
    }
    // Tables come into force at their first tree: the end of those that do by `tree`, and the
    // tree before which the next one does.
    std::uint32_t tables_until(std::uint32_t table, std::uint32_t tree) const {
        while (table < head->n_tables && tables[table].first_tree <= tree) ++table;
        return table;
    }
    std::uint32_t next_tree(std::uint32_t table, std::uint32_t n_trees) const {
        const bool last = table == head->n_tables || tables[table].first_tree > n_trees;
        return last ? n_trees : tables[table].first_tree;
    }
    // Null if all is well.
    const char* open(const std::uint8_t* section, std::uint64_t length, const Forest& forest);
};

struct Lanes {
    const LaneHead* head = nullptr;
    const LaneTree* trees = nullptr;
    const LaneNode* nodes = nullptr;
    const LaneOp* ops = nullptr;
    const std::uint8_t* sets = nullptr;
    const void* values = nullptr;
    const std::uint8_t* planes = nullptr;

    // Null if all is well; forest.ranks is open already.
    const char* open(const std::uint8_t* section, std::uint64_t length, const Forest& forest);

private:
    const char* check_tree(const LaneTree& tree, std::uint64_t n_nodes, std::uint64_t n_values,
                           std::uint32_t n_columns) const;
    const char* check_op(const LaneOp& op, std::uint32_t n_columns) const;
};

// What a kernel works on: one chunk of at most kChunk rows. Columns and temporaries have a stride
// of kChunk bytes; sums are float or double, kChunk of them for each output, in the kernel's order.
struct LaneWork {
    const Lanes* lanes;
    const std::int32_t* tree_output;
    const std::uint8_t* columns;
    std::uint8_t* temporaries;
    void* sums;
    std::size_t n_rows;
    bool single;
};

struct LaneKernel {
    const char* name;
    // Ranks of xs among the keys, 128 added, for NaN in both ways; either target may be null.
    void (*rank)(const double* levels, std::uint32_t n_keys, const double* xs, std::size_t n,
                 std::uint8_t* below, std::uint8_t* above);
    // The same in 16 bits as they are, a row every `stride` numbers.
    void (*rank_wide)(const double* levels, std::uint32_t n_keys, const double* xs, std::size_t n,
                      std::size_t stride, std::uint16_t* below, std::uint16_t* above);
    void (*trees)(const LaneWork& work, std::uint32_t first, std::uint32_t end);
    // The sums of one output in the rows' order.
    void (*unfold)(const void* sums, bool single, std::size_t n_rows, double* to);
    void (*explain)(const ExplainJob& job);
};

// The best kernel for this processor; TREEHOUSE_KERNEL=portable|avx2|avx512 forces one.
const LaneKernel& lane_kernel();
extern const LaneKernel kPortableKernel;
#if defined(__x86_64__)
extern const LaneKernel kAvx2Kernel;
extern const LaneKernel kAvx512Kernel;
#endif

// 256 rows of 64 equal bytes: leaf numbers as operands.
struct LeafNumbers {
    alignas(64) std::uint8_t bytes[256][64];
};
extern const LeafNumbers kLeafNumbers;

// Sums of every tree, starting from `start[k]`, to margins[k * rows.count + r].
void sum_lanes(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
               double* margins);

}  // namespace treehouse
