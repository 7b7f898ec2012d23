#include "categories.hpp"

namespace treehouse {

bool Categories::open(const std::uint8_t* section, std::uint64_t length) {
    CategoryHead head;
    if (length < sizeof head) return false;
    std::memcpy(&head, section, sizeof head);
    if (head.bits > 31) return false;
    const std::uint64_t slots = std::uint64_t{1} << head.bits;
    const std::uint64_t ends = std::uint64_t{head.count} + 1;
    if (length != sizeof head + 4 * slots + 4 * ends + head.blob) return false;
    slots_ = reinterpret_cast<const std::uint32_t*>(section + sizeof head);
    ends_ = slots_ + slots;
    blob_ = reinterpret_cast<const char*>(ends_ + ends);
    mask_ = static_cast<std::uint32_t>(slots - 1);
    longest_ = head.longest;
    count_ = head.count;
    for (std::uint64_t i = 0; i < slots; ++i)
        if (slots_[i] > head.count) return false;
    if (ends_[0] != 0 || ends_[head.count] != head.blob) return false;
    for (std::uint32_t i = 0; i < head.count; ++i)
        if (ends_[i] > ends_[i + 1]) return false;
    return head.count < 0x7fffffff;
}

}  // namespace treehouse
