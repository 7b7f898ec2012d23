// Blocks in ClickHouse's format Buffers: UInt64 columns, UInt64 rows, then each column's size in
// bytes and its content. Native would be as compact, but its layout follows the protocol version of
// whichever client sent the query. Columns: bundle UInt64, numeric Array(Float64), categorical
// Array(String).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "store.hpp"
#include "stream.hpp"

namespace treehouse {

// Where each row's elements begin and end. Kept as one number while all rows have as many.
class Offsets {
public:
    void reset() {
        rows_ = 0;
        stride_ = 0;
        uneven_ = false;
        ends_.clear();
    }
    void add(std::uint64_t end);
    std::uint64_t begin(std::size_t row) const {
        return uneven_ ? (row == 0 ? 0 : ends_[row - 1]) : row * stride_;
    }
    std::uint64_t end(std::size_t row) const { return uneven_ ? ends_[row] : (row + 1) * stride_; }
    std::uint64_t total() const { return rows_ == 0 ? 0 : end(rows_ - 1); }
    void trim(std::size_t bytes) { ends_.trim(bytes); }

private:
    std::size_t rows_ = 0;
    std::uint64_t stride_ = 0;
    bool uneven_ = false;
    Buffer<std::uint64_t> ends_;
};

// Rows [first, end) of the same bundle; null where there is none.
struct Run {
    std::size_t first;
    std::size_t end;
    const Bundle* bundle;
};

class Block {
public:
    // False at the end of the stream. Throws Refusal for anything but a block that fits its
    // bundles. Memory grows with the bytes that arrive, never with what a header promises.
    bool read(Reader& reader, Store& store);

    std::size_t rows() const { return rows_; }
    const std::vector<Run>& runs() const { return runs_; }
    const double* numeric() const { return numeric_.data(); }
    const std::int32_t* codes() const { return codes_.data(); }
    const Offsets& numeric_offsets() const { return numeric_offsets_; }
    const Offsets& code_offsets() const { return code_offsets_; }

private:
    void read_bundles(Reader& reader, Store& store);
    void read_offsets(Reader& reader, Offsets& offsets, const char* column);
    void read_numeric(Reader& reader);
    // Returns the bytes that the strings took.
    std::uint64_t read_categories(Reader& reader);

    std::size_t rows_ = 0;
    std::vector<Run> runs_;
    Offsets numeric_offsets_;
    Offsets code_offsets_;
    Buffer<double> numeric_;
    Buffer<std::int32_t> codes_;
};

// Writes answers as blocks of one column, `heads Array(Float64)`.
class AnswerWriter {
public:
    explicit AnswerWriter(int fd) : writer_(fd) {}
    void add(const double* answer, std::size_t width);
    // Ends a block; the pipe gets all of it.
    void flush();

private:
    Writer writer_;
    Buffer<std::uint64_t> ends_;
    Buffer<double> values_;
};

}  // namespace treehouse
