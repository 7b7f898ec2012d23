// The lane kernel for AVX-512 with VBMI: 64 rows to a register, leaf values by table look-ups.
#if defined(__x86_64__)
#include <immintrin.h>

#include "explain.hpp"
#include "lanes.hpp"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,popcnt"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,popcnt")
#endif

namespace treehouse {

namespace {

#include "lanes_kernel.inl"

#include "explain_kernel.inl"

struct Avx512 {
    static constexpr std::size_t kRows = 64;
    using V = __m512i;
    using Mask = __mmask64;
    using Set = __m512i;

    static V load(const std::uint8_t* from) { return _mm512_load_si512(from); }
    static void store(std::uint8_t* to, V v) { _mm512_store_si512(to, v); }
    static void keep(V& v) { __asm__ volatile("" : "+v"(v)); }
    static V splat(int byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
    static V splat4(std::uint32_t word) { return _mm512_set1_epi32(static_cast<int>(word)); }
    static V either(V x, V y) { return _mm512_or_si512(x, y); }
    static Mask right(V x, V cut) { return _mm512_cmpge_epi8_mask(x, cut); }
    static V pick(Mask mask, V left, V right) { return _mm512_mask_blend_epi8(mask, left, right); }
    static Set load_set(const std::uint8_t* from) {
        return _mm512_broadcast_i64x4(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
    static Mask member(V hi, V bit, Set set) {
        return _mm512_test_epi8_mask(_mm512_permutexvar_epi8(hi, set), bit);
    }

    // The bytes of one plane for 64 leaf numbers.
    static V look_up(const std::uint8_t* plane, std::uint32_t padded, V leaf) {
        if (padded == 64) return _mm512_permutexvar_epi8(leaf, load(plane));
        const V low = _mm512_permutex2var_epi8(load(plane), leaf, load(plane + 64));
        if (padded == 128) return low;
        const V high = _mm512_permutex2var_epi8(load(plane + 128), leaf, load(plane + 192));
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(leaf), low, high);
    }

    // Byte planes are woven into numbers within lanes of 128 bits, which permutes the rows;
    // unfold() puts them back once at the end.
    template <std::uint32_t P>
    static void add_doubles(const std::uint8_t* planes, V leaf, double* sums) {
        V pairs[8], quads[8];
        for (std::uint32_t p = 0; p < 8; p += 2) {
            const V x = look_up(planes + p * P, P, leaf);
            const V y = look_up(planes + (p + 1) * P, P, leaf);
            pairs[p] = _mm512_unpacklo_epi8(x, y);      // rows 0-7 of each lane
            pairs[p + 1] = _mm512_unpackhi_epi8(x, y);  // rows 8-15
        }
        for (std::uint32_t h = 0; h < 2; ++h)
            for (std::uint32_t half = 0; half < 2; ++half) {
                const V x = pairs[4 * half + h], y = pairs[4 * half + 2 + h];
                quads[4 * h + half] = _mm512_unpacklo_epi16(x, y);
                quads[4 * h + 2 + half] = _mm512_unpackhi_epi16(x, y);
            }
        for (std::uint32_t q = 0; q < 4; ++q) {
            const V low = _mm512_unpacklo_epi32(quads[2 * q], quads[2 * q + 1]);
            const V high = _mm512_unpackhi_epi32(quads[2 * q], quads[2 * q + 1]);
            double* at = sums + 16 * q;
            _mm512_store_pd(at, _mm512_add_pd(_mm512_load_pd(at), _mm512_castsi512_pd(low)));
            _mm512_store_pd(at + 8,
                            _mm512_add_pd(_mm512_load_pd(at + 8), _mm512_castsi512_pd(high)));
        }
    }

    template <std::uint32_t P>
    static void add_singles(const std::uint8_t* planes, V leaf, float* sums) {
        V pairs[4];
        for (std::uint32_t p = 0; p < 4; p += 2) {
            const V x = look_up(planes + p * P, P, leaf);
            const V y = look_up(planes + (p + 1) * P, P, leaf);
            pairs[p] = _mm512_unpacklo_epi8(x, y);
            pairs[p + 1] = _mm512_unpackhi_epi8(x, y);
        }
        for (std::uint32_t h = 0; h < 2; ++h) {
            const V low = _mm512_unpacklo_epi16(pairs[h], pairs[2 + h]);
            const V high = _mm512_unpackhi_epi16(pairs[h], pairs[2 + h]);
            float* at = sums + 32 * h;
            _mm512_store_ps(at, _mm512_add_ps(_mm512_load_ps(at), _mm512_castsi512_ps(low)));
            _mm512_store_ps(at + 16,
                            _mm512_add_ps(_mm512_load_ps(at + 16), _mm512_castsi512_ps(high)));
        }
    }

    static void add(const LaneWork& work, const LaneTree& tree, V leaf, std::size_t row,
                    std::uint8_t* sums) {
        if (work.single) {
            const std::uint8_t* planes = work.lanes->planes + std::size_t{tree.leaf} * 4;
            float* at = reinterpret_cast<float*>(sums) + row;
            if (tree.padded == 64) return add_singles<64>(planes, leaf, at);
            if (tree.padded == 128) return add_singles<128>(planes, leaf, at);
            return add_singles<256>(planes, leaf, at);
        }
        const std::uint8_t* planes = work.lanes->planes + std::size_t{tree.leaf} * 8;
        double* at = reinterpret_cast<double*>(sums) + row;
        if (tree.padded == 64) return add_doubles<64>(planes, leaf, at);
        if (tree.padded == 128) return add_doubles<128>(planes, leaf, at);
        return add_doubles<256>(planes, leaf, at);
    }
};

// How many of 16 keys are below x.
inline unsigned count_below(const double* keys, double number) {
    const __m512d x = _mm512_set1_pd(number);
    const unsigned low = _mm512_cmp_pd_mask(_mm512_load_pd(keys), x, _CMP_LT_OQ);
    const unsigned high = _mm512_cmp_pd_mask(_mm512_load_pd(keys + 8), x, _CMP_LT_OQ);
    return static_cast<unsigned>(_mm_popcnt_u32(low | high << 8));
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

// Register j of 64 doubles holds rows 16 l + 2 j + h of each lane l; of floats 16 l + 4 j + h.
void unfold(const void* sums, bool single, std::size_t n_rows, double* to) {
    for (std::size_t row = 0; row < n_rows; ++row) {
        const std::size_t block = row / 64 * 64, lane = row % 64 / 16, inner = row % 16;
        if (single)
            to[row] = static_cast<double>(static_cast<const float*>(
                sums)[block + inner / 4 * 16 + 4 * lane + inner % 4]);
        else
            to[row] = static_cast<const double*>(
                sums)[block + inner / 2 * 8 + 2 * lane + inner % 2];
    }
}

}  // namespace

const LaneKernel kAvx512Kernel = {"avx512", rank, search<count_below>, run_trees<Avx512>, unfold, explain_tree};

}  // namespace treehouse

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
