#include "memory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "format.hpp"
#include "refusal.hpp"
#include "sha256.hpp"

namespace treehouse {

namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr char kAdvice[] = "./treehouse sync brings back what the registry has";

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    operator int() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

std::string hex(std::uint64_t id) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
    return text;
}

std::string memory_name(std::uint64_t id) { return "treehouse-" + hex(id); }

// Whether a path is that of a bundle: its name is then its hash.
bool named_id(const std::string& path, std::uint64_t& id) {
    constexpr char kEnding[] = ".bundle";
    const std::string name = path.substr(path.rfind('/') + 1);
    if (name.size() != 16 + sizeof kEnding - 1 || name.substr(16) != kEnding ||
        name.find_first_not_of("0123456789abcdef") != 16)
        return false;
    id = std::strtoull(name.c_str(), nullptr, 16);
    return true;
}

// A pipe or a device must neither be waited for nor be opened at all.
int open_regular(const std::string& path) {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        refuse("cannot open model file %s: not a file; remove it, then %s", path.c_str(), kAdvice);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        refuse("cannot open model file %s: %s; %s", path.c_str(), std::strerror(errno), kAdvice);
    return fd;
}

// Bytes that were read; fewer than asked for where the file ends.
std::size_t read_whole(int fd, void* to, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
        const ::ssize_t part = ::pread(fd, static_cast<char*>(to) + done, size - done,
                                       static_cast<::off_t>(done));
        if (part == 0 || (part < 0 && errno != EINTR)) break;
        if (part > 0) done += static_cast<std::size_t>(part);
    }
    return done;
}

// The size of the file, if its head says the same: nothing is allocated for a file that is none.
std::size_t promised_size(const std::string& path, int fd) {
    struct stat status;
    FileHead head;
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        refuse("cannot open model file %s: not a file", path.c_str());
    if (read_whole(fd, &head, sizeof head) != sizeof head ||
        std::memcmp(&head, kMagic, 8) != 0)
        refuse("%s is not a Treehouse model file; %s", path.c_str(), kAdvice);
    if (head.length != static_cast<std::uint64_t>(status.st_size))
        refuse("model file %s is damaged: its length is not the one it was written with; %s",
               path.c_str(), kAdvice);
    return head.length;
}

// One process at a time reads a file, so that the others find its memory. A lock that somebody
// else holds is not waited for: then there are two copies, and no harm.
void take_turn(int fd) {
    for (int tries = 0; tries < 200 && ::flock(fd, LOCK_EX | LOCK_NB) != 0; ++tries) {
        if (errno != EWOULDBLOCK && errno != EINTR) return;
        const std::timespec pause{0, 5'000'000};
        ::nanosleep(&pause, nullptr);
    }
}

void* map(int fd, std::size_t size, int access) {
    const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* memory = ::mmap(nullptr, size, access, kind, fd, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

Memory::~Memory() {
    if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
    if (fd_ >= 0) ::close(fd_);
}

Memory Memory::read(const std::string& path) {
    std::uint64_t id = 0;
    const bool named = named_id(path, id);
    const Descriptor file(open_regular(path));
    return fill(path, file, named ? &id : nullptr);
}

Memory Memory::shared(const std::string& folder, std::uint64_t id) {
    const std::string link = folder + "/.loaded/" + hex(id) + ".memory";
    Memory memory;
    if (memory.adopt(link, id)) return memory;
    const std::string path = folder + "/" + hex(id) + ".bundle";
    const Descriptor file(open_regular(path));
    take_turn(file);
    if (memory.adopt(link, id)) return memory;
    memory = fill(path, file, &id);
    memory.publish(folder, link);
    return memory;
}

// Reads a file into memory that is sealed where the system can; refuses another hash than `id`.
Memory Memory::fill(const std::string& path, int fd, const std::uint64_t* id) {
    Memory memory;
    memory.size_ = promised_size(path, fd);
    const std::string name = memory_name(id != nullptr ? *id : 0);
    Descriptor sealed(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const bool can_seal =
        sealed >= 0 && ::posix_fallocate(sealed, 0, static_cast<::off_t>(memory.size_)) == 0;
    auto* bytes = static_cast<std::uint8_t*>(
        map(can_seal ? int{sealed} : -1, memory.size_, PROT_READ | PROT_WRITE));
    if (bytes == nullptr) refuse("no memory for model file %s", path.c_str());
    memory.data_ = bytes;
    if (read_whole(fd, bytes, memory.size_) != memory.size_)
        refuse("model file %s was cut while it was read; %s", path.c_str(), kAdvice);
    if (id != nullptr && bundle_id(bytes, memory.size_) != *id)
        refuse("model file %s is damaged: its hash is not its name; %s", path.c_str(), kAdvice);
    if (!can_seal) {
        ::mprotect(bytes, memory.size_, PROT_READ);
        return memory;
    }
    ::munmap(bytes, memory.size_);  // a writable mapping stands against the seal
    memory.data_ = nullptr;
    if (::fcntl(sealed, F_ADD_SEALS, kSeals) != 0) refuse("cannot seal %s", path.c_str());
    memory.data_ = static_cast<const std::uint8_t*>(map(sealed, memory.size_, PROT_READ));
    if (memory.data_ == nullptr) refuse("no memory for model file %s", path.c_str());
    memory.fd_ = sealed.release();
    return memory;
}

// Maps what another process has read. Its name and its seals say that it was verified: only a
// scorer names memory so, and it seals it after it has compared the hash.
bool Memory::adopt(const std::string& link, std::uint64_t id) {
    const Descriptor fd(::open(link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd < 0) return false;
    char target[64] = {};
    const std::string self = "/proc/self/fd/" + std::to_string(fd);
    if (::readlink(self.c_str(), target, sizeof target - 1) < 0 ||
        "/memfd:" + memory_name(id) + " (deleted)" != target ||
        (::fcntl(fd, F_GET_SEALS) & kSeals) != kSeals)
        return false;
    struct stat status;
    if (::fstat(fd, &status) != 0 || status.st_size <= 0) return false;
    const auto size = static_cast<std::size_t>(status.st_size);
    data_ = static_cast<const std::uint8_t*>(map(fd, size, PROT_READ));
    size_ = size;
    return data_ != nullptr;
}

// Lets other processes find it; a folder that can't be written to is no error.
void Memory::publish(const std::string& folder, const std::string& link) const {
    if (fd_ < 0) return;
    const std::string process = std::to_string(::getpid());
    const std::string fresh = link + "." + process + ".new";
    ::mkdir((folder + "/.loaded").c_str(), 0755);
    ::unlink(fresh.c_str());
    if (::symlink(("/proc/" + process + "/fd/" + std::to_string(fd_)).c_str(), fresh.c_str()) != 0)
        return;
    if (::rename(fresh.c_str(), link.c_str()) != 0) ::unlink(fresh.c_str());
}

}  // namespace treehouse
