// Blocks in ClickHouse's format Buffers: UInt64 columns, UInt64 rows, then each column's size in
// bytes and its content. Native would be as compact, but its layout follows the protocol version of
// whichever client sent the query. Columns: bundle UInt64, numeric Array(Nullable(Float64)),
// categorical Array(Nullable(String)); an array is its offsets, a byte for each element that says
// whether it is NULL, and the elements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "nulls.hpp"
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

// A block is read in windows, and a window's rows are scored before the next ones are read: the
// engine goes on writing into the pipe meanwhile. Where no bundle of the block takes categories, a
// window is all that is held. Else the numbers of the whole block are, because they come first.
class Block {
public:
    // Reads up to the first window. False at the end of the stream. Throws Refusal for anything but
    // a block that fits its bundles. Memory grows with the bytes that arrive, never with what a
    // header promises.
    bool begin(Reader& reader, Store& store);
    // Reads the next window, of about `most` rows or as many as suit the bundles; false, after the
    // rest of the block was read and checked, when there are no more.
    bool next(Reader& reader, std::size_t most = 0);
    // Gives memory back after an unusually large block.
    void trim();

    std::size_t rows() const { return rows_; }
    const std::vector<Run>& runs() const { return runs_; }

    // Runs of the window, cut to it.
    template <typename Action>
    void each_run(Action&& action) const {
        for (std::size_t i = first_run_; i < runs_.size() && runs_[i].first < end_; ++i)
            action(Run{std::max(runs_[i].first, first_), std::min(runs_[i].end, end_),
                       runs_[i].bundle});
    }

    // The window's numbers (NaN for NULL) and codes, and where in them a row's begin.
    const double* numeric() const { return numeric_.data(); }
    const std::int32_t* codes() const { return codes_.data(); }
    std::uint64_t numeric_at(std::size_t row) const {
        return numeric_offsets_.begin(row) - numeric_base_;
    }
    std::uint64_t codes_at(std::size_t row) const { return code_offsets_.begin(row) - codes_base_; }

private:
    void read_bundles(Reader& reader, Store& store);
    void read_offsets(Reader& reader, Offsets& offsets, const char* column);
    void read_numeric(Reader& reader, std::uint64_t end);
    void begin_categories(Reader& reader);
    void read_categories(Reader& reader, const Run& run);
    void choose_window();
    void end(Reader& reader);

    std::size_t rows_ = 0;
    std::vector<Run> runs_;
    Offsets numeric_offsets_;
    Offsets code_offsets_;
    Nulls numeric_nulls_;
    Nulls code_nulls_;
    Buffer<double> numeric_;
    Buffer<std::int32_t> codes_;
    std::size_t first_ = 0, end_ = 0;  // the window
    std::size_t window_ = 0;           // its rows
    std::size_t first_run_ = 0;        // the run that holds its first row
    bool held_ = false;                // the numbers of all rows are held
    bool ended_ = true;                // the whole block was read
    std::uint64_t numeric_base_ = 0, codes_base_ = 0;
    std::uint64_t categorical_size_ = 0;  // as the block promises
    std::uint64_t categorical_read_ = 0;
};

// Writes answers as blocks of one column, `heads Array(Float64)`: several for a large block, so that
// answers are not held. The last rows stay here until flush(): an engine that has them all may stop
// writing.
class AnswerWriter {
public:
    explicit AnswerWriter(int fd) : fd_(fd) {}
    void add(const double* answer, std::size_t width);
    // Ends a block; the pipe gets all of it.
    void flush();

private:
    int fd_;
    Buffer<std::uint64_t> ends_;
    Buffer<double> values_;
};

}  // namespace treehouse
