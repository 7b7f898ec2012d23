// A category table in the file: strings are looked up where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "format.hpp"

namespace treehouse {

inline std::uint64_t hash_bytes(const char* text, std::size_t size) {
    constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;
    std::uint64_t h = size * kFactor;
    while (size >= 8) {
        std::uint64_t word;
        std::memcpy(&word, text, 8);
        h = (h ^ word) * kFactor;
        h ^= h >> 32;
        text += 8;
        size -= 8;
    }
    if (size != 0) {
        std::uint64_t word = 0;
        std::memcpy(&word, text, size);
        h = (h ^ word) * kFactor;
        h ^= h >> 32;
    }
    return h;
}

class Categories {
public:
    static constexpr std::int32_t kMissing = -1;

    Categories() = default;
    // False if the section does not hold what its head promises.
    bool open(const std::uint8_t* section, std::uint64_t length);

    std::uint32_t longest() const { return longest_; }
    std::uint32_t count() const { return count_; }

    // The code of a category; kMissing for an empty string and for one that is not listed.
    std::int32_t find(const char* text, std::size_t size) const {
        if (size == 0 || size > longest_) return kMissing;
        std::uint32_t slot = static_cast<std::uint32_t>(hash_bytes(text, size)) & mask_;
        for (std::uint32_t probes = 0; probes <= mask_; ++probes) {
            const std::uint32_t code = slots_[slot];
            if (code == 0) return kMissing;
            const std::uint32_t begin = ends_[code - 1];
            if (ends_[code] - begin == size && std::memcmp(blob_ + begin, text, size) == 0)
                return static_cast<std::int32_t>(code - 1);
            slot = (slot + 1) & mask_;
        }
        return kMissing;
    }

private:
    const std::uint32_t* slots_ = nullptr;
    const std::uint32_t* ends_ = nullptr;
    const char* blob_ = nullptr;
    std::uint32_t mask_ = 0;
    std::uint32_t longest_ = 0;
    std::uint32_t count_ = 0;
};

}  // namespace treehouse
