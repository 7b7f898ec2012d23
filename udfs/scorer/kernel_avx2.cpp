// The lane kernel for AVX2: 32 rows to a register.
#if defined(__x86_64__)
#include <immintrin.h>

#include "explain.hpp"
#include "lanes.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,popcnt")
#endif

namespace treehouse {

namespace {

#include "lanes_kernel.inl"

#include "explain_kernel.inl"

struct Avx2 {
    static constexpr std::size_t kRows = 32;
    using V = __m256i;
    using Mask = __m256i;  // set where a row goes left
    struct Set {
        __m256i low, high;
    };

    static V load(const std::uint8_t* from) {
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
    }
    static void store(std::uint8_t* to, V v) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), v);
    }
    static void keep(V& v) { __asm__ volatile("" : "+x"(v)); }
    static V splat(int byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
    static V splat4(std::uint32_t word) { return _mm256_set1_epi32(static_cast<int>(word)); }
    static V either(V x, V y) { return _mm256_or_si256(x, y); }
    static Mask right(V x, V cut) { return _mm256_cmpgt_epi8(cut, x); }
    static V pick(Mask mask, V left, V right) { return _mm256_blendv_epi8(right, left, mask); }
    static Set load_set(const std::uint8_t* from) {
        const auto* halves = reinterpret_cast<const __m128i*>(from);
        return {_mm256_broadcastsi128_si256(_mm_load_si128(halves)),
                _mm256_broadcastsi128_si256(_mm_load_si128(halves + 1))};
    }
    static Mask member(V hi, V bit, const Set& set) {
        const V upper = _mm256_cmpgt_epi8(hi, splat(15));
        const V byte = _mm256_blendv_epi8(_mm256_shuffle_epi8(set.low, hi),
                                          _mm256_shuffle_epi8(set.high, hi), upper);
        return _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), _mm256_setzero_si256());
    }
    static void add(const LaneWork& work, const LaneTree& tree, V leaf, std::size_t row,
                    std::uint8_t* sums) {
        alignas(32) std::uint8_t numbers[kRows];
        store(numbers, leaf);
        if (work.single)
            add_singles(work, tree, numbers, reinterpret_cast<float*>(sums) + row);
        else
            add_doubles(work, tree, numbers, reinterpret_cast<double*>(sums) + row);
    }
    static void add_doubles(const LaneWork& work, const LaneTree& tree,
                            const std::uint8_t* numbers, double* sums) {
        const double* values = static_cast<const double*>(work.lanes->values) + tree.leaf;
        for (std::size_t r = 0; r < kRows; r += 4) {
            int four;
            __builtin_memcpy(&four, numbers + r, sizeof four);
            const __m128i at = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
            const __m256d found = _mm256_i32gather_pd(values, at, 8);
            _mm256_store_pd(sums + r, _mm256_add_pd(_mm256_load_pd(sums + r), found));
        }
    }
    static void add_singles(const LaneWork& work, const LaneTree& tree,
                            const std::uint8_t* numbers, float* sums) {
        const float* values = static_cast<const float*>(work.lanes->values) + tree.leaf;
        for (std::size_t r = 0; r < kRows; r += 8) {
            const __m256i at =
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(numbers + r)));
            const __m256 found = _mm256_i32gather_ps(values, at, 4);
            _mm256_store_ps(sums + r, _mm256_add_ps(_mm256_load_ps(sums + r), found));
        }
    }
};

// How many of 16 keys are below x.
inline unsigned count_below(const double* keys, double number) {
    const __m256d x = _mm256_set1_pd(number);
    unsigned mask = 0;
    for (unsigned j = 0; j < 4; ++j) {
        const __m256d less = _mm256_cmp_pd(_mm256_load_pd(keys + 4 * j), x, _CMP_LT_OQ);
        mask |= static_cast<unsigned>(_mm256_movemask_pd(less)) << (4 * j);
    }
    return static_cast<unsigned>(_mm_popcnt_u32(mask));
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
            above[r] = static_cast<std::uint8_t>((xs[r] != xs[r] ? n_keys : position) ^ 128);
    }
}

}  // namespace

const LaneKernel kAvx2Kernel = {"avx2", rank, search<count_below>, run_trees<Avx2>, copy_sums, explain_tree};

}  // namespace treehouse

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
