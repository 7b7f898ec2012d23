#include <array>
#include <cstring>

#include "bundle.hpp"

namespace treehouse {

namespace {

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

CrcTables make_tables() {
    CrcTables tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xEDB88320u : 0u);
        tables[0][i] = c;
    }
    for (std::uint32_t i = 0; i < 256; ++i)
        for (std::size_t k = 1; k < 8; ++k)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 255];
    return tables;
}

}  // namespace

// The CRC-32 of zlib, eight bytes at a time (Kounavis and Berry, "slicing-by-8", 2005).
std::uint32_t crc32(const std::uint8_t* data, std::size_t size) {
    static const CrcTables t = make_tables();
    std::uint32_t crc = ~0u;
    for (; size >= 8; data += 8, size -= 8) {
        std::uint32_t low, high;
        std::memcpy(&low, data, 4);
        std::memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = t[7][low & 255] ^ t[6][(low >> 8) & 255] ^ t[5][(low >> 16) & 255] ^
              t[4][low >> 24] ^ t[3][high & 255] ^ t[2][(high >> 8) & 255] ^
              t[1][(high >> 16) & 255] ^ t[0][high >> 24];
    }
    for (; size != 0; ++data, --size) crc = (crc >> 8) ^ t[0][(crc ^ *data) & 255];
    return ~crc;
}

}  // namespace treehouse
