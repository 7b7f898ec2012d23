// The bundle file, as training/treehouse/bundle/ writes it. Little-endian, sections at multiples of 64.
#pragma once

#include <cstdint>

namespace treehouse {

constexpr char kMagic[9] = "TREEHOUS";
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::uint64_t kCheckedFrom = 16;
constexpr std::uint64_t kAlign = 64;

struct FileHead {
    char magic[8];
    std::uint32_t format;
    std::uint32_t crc;
    std::uint64_t length;
    std::uint32_t version;
    std::uint32_t n_sections;
    std::uint32_t n_forests;
    std::uint32_t n_heads;
    std::uint32_t n_numeric;
    std::uint32_t n_categorical;
    std::uint8_t reserved[16];
};
static_assert(sizeof(FileHead) == 64, "fixed by the format");

struct SectionEntry {
    std::uint32_t kind;
    std::uint32_t index;
    std::uint64_t offset;
    std::uint64_t length;
    std::uint64_t reserved;
};
static_assert(sizeof(SectionEntry) == 32, "fixed by the format");

enum class Kind : std::uint32_t {
    names = 1,
    info = 2,
    categories = 3,
    programs = 4,
    tables = 5,
    explained = 6,
    forest = 16,
    binding = 17,
    base = 18,
    nodes = 19,
    trees = 20,
    words = 21,
    vectors = 22,
    cover = 23,
    ranks = 32,
    lanes = 33,
    walk = 34,
    // 48 and 49: networks, for the worker in udfs/network/. The scorer skips what it does not know.
};

struct CategoryHead {
    std::uint32_t count;
    std::uint32_t bits;
    std::uint32_t blob;
    std::uint32_t longest;
};

enum ForestFlag : std::uint32_t {
    kSumFloat32 = 1,
    kBaseFirst = 2,
    kTruncateNegative = 4,
    kLeafVectors = 8,
};

enum class Post : std::uint32_t {
    identity = 0,
    sigmoid = 1,
    exponential = 2,
    softmax = 3,
    signed_square = 4,
    hinge = 5,
    log1p_exp = 6,
    isolation = 7,
};

struct ForestHead {
    std::uint32_t n_features;
    std::uint32_t n_outputs;
    std::uint32_t n_trees;
    std::uint32_t flags;
    std::uint32_t post;
    std::uint32_t layout;
    std::uint32_t reserved32[2];
    double divisor;
    double post_parameter;
    double reserved_f;
    std::uint64_t n_nodes;
    std::uint64_t n_words;
    std::uint64_t n_vectors;
    std::uint8_t reserved[48];
};
static_assert(sizeof(ForestHead) == 128, "fixed by the format");

enum NodeFlag : std::uint32_t {
    kLeaf = 1u << 24,
    kDefaultLeft = 2u << 24,
    kCategorical = 4u << 24,
    kInverted = 8u << 24,
};
constexpr std::uint32_t kFeatureMask = (1u << 24) - 1;

// `value`: threshold, leaf value, (first word, number of words) of a set, or leaf vector's row.
struct Node {
    double value;
    std::uint32_t test;  // feature and flags
    std::uint32_t left;  // the right child is left + 1; a leaf names itself
};
static_assert(sizeof(Node) == 16, "fixed by the format");

// One term of the margin that explanations explain.
struct ExplainedOutput {
    std::uint32_t forest;
    std::uint32_t output;
    double weight;
};
static_assert(sizeof(ExplainedOutput) == 16, "fixed by the format");

struct Span {
    std::uint32_t start;
    std::uint32_t count;
};

struct Instruction {
    std::uint32_t op;
    std::uint32_t operand;
    double number;
};
static_assert(sizeof(Instruction) == 16, "fixed by the format");

}  // namespace treehouse
