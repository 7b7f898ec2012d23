#include "program.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace treehouse {

namespace {

constexpr std::size_t kMaxDepth = 64;

// How many values an operation takes; -1 if there is no such operation.
int arity(Op op) {
    const auto code = static_cast<std::uint32_t>(op);
    if (code >= 1 && code <= 4) return 0;
    if (code >= 10 && code <= 18) return 2;
    if ((code >= 30 && code <= 36) || op == Op::step || op == Op::linear) return 1;
    return op == Op::select ? 3 : -1;
}

const char* check_table(const Program& program, const Instruction& instruction) {
    const std::size_t start = instruction.operand;
    if (start >= program.n_tables) return "a table out of range";
    const double promised = program.tables[start];
    if (!(promised >= 0) || !(promised < 1e9)) return "a table of impossible size";
    const auto knots = static_cast<std::size_t>(promised);
    const bool is_step = static_cast<Op>(instruction.op) == Op::step;
    const std::size_t values = is_step ? knots + 1 : std::max<std::size_t>(knots, 1);
    return start + 1 + knots + values > program.n_tables ? "a table out of range" : nullptr;
}

// NumPy's minimum and maximum: NaN if either is.
double least(double a, double b) { return a != a ? a : (b != b ? b : (b < a ? b : a)); }
double most(double a, double b) { return a != a ? a : (b != b ? b : (b > a ? b : a)); }

double binary(Op op, double a, double b) {
    switch (op) {
        case Op::add: return a + b;
        case Op::sub: return a - b;
        case Op::mul: return a * b;
        case Op::div: return a / b;
        case Op::min: return least(a, b);
        case Op::max: return most(a, b);
        case Op::less: return a < b ? 1.0 : 0.0;
        case Op::less_equal: return a <= b ? 1.0 : 0.0;
        default: return a == b ? 1.0 : 0.0;
    }
}

double unary(Op op, double a) {
    switch (op) {
        case Op::exp: return std::exp(a);
        case Op::expm1: return std::expm1(a);
        case Op::log1p: return std::log1p(a);
        case Op::sqrt: return std::sqrt(a);
        case Op::sigmoid: return 1.0 / (1.0 + std::exp(-a));
        case Op::is_nan: return a != a ? 1.0 : 0.0;
        default: return -a;
    }
}

double step(const double* table, double x) {
    const auto n = static_cast<std::size_t>(table[0]);
    const double* knots = table + 1;
    // std::upper_bound counts the knots that are at most x; NaN is at least no knot
    const auto rank = x != x ? 0 : std::upper_bound(knots, knots + n, x) - knots;
    return knots[n + static_cast<std::size_t>(rank)];
}

double linear(const double* table, double x) {
    const auto n = static_cast<std::size_t>(table[0]);
    const double* knots = table + 1;
    const double* values = knots + n;
    if (x != x) return x;
    if (n < 2) return values[0];
    if (x <= knots[0]) return values[0];
    if (x >= knots[n - 1]) return values[n - 1];
    const auto above = static_cast<std::size_t>(std::upper_bound(knots, knots + n, x) - knots);
    const std::size_t i = std::min(above, n - 1) - (above == 0 ? 0 : 1);
    const double slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i]);
    return values[i] + (x - knots[i]) * slope;
}

void push(const Instruction& at, const ProgramInput& input, double* to) {
    const std::size_t n = input.rows->count;
    const auto op = static_cast<Op>(at.op);
    if (op == Op::constant) {
        std::fill(to, to + n, at.number);
    } else if (op == Op::input) {
        for (std::size_t r = 0; r < n; ++r) to[r] = input.rows->input(r, at.operand);
    } else {
        const double* from = op == Op::output ? input.outputs : input.margins;
        std::copy_n(from + at.operand * n, n, to);
    }
}

}  // namespace

const char* Program::validate(std::uint32_t n_outputs, std::uint32_t n_inputs) {
    std::size_t height = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto op = static_cast<Op>(code[i].op);
        const int takes = arity(op);
        if (takes < 0) return "an unknown operation";
        if (height < static_cast<std::size_t>(takes)) return "an operation without operands";
        height = height - static_cast<std::size_t>(takes) + 1;
        depth = std::max(depth, height);
        if (height > kMaxDepth) return "an expression nested too deeply";
        if (op == Op::input && code[i].operand >= n_inputs) return "an input out of range";
        if ((op == Op::output || op == Op::margin) && code[i].operand >= n_outputs)
            return "a forest output out of range";
        if (op == Op::step || op == Op::linear)
            if (const char* wrong = check_table(*this, code[i])) return wrong;
    }
    return height == 1 ? nullptr : "a program that does not end in one value";
}

bool Program::reads(Op op) const {
    for (std::size_t i = 0; i < count; ++i)
        if (static_cast<Op>(code[i].op) == op) return true;
    return false;
}

const double* run(const Program& program, const ProgramInput& input, Buffer<double>& stack) {
    const std::size_t n = input.rows->count;
    stack.resize(program.depth * n);
    double* top = stack.data();  // one past the topmost value's rows
    for (std::size_t i = 0; i < program.count; ++i) {
        const Instruction& at = program.code[i];
        const auto op = static_cast<Op>(at.op);
        const int takes = arity(op);
        double* a = top - static_cast<std::size_t>(takes) * n;
        if (takes == 0) push(at, input, a);
        const double* b = a + n;
        const double* table = program.tables + at.operand;
        if (takes == 2)
            for (std::size_t r = 0; r < n; ++r) a[r] = binary(op, a[r], b[r]);
        else if (op == Op::select)
            for (std::size_t r = 0; r < n; ++r)
                a[r] = a[r] != 0 && a[r] == a[r] ? b[r] : b[n + r];
        else if (op == Op::step)
            for (std::size_t r = 0; r < n; ++r) a[r] = step(table, a[r]);
        else if (op == Op::linear)
            for (std::size_t r = 0; r < n; ++r) a[r] = linear(table, a[r]);
        else if (takes == 1)
            for (std::size_t r = 0; r < n; ++r) a[r] = unary(op, a[r]);
        top = a + n;
    }
    return stack.data();
}

}  // namespace treehouse
