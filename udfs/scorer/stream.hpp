// Buffered bytes from and to file descriptors.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "buffer.hpp"

namespace treehouse {

class Reader {
public:
    // `source(to, size)` is read(2): bytes read, 0 at the end, negative on failure.
    using Source = std::function<::ssize_t(void* to, std::size_t size)>;
    explicit Reader(Source source);

    // False at the end of the stream; elsewhere the end is an error.
    bool at_end();
    std::uint8_t byte();
    std::uint64_t varint();
    std::uint64_t number();  // 8 bytes, little-endian
    void exact(void* to, std::size_t size);
    void skip(std::uint64_t size);
    // `size` bytes (at most kWindow) where they lie; valid until the next call.
    const char* view(std::size_t size);

    static constexpr std::size_t kWindow = std::size_t{1} << 16;

private:
    bool fill();
    std::size_t available() const { return end_ - begin_; }

    Source source_;
    Buffer<char> window_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// All of several pieces, one after the other.
void write_all(int fd, ::iovec* pieces, int count);

class Writer {
public:
    explicit Writer(int fd) : fd_(fd) {}
    void number(std::uint64_t value);
    void bytes(const void* from, std::size_t size);
    void flush();

private:
    int fd_;
    Buffer<char> pending_;
};

// Bytes of a number written seven bits at a time.
constexpr std::uint64_t varint_size(std::uint64_t value) {
    std::uint64_t size = 1;
    while ((value >>= 7) != 0) ++size;
    return size;
}

}  // namespace treehouse
