// SHA-256 (FIPS 180-4): a model file is named by the first eight bytes of its hash.
#pragma once

#include <cstddef>
#include <cstdint>

namespace treehouse {

// The first eight bytes of the hash as a big-endian number: what SQL calls a bundle.
std::uint64_t bundle_id(const std::uint8_t* data, std::size_t size);

}  // namespace treehouse
