// Head programs: a postfix machine over forest outputs and inputs, a chunk of rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forest.hpp"

namespace treehouse {

enum class Op : std::uint32_t {
    constant = 1,
    output = 2,
    margin = 3,
    input = 4,
    add = 10,
    sub = 11,
    mul = 12,
    div = 13,
    min = 14,
    max = 15,
    less = 16,
    less_equal = 17,
    equal = 18,
    exp = 30,
    expm1 = 31,
    log1p = 32,
    sqrt = 33,
    sigmoid = 34,
    is_nan = 35,
    negate = 36,
    select = 50,
    step = 60,
    linear = 61,
};

struct Program {
    const Instruction* code = nullptr;
    std::size_t count = 0;
    const double* tables = nullptr;
    std::size_t n_tables = 0;
    std::size_t depth = 0;  // set by validate()

    const char* validate(std::uint32_t n_outputs, std::uint32_t n_inputs);
    bool reads(Op op) const;
};

// What a program reads: output o of row r is outputs[o * stride + r].
struct ProgramInput {
    const Rows* rows = nullptr;
    const double* outputs = nullptr;
    const double* margins = nullptr;
};

// Runs over all rows; the answer lies in stack[0 .. rows.count).
const double* run(const Program& program, const ProgramInput& input, Buffer<double>& stack);

}  // namespace treehouse
