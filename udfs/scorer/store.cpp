#include "store.hpp"

#include <algorithm>

namespace treehouse {

const Bundle& Store::get(std::uint64_t id) {
    for (Entry& entry : entries_)
        if (entry.id == id) {
            entry.last_used = ++clock_;
            return *entry.bundle;
        }
    entries_.push_back({id, Bundle::open(folder_, id), ++clock_, 0});
    return *entries_.back().bundle;
}

void Store::count(const Bundle* bundle, std::uint64_t rows) {
    for (Entry& entry : entries_)
        if (entry.bundle.get() == bundle) entry.rows += rows;
}

void Store::end_block() {
    for (Entry& entry : entries_) {
        if (entry.rows == 0) continue;
        const Bundle& bundle = *entry.bundle;
        usage_.note(entry.id, bundle.model(), bundle.head().version, entry.rows);
        entry.rows = 0;
    }
    if (entries_.size() <= limit_) return;
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.last_used > b.last_used; });
    for (std::size_t i = limit_; i < entries_.size(); ++i) usage_.forget(entries_[i].id);
    entries_.resize(limit_);
}

}  // namespace treehouse
