// The lane kernel for any processor, in 16-byte vectors of the compiler (SSE2, NEON).
#include <cstring>

#include "explain.hpp"
#include "lanes.hpp"

namespace treehouse {

namespace {

#include "lanes_kernel.inl"

#include "explain_kernel.inl"

struct Portable {
    static constexpr std::size_t kRows = 16;
    typedef std::int8_t V __attribute__((vector_size(16)));
    typedef std::uint8_t U __attribute__((vector_size(16)));
    using Mask = V;
    using Set = const std::uint8_t*;

    static V load(const std::uint8_t* from) {
        V v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    static void store(std::uint8_t* to, V v) { std::memcpy(to, &v, sizeof v); }
    static void keep(V& v) {
#if defined(__x86_64__)
        __asm__ volatile("" : "+x"(v));
#else
        static_cast<void>(v);
#endif
    }
    static V splat(int byte) { return V{} + static_cast<std::int8_t>(byte); }
    static V splat4(std::uint32_t word) { return splat(static_cast<std::int8_t>(word & 255)); }
    static V either(V x, V y) { return x | y; }
    static Mask right(V x, V cut) { return x >= cut; }
    static V pick(Mask mask, V left, V right) { return (mask & right) | (~mask & left); }
    static Set load_set(const std::uint8_t* from) { return from; }
    static Mask member(V hi, V bit, Set set) {
        Mask mask{};
        for (std::size_t i = 0; i < kRows; ++i)
            mask[i] = (set[static_cast<std::uint8_t>(hi[i]) & 31] &
                       static_cast<std::uint8_t>(bit[i])) != 0
                          ? -1
                          : 0;
        return mask;
    }
    static void add(const LaneWork& work, const LaneTree& tree, V leaf, std::size_t row,
                    std::uint8_t* sums) {
        std::uint8_t numbers[kRows];
        store(numbers, leaf);
        if (work.single)
            add_scalar(work, tree, numbers, kRows, reinterpret_cast<float*>(sums) + row);
        else
            add_scalar(work, tree, numbers, kRows, reinterpret_cast<double*>(sums) + row);
    }
};

// How many of 16 keys are below x.
inline unsigned count_below(const double* keys, double x) {
    unsigned count = 0;
    for (int j = 0; j < 16; ++j) count += keys[j] < x ? 1u : 0u;
    return count;
}

void rank(const double* levels, std::uint32_t n_keys, const double* xs, std::size_t n,
          std::uint8_t* below, std::uint8_t* above) {
    const bool two = n_keys >= 16;
    for (std::size_t r = 0; r < n; ++r) {
        const double x = xs[r];
        unsigned position = count_below(levels, x);
        if (two) position = 16 * position + count_below(levels + 16 + 16 * position, x);
        if (below != nullptr) below[r] = static_cast<std::uint8_t>(position ^ 128);
        if (above != nullptr)
            above[r] = static_cast<std::uint8_t>((x != x ? n_keys : position) ^ 128);
    }
}

}  // namespace

const LaneKernel kPortableKernel = {"portable", rank, search<count_below>, run_trees<Portable>, copy_sums, explain_tree};

}  // namespace treehouse
