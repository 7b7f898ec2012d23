// Trees walked row by row: a single row through many trees at once, or, where trees are too large
// for lanes, many rows through each tree over 8-byte nodes.
#pragma once

#include <cstdint>

#include "forest.hpp"

namespace treehouse {

// Left if the rank in the column is below `cut`; in the order of Forest::nodes. A parent says
// which of its children are leaves, and a leaf's 8 bytes are its value (or its vector's row).
struct WalkNode {
    std::uint16_t cut;
    std::uint16_t column;  // and kLeftLeaf, kRightLeaf
    std::uint32_t left;
};
static_assert(sizeof(WalkNode) == 8, "fixed by the format");

constexpr std::uint16_t kLeftLeaf = 0x4000;
constexpr std::uint16_t kRightLeaf = 0x8000;
constexpr std::uint16_t kWalkColumn = 0x3fff;

// Null if the layout fits the forest.
const char* validate_walk(const Forest& forest);

// As sum_lanes: margins[k * rows.count + r] = start[k] and every tree's value, in their order.
void sum_rows(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
              double* margins);
void sum_walk(const Forest& forest, const Rows& rows, Scratch& scratch, const double* start,
              double* margins);

}  // namespace treehouse
