#include "sha256.hpp"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace treehouse {

namespace {

constexpr std::size_t kBlock = 64;

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(16) constexpr std::uint32_t kConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline std::uint32_t rotated(std::uint32_t x, int by) { return (x >> by) | (x << (32 - by)); }

// Takes whole blocks into the state a..h.
void compress_portable(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) {
    for (; blocks != 0; --blocks, data += kBlock) {
        std::uint32_t w[64];
        std::memcpy(w, data, kBlock);
        for (int t = 0; t < 16; ++t) w[t] = __builtin_bswap32(w[t]);
        for (int t = 16; t < 64; ++t) {
            const std::uint32_t s0 =
                rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ (w[t - 15] >> 3);
            const std::uint32_t s1 =
                rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ (w[t - 2] >> 10);
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        std::uint32_t v[8];
        std::memcpy(v, state, sizeof v);
        for (int t = 0; t < 64; t += 8) {
#pragma GCC unroll 8
            for (int i = 0; i < 8; ++i) {
                // the roles of a..h move round by one each time, instead of their values
                const std::uint32_t a = v[-i & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7];
                const std::uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
                const std::uint32_t t1 = v[(7 - i) & 7] + kConstants[t + i] + w[t + i] +
                                         (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
                                         ((e & f) ^ (~e & g));
                v[(3 - i) & 7] += t1;
                v[(7 - i) & 7] = t1 + (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
                                 ((a & b) ^ (a & c) ^ (b & c));
            }
        }
        for (int i = 0; i < 8; ++i) state[i] += v[i];
    }
}

#if defined(__x86_64__)

bool has_instructions() {
    const char* wanted = std::getenv("TREEHOUSE_KERNEL");
    if (wanted != nullptr && std::strcmp(wanted, "portable") == 0) return false;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & (1u << 29)) == 0) return false;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 && (c & bit_SSSE3) != 0;
}

// The same by the processor's own instructions: they keep the state as (a, b, e, f), (c, d, g, h).
__attribute__((target("sha,sse4.1,ssse3"))) void compress_x86(std::uint32_t* state,
                                                              const std::uint8_t* data,
                                                              std::size_t blocks) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32(static_cast<int>(state[0]), static_cast<int>(state[1]),
                                 static_cast<int>(state[4]), static_cast<int>(state[5]));
    __m128i cdgh = _mm_set_epi32(static_cast<int>(state[2]), static_cast<int>(state[3]),
                                 static_cast<int>(state[6]), static_cast<int>(state[7]));
    for (; blocks != 0; --blocks, data += kBlock) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; ++i)
            w[i] = _mm_shuffle_epi8(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), order);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {  // four rounds each
            const __m128i sum = _mm_add_epi32(
                w[i % 4],
                _mm_load_si128(reinterpret_cast<const __m128i*>(kConstants) + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (i >= 12) continue;
            const __m128i last = w[(i + 3) % 4];
            const __m128i moved = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
            w[i % 4] = _mm_sha256msg2_epu32(
                _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]), moved), last);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    alignas(16) std::uint32_t found[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(found), abef);
    _mm_store_si128(reinterpret_cast<__m128i*>(found) + 1, cdgh);
    constexpr int kPlace[8] = {3, 2, 7, 6, 1, 0, 5, 4};  // of a..h, lowest lane first
    for (int i = 0; i < 8; ++i) state[i] = found[kPlace[i]];
}

#endif

void compress(std::uint32_t* state, const std::uint8_t* data, std::size_t blocks) {
#if defined(__x86_64__)
    static const bool fast = has_instructions();
    if (fast) return compress_x86(state, data, blocks);
#endif
    compress_portable(state, data, blocks);
}

}  // namespace

std::uint64_t bundle_id(const std::uint8_t* data, std::size_t size) {
    std::uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    compress(state, data, size / kBlock);
    const std::size_t rest = size % kBlock;
    std::uint8_t tail[2 * kBlock] = {};  // what is left, a one bit, zeros, the length in bits
    if (rest != 0) std::memcpy(tail, data + size - rest, rest);
    tail[rest] = 0x80;
    const std::size_t blocks = rest < kBlock - 8 ? 1 : 2;
    const std::uint64_t bits = __builtin_bswap64(static_cast<std::uint64_t>(size) * 8);
    std::memcpy(tail + blocks * kBlock - 8, &bits, 8);
    compress(state, tail, blocks);
    return std::uint64_t{state[0]} << 32 | state[1];
}

}  // namespace treehouse
