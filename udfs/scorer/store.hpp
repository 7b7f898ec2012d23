// The open bundles of a process: at most a fixed number, the least recently used one goes first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "usage.hpp"

namespace treehouse {

class Store {
public:
    explicit Store(std::string folder, std::size_t limit = 32)
        : folder_(folder), limit_(limit), usage_(std::move(folder)) {}

    // The bundle whose file is named by this id; opened at first use. Stays valid until trim().
    const Bundle& get(std::uint64_t id);
    // Counts rows of the present block that a bundle answers.
    void count(const Bundle* bundle, std::uint64_t rows);
    // Between blocks: makes the counts known and closes what is over the limit.
    void end_block();

    const std::string& folder() const { return folder_; }

    struct Entry {
        std::uint64_t id;
        std::unique_ptr<Bundle> bundle;
        std::uint64_t last_used;
        std::uint64_t rows;  // of the present block
    };

private:
    std::string folder_;
    std::size_t limit_;
    std::uint64_t clock_ = 0;
    std::vector<Entry> entries_;
    UsageBoard usage_;
};

}  // namespace treehouse
