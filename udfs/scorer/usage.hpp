// Which models a scorer process has in memory and how often it used them, for other processes to read:
// one small file for each process, in .loaded beside the model files. Its owner holds a lock on it,
// so that what a killed process left behind is told apart and removed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace treehouse {

struct Usage {
    std::uint64_t bundle;
    std::uint64_t blocks;  // that asked for it
    std::uint64_t rows;
    std::uint32_t version;
    std::uint32_t process;
    char model[32];  // cut off if longer; always ends in 0
};
static_assert(sizeof(Usage) == 64, "fixed by the layout of the file");

class UsageBoard {
public:
    // Nothing is written before the first note(); a folder that can't be written to is no error.
    explicit UsageBoard(std::string folder) : folder_(std::move(folder)) {}
    ~UsageBoard();
    UsageBoard(const UsageBoard&) = delete;
    UsageBoard& operator=(const UsageBoard&) = delete;

    void note(std::uint64_t bundle, const std::string& model, std::uint32_t version,
              std::uint64_t rows);
    void forget(std::uint64_t bundle);

    // Of every living process that serves from this folder.
    static std::vector<Usage> read(const std::string& folder);

private:
    static constexpr std::size_t kEntries = 64;
    bool open();
    void write(std::size_t place);

    std::string folder_;
    std::string path_;
    int fd_ = -1;
    bool tried_ = false;
    std::array<Usage, kEntries> entries_{};
};

}  // namespace treehouse
