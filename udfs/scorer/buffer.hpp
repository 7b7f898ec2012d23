// A growing array that does not clear what it grows by, and keeps its memory between blocks.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace treehouse {

template <typename T>
class Buffer {
    static_assert(std::is_trivially_copyable<T>::value, "plain data only");
    static_assert(4096 % sizeof(T) == 0, "pages hold whole elements");

public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release(); }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::size_t capacity_bytes() const { return capacity_ * sizeof(T); }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }

    void clear() { size_ = 0; }

    // New elements hold whatever the memory held.
    void resize(std::size_t size) {
        if (size > capacity_) grow(size);
        size_ = size;
    }

    T* extend(std::size_t count) {
        const std::size_t before = size_;
        resize(before + count);
        return data_ + before;
    }

    void push(T value) { *extend(1) = value; }

    // Gives memory back after an unusually large block.
    void trim(std::size_t bytes) {
        if (capacity_bytes() <= bytes) return;
        release();
        data_ = nullptr;
        size_ = capacity_ = 0;
    }

private:
    // From here on memory comes in pages of its own, which grow without being copied and go back
    // to the system at once.
    static constexpr std::size_t kPaged = std::size_t{1} << 20;

    void release() {
        if (capacity_bytes() >= kPaged)
            ::munmap(data_, capacity_bytes());
        else
            std::free(data_);
    }

    void* paged(std::size_t bytes) {
        if (capacity_bytes() >= kPaged)
            return ::mremap(data_, capacity_bytes(), bytes, MREMAP_MAYMOVE);
        void* fresh = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                             -1, 0);
        if (fresh == MAP_FAILED) return fresh;
        if (size_ != 0) std::memcpy(fresh, data_, size_ * sizeof(T));
        std::free(data_);
        return fresh;
    }

    void grow(std::size_t size) {
        std::size_t wanted = capacity_ + capacity_ / 2;
        if (wanted < size) wanted = size;
        if (wanted < 64) wanted = 64;
        const std::size_t unit = wanted >= kPaged / sizeof(T) ? 4096 : 64;
        const std::size_t bytes = (wanted * sizeof(T) + unit - 1) / unit * unit;
        if (bytes / sizeof(T) < wanted) throw std::bad_alloc();
        if (bytes >= kPaged) {
            void* fresh = paged(bytes);
            if (fresh == MAP_FAILED) throw std::bad_alloc();
            data_ = static_cast<T*>(fresh);
        } else {
            void* fresh = std::aligned_alloc(64, bytes);
            if (fresh == nullptr) throw std::bad_alloc();
            if (size_ != 0) std::memcpy(fresh, data_, size_ * sizeof(T));
            std::free(data_);
            data_ = static_cast<T*>(fresh);
        }
        capacity_ = bytes / sizeof(T);
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace treehouse
