#include "lanes.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace treehouse {

namespace {

constexpr std::uint64_t kFanout = 16;

// Doubles in the search tree of n keys: levels of blocks of 16, padded.
std::uint64_t search_size(std::uint64_t n_keys) {
    std::uint64_t level = (n_keys / kFanout + 1) * kFanout;
    std::uint64_t total = level;
    while (level > kFanout) {
        level = (level / kFanout + kFanout - 1) / kFanout * kFanout;
        total += level;
    }
    return total;
}

bool inside(std::uint64_t offset, std::uint64_t size, std::uint64_t length) {
    return offset % 16 == 0 && offset <= length && size <= length - offset;
}

constexpr LeafNumbers make_leaf_numbers() {
    LeafNumbers numbers{};
    for (unsigned i = 0; i < 256; ++i)
        for (unsigned j = 0; j < 64; ++j) numbers.bytes[i][j] = static_cast<std::uint8_t>(i);
    return numbers;
}

// Columns of one table for `count` rows: of the strip that begins at row `from`, from its row
// `first` on.
void fill_columns(const Forest& forest, const RankTable& table, const Rows& rows,
                  std::size_t from, std::size_t first, std::size_t count,
                  std::uint8_t* columns) {
    const std::uint8_t* data = forest.ranks->data(table);
    const std::size_t input = forest.binding[table.feature];
    alignas(64) double xs[64];
    std::uint8_t* below =
        table.below < 0 ? nullptr : columns + static_cast<std::size_t>(table.below) * kChunk;
    std::uint8_t* above =
        table.above < 0 ? nullptr : columns + static_cast<std::size_t>(table.above) * kChunk;
    rows.gather(input, from + first, count, xs);
    if (table.categorical == 0) {
        lane_kernel().rank(reinterpret_cast<const double*>(data), table.count, xs, count,
                           below == nullptr ? nullptr : below + first,
                           above == nullptr ? nullptr : above + first);
        return;
    }
    const double least = forest.has(kTruncateNegative) ? -1.0 : -0x1p-1074;
    for (std::size_t r = 0; r < count; ++r) {
        std::uint32_t code = 254;
        if (xs[r] != xs[r])
            code = 255;
        else if (xs[r] > least && xs[r] < static_cast<double>(table.count))
            code = data[static_cast<std::uint32_t>(static_cast<std::int32_t>(xs[r]))];
        below[first + r] = static_cast<std::uint8_t>(code >> 3);
        above[first + r] = static_cast<std::uint8_t>(1u << (code & 7));
    }
}

#if defined(__x86_64__)
struct Processor {
    bool avx2 = false;
    bool avx512 = false;
};

// Asked of the processor itself: not every C library lets __builtin_cpu_supports() know.
Processor processor() {
    Processor found;
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
    const bool popcnt = (c >> 23 & 1) != 0;
    if ((c >> 27 & 1) == 0) return found;  // the system does not save wide registers
    std::uint32_t saved, unused;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(unused) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
    const bool f = (b >> 16 & 1) != 0, dq = (b >> 17 & 1) != 0, bw = (b >> 30 & 1) != 0,
               vl = (b >> 31 & 1) != 0, vbmi = (c >> 1 & 1) != 0;
    found.avx2 = popcnt && (b >> 5 & 1) != 0 && (saved & 0x6) == 0x6;
    found.avx512 = found.avx2 && f && dq && bw && vl && vbmi && (saved & 0xe6) == 0xe6;
    return found;
}
#endif

const LaneKernel& choose_kernel() {
    const char* wanted = std::getenv("TREEHOUSE_KERNEL");
    const auto is = [wanted](const char* name) {
        return wanted == nullptr || std::strcmp(wanted, name) == 0;
    };
#if defined(__x86_64__)
    const Processor has = processor();
    if (is("avx512") && has.avx512) return kAvx512Kernel;
    if (is("avx2") && has.avx2) return kAvx2Kernel;
#endif
    static_cast<void>(is);
    return kPortableKernel;
}

}  // namespace

const LeafNumbers kLeafNumbers = make_leaf_numbers();

const LaneKernel& lane_kernel() {
    static const LaneKernel& kernel = choose_kernel();
    return kernel;
}

const char* Ranks::open(const std::uint8_t* section, std::uint64_t length,
                        const Forest& forest) {
    if (length < sizeof(RankHead)) return "rank tables are cut off";
    head = reinterpret_cast<const RankHead*>(section);
    tables = reinterpret_cast<const RankTable*>(section + sizeof(RankHead));
    if (head->n_columns >= kSetColumn || head->width < 1 || head->width > 2)
        return "impossible columns";
    if (!inside(sizeof(RankHead), std::uint64_t{head->n_tables} * sizeof(RankTable), length))
        return "rank tables are cut off";
    const auto n_columns = static_cast<std::int32_t>(head->n_columns);
    const std::uint32_t most = head->width == 1 ? 255 : 65534;
    std::uint32_t last = 0;
    for (std::uint32_t i = 0; i < head->n_tables; ++i) {
        const RankTable& table = tables[i];
        const std::uint64_t size =
            table.categorical != 0 ? table.count : search_size(table.count) * sizeof(double);
        if (!inside(table.offset, size, length) || table.offset % kAlign != 0)
            return "a rank table out of range";
        if (table.categorical == 0 && table.count > most) return "too many ranks";
        if (table.feature >= forest.head->n_features || table.below >= n_columns ||
            table.above >= n_columns || table.below < -1 || table.above < -1)
            return "a rank table's column out of range";
        if (table.categorical != 0 && (table.below < 0 || table.above < 0))
            return "a category without columns";
        if (table.first_tree < last) return "rank tables out of order";
        last = table.first_tree;
    }
    return nullptr;
}

const char* Lanes::open(const std::uint8_t* section, std::uint64_t length, const Forest& forest) {
    constexpr const char* kShort = "a layout section is cut off";
    if (length < sizeof(LaneHead) || forest.ranks->head->width != 1) return kShort;
    head = reinterpret_cast<const LaneHead*>(section);
    const std::uint64_t value_size = forest.has(kSumFloat32) ? 4 : 8;
    if (head->n_trees != forest.head->n_trees || forest.has(kLeafVectors)) return kShort;
    if (!inside(head->trees, std::uint64_t{head->n_trees} * sizeof(LaneTree), length) ||
        !inside(head->nodes, 0, length) || head->nodes > head->ops ||
        !inside(head->ops, std::uint64_t{head->n_ops} * sizeof(LaneOp), length) ||
        !inside(head->sets, std::uint64_t{head->n_sets} * kSetBytes, length) ||
        !inside(head->values, 0, length) || !inside(head->planes, 0, length) ||
        head->values % kAlign != 0 || head->planes % kAlign != 0 ||
        head->values > head->planes || head->n_temporaries > 1024)
        return kShort;
    const std::uint64_t n_values =
        std::min((head->planes - head->values) / value_size, (length - head->planes) / value_size);
    trees = reinterpret_cast<const LaneTree*>(section + head->trees);
    nodes = reinterpret_cast<const LaneNode*>(section + head->nodes);
    ops = reinterpret_cast<const LaneOp*>(section + head->ops);
    sets = section + head->sets;
    values = section + head->values;
    planes = section + head->planes;
    const std::uint64_t n_nodes = (head->ops - head->nodes) / sizeof(LaneNode);
    const std::uint32_t n_columns = forest.ranks->head->n_columns;
    for (std::uint32_t t = 0; t < head->n_trees; ++t)
        if (const char* wrong = check_tree(trees[t], n_nodes, n_values, n_columns)) return wrong;
    return nullptr;
}

const char* Lanes::check_tree(const LaneTree& tree, std::uint64_t n_nodes,
                              std::uint64_t n_values, std::uint32_t n_columns) const {
    constexpr const char* kWrong = "a tree's layout out of range";
    if (tree.padded != 64 && tree.padded != 128 && tree.padded != 256) return kWrong;
    if (tree.leaf % 64 != 0 || std::uint64_t{tree.leaf} + tree.padded > n_values) return kWrong;
    if (tree.kind == kRagged) {
        if (tree.count == 0 || std::uint64_t{tree.first} + tree.count > head->n_ops) return kWrong;
        for (std::uint32_t i = 0; i < tree.count; ++i) {
            const LaneOp& op = ops[tree.first + i];
            if (const char* wrong = check_op(op, n_columns)) return wrong;
            if ((op.left < kTemporary && op.left >= tree.padded) ||
                (op.right < kTemporary && op.right >= tree.padded))
                return kWrong;
        }
        return ops[tree.first + tree.count - 1].to == 0 ? nullptr : kWrong;
    }
    if (tree.kind > kMaxDepth || tree.count != (1u << tree.kind) - 1) return kWrong;
    if ((1u << tree.kind) > tree.padded) return kWrong;
    if (std::uint64_t{tree.first} + tree.count > n_nodes) return kWrong;
    for (std::uint32_t i = 0; i < tree.count; ++i)
        if (nodes[tree.first + i].column % kChunk != 0 ||
            nodes[tree.first + i].column / kChunk >= n_columns)
            return kWrong;
    return nullptr;
}

const char* Lanes::check_op(const LaneOp& op, std::uint32_t n_columns) const {
    const bool categorical = (op.column & kSetColumn) != 0;
    const std::uint32_t column = op.column & (kSetColumn - 1u);
    const auto within = [this](std::uint32_t operand) {
        return operand < kTemporary || operand - kTemporary < head->n_temporaries;
    };
    if (column + (categorical ? 1u : 0u) >= n_columns) return "a column out of range";
    if (categorical ? op.cut >= head->n_sets : op.cut > 255) return "a cut out of range";
    if (op.to >= head->n_temporaries || !within(op.left) || !within(op.right))
        return "a temporary out of range";
    return nullptr;
}

namespace {

// Rows [first, first + count) of the chunk, count at most kChunk.
void sum_strip(const Forest& forest, const Rows& rows, std::size_t from, std::size_t count,
               Scratch& scratch, const double* start, double* margins) {
    const Lanes& lanes = *forest.lanes;
    const Ranks& ranks = *forest.ranks;
    const LaneKernel& kernel = lane_kernel();
    const std::uint32_t n_outputs = forest.head->n_outputs;
    scratch.columns.resize(ranks.head->n_columns * kChunk);
    scratch.temporaries.resize(lanes.head->n_temporaries * kChunk);
    scratch.sums.resize(n_outputs * kChunk);
    LaneWork work{&lanes, forest.tree_output, scratch.columns.data(), scratch.temporaries.data(),
                  scratch.sums.data(), count, forest.has(kSumFloat32)};
    auto* floats = reinterpret_cast<float*>(scratch.sums.data());
    for (std::uint32_t k = 0; k < n_outputs; ++k) {
        if (work.single)
            std::fill_n(floats + k * kChunk, kChunk, static_cast<float>(start[k]));
        else
            std::fill_n(scratch.sums.data() + k * kChunk, kChunk, start[k]);
    }
    std::uint32_t table = 0;
    for (std::uint32_t tree = 0; tree < forest.head->n_trees;) {
        const std::uint32_t next = ranks.tables_until(table, tree);
        for (std::size_t first = 0; first < count; first += 64)
            for (std::uint32_t i = table; i < next; ++i)
                fill_columns(forest, ranks.tables[i], rows, from, first,
                             std::min<std::size_t>(64, count - first),
                             scratch.columns.data());
        table = next;
        const std::uint32_t until = ranks.next_tree(table, forest.head->n_trees);
        kernel.trees(work, tree, until);
        tree = until;
    }
    for (std::uint32_t k = 0; k < n_outputs; ++k) {
        const void* sums = work.single ? static_cast<const void*>(floats + k * kChunk)
                                       : scratch.sums.data() + k * kChunk;
        kernel.unfold(sums, work.single, count, margins + k * rows.count + from);
    }
}

}  // namespace

void sum_lanes(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
               double* margins) {
    for (std::size_t from = 0; from < rows.count; from += kChunk)
        sum_strip(forest, rows, from, std::min(kChunk, rows.count - from), scratch, start,
                  margins);
}

}  // namespace treehouse
