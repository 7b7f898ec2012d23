#include "usage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>

namespace treehouse {

namespace {

std::string board_folder(const std::string& folder) { return folder + "/.loaded"; }

}  // namespace

bool UsageBoard::open() {
    if (tried_) return fd_ >= 0;
    tried_ = true;
    const std::string folder = board_folder(folder_);
    ::mkdir(folder.c_str(), 0755);
    path_ = folder + "/" + std::to_string(::getpid());
    // locked under another name first: a reader must never see it without its lock
    const std::string fresh = path_ + ".new";
    fd_ = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) return false;
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 && ::rename(fresh.c_str(), path_.c_str()) == 0)
        return true;
    ::unlink(fresh.c_str());
    ::close(std::exchange(fd_, -1));
    return false;
}

UsageBoard::~UsageBoard() {
    if (fd_ < 0) return;
    ::unlink(path_.c_str());
    ::close(fd_);
}

void UsageBoard::note(std::uint64_t bundle, const std::string& model, std::uint32_t version,
                      std::uint64_t rows) {
    if (!open()) return;
    std::size_t place = kEntries;
    for (std::size_t i = kEntries; i-- > 0;)
        if (entries_[i].bundle == 0) place = i;
    for (std::size_t i = 0; i < kEntries; ++i)
        if (entries_[i].bundle == bundle) place = i;
    if (place == kEntries) return;
    Usage& entry = entries_[place];
    if (entry.bundle == 0) {
        entry = Usage{bundle, 0, 0, version, static_cast<std::uint32_t>(::getpid()), {}};
        std::strncpy(entry.model, model.c_str(), sizeof entry.model - 1);
    }
    ++entry.blocks;
    entry.rows += rows;
    write(place);
}

void UsageBoard::forget(std::uint64_t bundle) {
    if (fd_ < 0) return;
    for (std::size_t i = 0; i < kEntries; ++i)
        if (entries_[i].bundle == bundle) {
            entries_[i] = Usage{};
            write(i);
        }
}

// Written, not mapped: a file that is cut, or a disk that is full, would end us by a signal.
void UsageBoard::write(std::size_t place) {
    const auto at = static_cast<::off_t>(place * sizeof(Usage));
    if (::pwrite(fd_, &entries_[place], sizeof(Usage), at) < 0) return;  // then nobody knows
}

std::vector<Usage> UsageBoard::read(const std::string& folder) {
    std::vector<Usage> found;
    const std::string place = board_folder(folder);
    DIR* listing = ::opendir(place.c_str());
    if (listing == nullptr) return found;
    while (const dirent* item = ::readdir(listing)) {
        const std::string name = item->d_name, path = place + "/" + name;
        if (name.find_first_not_of("0123456789") != std::string::npos) {
            // memory.hpp's links: those to processes that are gone lead nowhere
            if (name.find(".memory") == 16 && ::access(path.c_str(), F_OK) != 0)
                ::unlink(path.c_str());
            continue;
        }
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0) continue;
        Usage entries[kEntries] = {};
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0)
            ::unlink(path.c_str());  // nobody holds it: its process is gone
        else if (::read(fd, entries, sizeof entries) > 0)
            for (Usage& entry : entries) {
                entry.model[sizeof entry.model - 1] = 0;
                if (entry.bundle != 0) found.push_back(entry);
            }
        ::close(fd);
    }
    ::closedir(listing);
    return found;
}

}  // namespace treehouse
