// A growing array that does not clear what it grows by, and keeps its memory between blocks.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace treehouse {

template <typename T>
class Buffer {
    static_assert(std::is_trivially_copyable<T>::value, "plain data only");

public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data_); }

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
        std::free(data_);
        data_ = nullptr;
        size_ = capacity_ = 0;
    }

private:
    void grow(std::size_t size) {
        std::size_t wanted = capacity_ + capacity_ / 2;
        if (wanted < size) wanted = size;
        if (wanted < 64) wanted = 64;
        const std::size_t bytes = (wanted * sizeof(T) + 63) / 64 * 64;
        if (bytes / sizeof(T) < wanted) throw std::bad_alloc();
        void* fresh = std::aligned_alloc(64, bytes);
        if (fresh == nullptr) throw std::bad_alloc();
        if (size_ != 0) std::memcpy(fresh, data_, size_ * sizeof(T));
        std::free(data_);
        data_ = static_cast<T*>(fresh);
        capacity_ = wanted;
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace treehouse
