#include "stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "refusal.hpp"

namespace treehouse {

Reader::Reader(Source source) : source_(std::move(source)) { window_.resize(2 * kWindow); }

bool Reader::fill() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (window_.size() - end_ < kWindow) {
        std::memmove(window_.data(), window_.data() + begin_, available());
        end_ -= begin_;
        begin_ = 0;
    }
    for (;;) {
        const ::ssize_t got = source_(window_.data() + end_, window_.size() - end_);
        if (got > 0) end_ += static_cast<std::size_t>(got);
        if (got >= 0) return got > 0;
        if (errno != EINTR) refuse("cannot read the block: %s", std::strerror(errno));
    }
}

bool Reader::at_end() { return available() == 0 && !fill(); }

std::uint8_t Reader::byte() {
    if (available() == 0 && !fill()) refuse("the block ends early");
    return static_cast<std::uint8_t>(window_[begin_++]);
}

std::uint64_t Reader::varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const std::uint8_t part = byte();
        value |= static_cast<std::uint64_t>(part & 127) << shift;
        if (part < 128) return value;
    }
    refuse("the block holds a number of more than 64 bits");
}

std::uint64_t Reader::number() {
    std::uint64_t value = 0;
    exact(&value, sizeof value);
    return value;
}

void Reader::exact(void* to, std::size_t size) {
    char* target = static_cast<char*>(to);
    const std::size_t buffered = std::min(size, available());
    if (buffered != 0) std::memcpy(target, window_.data() + begin_, buffered);
    begin_ += buffered;
    target += buffered;
    size -= buffered;
    while (size >= kWindow) {  // large pieces go straight to where they belong
        const ::ssize_t got = source_(target, size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) refuse("cannot read the block: %s", std::strerror(errno));
        if (got == 0) refuse("the block ends early");
        target += got;
        size -= static_cast<std::size_t>(got);
    }
    while (size != 0) {
        if (available() == 0 && !fill()) refuse("the block ends early");
        const std::size_t part = std::min(size, available());
        std::memcpy(target, window_.data() + begin_, part);
        begin_ += part;
        target += part;
        size -= part;
    }
}

void Reader::skip(std::uint64_t size) {
    while (size != 0) {
        if (available() == 0 && !fill()) refuse("the block ends early");
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size, available()));
        begin_ += part;
        size -= part;
    }
}

const char* Reader::view(std::size_t size) {
    while (available() < size)
        if (!fill()) refuse("the block ends early");
    const char* at = window_.data() + begin_;
    begin_ += size;
    return at;
}

void Writer::number(std::uint64_t value) { bytes(&value, sizeof value); }

void Writer::bytes(const void* from, std::size_t size) {
    if (size != 0) std::memcpy(pending_.extend(size), from, size);
}

void Writer::flush() {
    ::iovec piece{pending_.data(), pending_.size()};
    write_all(fd_, &piece, 1);
    pending_.clear();
}

void write_all(int fd, ::iovec* pieces, int count) {
    for (;;) {
        while (count != 0 && pieces->iov_len == 0) {
            ++pieces;
            --count;
        }
        if (count == 0) return;
        const ::ssize_t written = ::writev(fd, pieces, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) refuse("cannot write the answer: %s", std::strerror(errno));
        for (auto left = static_cast<std::size_t>(written); left != 0;) {
            const std::size_t part = std::min(left, pieces->iov_len);
            pieces->iov_base = static_cast<char*>(pieces->iov_base) + part;
            pieces->iov_len -= part;
            left -= part;
            if (left != 0) {
                ++pieces;
                --count;
            }
        }
    }
}

}  // namespace treehouse
