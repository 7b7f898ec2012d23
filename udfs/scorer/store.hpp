// The open bundles of a process: at most a fixed number, the least recently used one goes first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace treehouse {

class Store {
public:
    explicit Store(std::string folder, std::size_t limit = 32)
        : folder_(std::move(folder)), limit_(limit) {}

    // The bundle whose file is named by this id; opened at first use. Stays valid until trim().
    const Bundle& get(std::uint64_t id);
    // Between blocks: closes what is over the limit.
    void trim();

    struct Entry {
        std::uint64_t id;
        std::unique_ptr<Bundle> bundle;
        std::uint64_t last_used;
        std::uint64_t uses;
    };
    const std::vector<Entry>& entries() const { return entries_; }

private:
    std::string folder_;
    std::size_t limit_;
    std::uint64_t clock_ = 0;
    std::vector<Entry> entries_;
};

}  // namespace treehouse
