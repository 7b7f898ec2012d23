#include "store.hpp"

#include <algorithm>
#include <cstdio>

namespace treehouse {

const Bundle& Store::get(std::uint64_t id) {
    for (Entry& entry : entries_)
        if (entry.id == id) {
            entry.last_used = ++clock_;
            ++entry.uses;
            return *entry.bundle;
        }
    char name[32];
    std::snprintf(name, sizeof name, "/%016llx.bundle", static_cast<unsigned long long>(id));
    entries_.push_back({id, Bundle::open(folder_ + name), ++clock_, 1});
    return *entries_.back().bundle;
}

void Store::trim() {
    if (entries_.size() <= limit_) return;
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.last_used > b.last_used; });
    entries_.resize(limit_);
}

}  // namespace treehouse
