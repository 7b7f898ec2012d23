#include "usage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace treehouse {

namespace {

constexpr std::size_t kEntries = 64;
constexpr std::size_t kBytes = kEntries * sizeof(Usage);

std::string board_folder(const std::string& folder) { return folder + "/.loaded"; }

}  // namespace

bool UsageBoard::open() {
    if (tried_) return entries_ != nullptr;
    tried_ = true;
    const std::string folder = board_folder(folder_);
    ::mkdir(folder.c_str(), 0755);
    path_ = folder + "/" + std::to_string(::getpid());
    // locked under another name first: a reader must never see it without its lock
    const std::string fresh = path_ + ".new";
    fd_ = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) return false;
    void* memory = MAP_FAILED;
    // allocated, not only sized: a page that a full disk can't back would end us by a signal
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 && ::posix_fallocate(fd_, 0, kBytes) == 0 &&
        ::rename(fresh.c_str(), path_.c_str()) == 0)
        memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) {
        ::unlink(fresh.c_str());
        return false;
    }
    entries_ = static_cast<Usage*>(memory);
    return true;
}

UsageBoard::~UsageBoard() {
    if (entries_ != nullptr) {
        ::munmap(entries_, kBytes);
        ::unlink(path_.c_str());
    }
    if (fd_ >= 0) ::close(fd_);
}

void UsageBoard::note(std::uint64_t bundle, const std::string& model, std::uint32_t version,
                      std::uint64_t rows) {
    if (!open()) return;
    Usage* free = nullptr;
    for (std::size_t i = 0; i < kEntries; ++i) {
        Usage& entry = entries_[i];
        if (entry.bundle == bundle) {
            ++entry.blocks;
            entry.rows += rows;
            return;
        }
        if (entry.bundle == 0 && free == nullptr) free = &entry;
    }
    if (free == nullptr) return;
    Usage entry{bundle, 1, rows, version, static_cast<std::uint32_t>(::getpid()), {}};
    std::strncpy(entry.model, model.c_str(), sizeof entry.model - 1);
    *free = entry;
}

void UsageBoard::forget(std::uint64_t bundle) {
    if (entries_ == nullptr) return;
    for (std::size_t i = 0; i < kEntries; ++i)
        if (entries_[i].bundle == bundle) entries_[i] = Usage{};
}

std::vector<Usage> UsageBoard::read(const std::string& folder) {
    std::vector<Usage> found;
    const std::string place = board_folder(folder);
    DIR* listing = ::opendir(place.c_str());
    if (listing == nullptr) return found;
    while (const dirent* item = ::readdir(listing)) {
        if (item->d_name[0] == '.' || std::strstr(item->d_name, ".new") != nullptr) continue;
        const std::string path = place + "/" + item->d_name;
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        Usage entries[kEntries] = {};
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0)
            ::unlink(path.c_str());  // nobody holds it: its process is gone
        else if (::read(fd, entries, kBytes) == static_cast<::ssize_t>(kBytes))
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
