// Which elements of a column are NULL: a bit each, and nothing at all while there are none.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "buffer.hpp"
#include "stream.hpp"

namespace treehouse {

class Nulls {
public:
    // Reads one byte for each element, as the engine writes them.
    void read(Reader& reader, std::uint64_t count) {
        words_.clear();
        std::uint8_t bytes[kPiece];
        for (std::uint64_t at = 0; at < count;) {
            const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count - at, kPiece));
            reader.exact(bytes, part);
            std::uint8_t any = 0;
            for (std::size_t i = 0; i < part; ++i) any = static_cast<std::uint8_t>(any | bytes[i]);
            if (any != 0) mark(bytes, part, at);
            at += part;
        }
    }

    bool at(std::uint64_t element) const {
        const std::uint64_t word = element / 64;
        return word < words_.size() && (words_[word] >> element % 64 & 1) != 0;
    }

    // Puts `missing` where elements [first, first + count) are NULL.
    void fill(double* values, std::uint64_t first, std::size_t count, double missing) const {
        const std::uint64_t end = std::min<std::uint64_t>(first + count, 64 * words_.size());
        for (std::uint64_t element = first; element < end; ++element) {
            if (element % 64 == 0 && words_[element / 64] == 0)
                element += 63;
            else if (at(element))
                values[element - first] = missing;
        }
    }

    void trim(std::size_t bytes) { words_.trim(bytes); }

private:
    static constexpr std::size_t kPiece = 8192;

    void mark(const std::uint8_t* bytes, std::size_t count, std::uint64_t first) {
        const std::size_t before = words_.size();
        words_.resize(static_cast<std::size_t>((first + count + 63) / 64));
        std::fill(words_.data() + before, words_.data() + words_.size(), 0);
        for (std::size_t i = 0; i < count; ++i)
            if (bytes[i] != 0) words_[(first + i) / 64] |= std::uint64_t{1} << (first + i) % 64;
    }

    Buffer<std::uint64_t> words_;
};

}  // namespace treehouse
