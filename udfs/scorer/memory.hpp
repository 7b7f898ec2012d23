// A model file's bytes in memory of the scorers' own, verified once: whatever happens to the file
// later, answers stay what they were.
//
// The first process to need a file reads it into a sealed memfd, which nobody can write, cut or
// grow, compares its hash with its name, and leaves a link to it in .loaded beside the model files
// (<id>.memory -> /proc/<process>/fd/<number>). The others map the same pages. Where a system has
// no memfd, or another user's scorer was first, each process has a copy of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace treehouse {

class Memory {
public:
    Memory() = default;
    Memory(Memory&& other) noexcept { swap(other); }
    Memory& operator=(Memory&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Memory();

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }

    // The file <folder>/<id>.bundle, shared with the other processes that serve from the folder.
    // Throws Refusal unless it is a model file of this hash.
    static Memory shared(const std::string& folder, std::uint64_t id);
    // Any file; where its name is that of a bundle, of this hash. Throws Refusal.
    static Memory read(const std::string& path);

private:
    static Memory fill(const std::string& path, int fd, const std::uint64_t* id);
    bool adopt(const std::string& link, std::uint64_t id);
    void publish(const std::string& folder, const std::string& link) const;
    void swap(Memory& other) {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(fd_, other.fd_);
    }

    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
    int fd_ = -1;  // of a memfd that others may map through us
};

}  // namespace treehouse
