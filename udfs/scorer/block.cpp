#include "block.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "refusal.hpp"

namespace treehouse {

namespace {

constexpr std::size_t kPiece = 8192;                     // elements read at a time
constexpr std::size_t kKept = std::size_t{10} << 20;     // bytes a buffer may keep between blocks
constexpr std::size_t kWindow = std::size_t{1} << 19;    // bytes of numbers that a window aims at
constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 40;
constexpr std::size_t kAnswerRows = 16384;               // rows of an answering block at most
constexpr std::size_t kAnswerValues = std::size_t{1} << 17;  // and its values, about

// Column sizes are checked against what their rows need: a mismatch means another declaration.
void expect_size(std::uint64_t size, std::uint64_t wanted, const char* column) {
    if (size == wanted) return;
    refuse("the column %s has %llu bytes where %llu were expected: the function's declaration and "
           "this scorer are of different versions, or the format is not Buffers",
           column, static_cast<unsigned long long>(size), static_cast<unsigned long long>(wanted));
}

}  // namespace

void Offsets::add(std::uint64_t end) {
    const std::uint64_t before = total();
    if (end < before || end > kMaxElements) refuse("the block's array offsets do not increase");
    if (rows_ == 0) stride_ = end;
    if (!uneven_ && end - before != stride_) {
        ends_.clear();
        for (std::size_t r = 0; r < rows_; ++r) ends_.push((r + 1) * stride_);
        uneven_ = true;
    }
    if (uneven_) ends_.push(end);
    ++rows_;
}

bool Block::begin(Reader& reader, Store& store) {
    rows_ = first_ = end_ = first_run_ = 0;
    numeric_base_ = codes_base_ = 0;
    runs_.clear();
    numeric_.clear();
    code_offsets_.reset();
    ended_ = true;
    if (reader.at_end()) return false;
    const std::uint64_t columns = reader.number();
    const std::uint64_t rows = reader.number();
    if (columns == 0 && rows == 0) return true;
    if (columns != 3) refuse("the block has %llu columns, not bundle, numeric and categorical",
                             static_cast<unsigned long long>(columns));
    if (rows > kMaxElements) refuse("the block promises %llu rows",
                                    static_cast<unsigned long long>(rows));
    expect_size(reader.number(), rows * sizeof(std::uint64_t), "bundle");
    rows_ = static_cast<std::size_t>(rows);
    read_bundles(reader, store);
    const std::uint64_t numeric_size = reader.number();
    read_offsets(reader, numeric_offsets_, "numeric");
    expect_size(numeric_size, 8 * rows + 9 * numeric_offsets_.total(), "numeric");
    numeric_nulls_.read(reader, numeric_offsets_.total());
    choose_window();
    ended_ = false;
    if (held_) {
        read_numeric(reader, numeric_offsets_.total());
        begin_categories(reader);
    }
    return true;
}

void Block::choose_window() {
    std::size_t chunk = kChunk;
    held_ = false;
    for (const Run& run : runs_) {
        if (run.bundle == nullptr) continue;
        held_ = held_ || run.bundle->head().n_categorical != 0;
        chunk = std::max(chunk, run.bundle->chunk());
    }
    const std::uint64_t bytes = 8 * (numeric_offsets_.total() / std::max<std::size_t>(rows_, 1));
    const auto fitting = static_cast<std::size_t>(kWindow / std::max<std::uint64_t>(bytes, 1));
    window_ = std::clamp(fitting / kChunk * kChunk, chunk, std::max(chunk, kWalkChunk));
}

void Block::begin_categories(Reader& reader) {
    categorical_size_ = reader.number();
    read_offsets(reader, code_offsets_, "categorical");
    code_nulls_.read(reader, code_offsets_.total());
    categorical_read_ = 8 * rows_ + code_offsets_.total();
}

bool Block::next(Reader& reader, std::size_t most) {
    first_ = end_;
    codes_.clear();
    if (first_ == rows_) {
        if (!ended_) end(reader);
        return false;
    }
    end_ = first_ + std::min(most != 0 ? most : window_, rows_ - first_);
    while (runs_[first_run_].end <= first_) ++first_run_;
    if (!held_) {
        numeric_.clear();
        numeric_base_ = numeric_offsets_.begin(first_);
        read_numeric(reader, numeric_offsets_.begin(end_));
    } else {
        codes_base_ = code_offsets_.begin(first_);
        each_run([&](const Run& run) { read_categories(reader, run); });
    }
    return true;
}

void Block::end(Reader& reader) {
    if (!held_) {
        begin_categories(reader);
        for (const Run& run : runs_) read_categories(reader, run);
    }
    expect_size(categorical_size_, categorical_read_, "categorical");
    ended_ = true;
}

void Block::trim() {
    numeric_.trim(kKept);
    codes_.trim(kKept);
    numeric_offsets_.trim(kKept);
    code_offsets_.trim(kKept);
    numeric_nulls_.trim(kKept);
    code_nulls_.trim(kKept);
    if (runs_.capacity() * sizeof(Run) > kKept) std::vector<Run>().swap(runs_);
}

void Block::read_bundles(Reader& reader, Store& store) {
    std::uint64_t ids[kPiece];
    std::uint64_t last = 0;
    for (std::size_t at = 0; at < rows_;) {
        const std::size_t count = std::min(kPiece, rows_ - at);
        reader.exact(ids, count * sizeof *ids);
        for (std::size_t i = 0; i < count; ++i, ++at) {
            if (at == 0 || ids[i] != last) {
                if (at != 0) runs_.back().end = at;
                runs_.push_back({at, rows_, ids[i] == 0 ? nullptr : &store.get(ids[i])});
                last = ids[i];
            }
        }
    }
}

void Block::read_offsets(Reader& reader, Offsets& offsets, const char* column) {
    const bool numeric = &offsets == &numeric_offsets_;
    offsets.reset();
    std::uint64_t ends[kPiece];
    for (const Run& run : runs_) {
        const FileHead* head = run.bundle != nullptr ? &run.bundle->head() : nullptr;
        for (std::size_t at = run.first; at < run.end;) {
            const std::size_t count = std::min(kPiece, run.end - at);
            reader.exact(ends, count * sizeof *ends);
            for (std::size_t i = 0; i < count; ++i, ++at) {
                const std::uint64_t before = offsets.total();
                offsets.add(ends[i]);
                if (head == nullptr) continue;
                const std::uint64_t wanted = numeric ? head->n_numeric : head->n_categorical;
                if (ends[i] - before != wanted)
                    refuse("%s takes %llu %s inputs, row %zu brings %llu",
                           run.bundle->label().c_str(), static_cast<unsigned long long>(wanted),
                           column, at, static_cast<unsigned long long>(ends[i] - before));
            }
        }
    }
}

// Up to the element `end`, from where the numbers held begin.
void Block::read_numeric(Reader& reader, std::uint64_t end) {
    for (std::uint64_t at = numeric_base_; at != end;) {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(end - at, 16 * kPiece));
        double* values = numeric_.extend(count);
        reader.exact(values, count * sizeof(double));
        numeric_nulls_.fill(values, at, count, std::numeric_limits<double>::quiet_NaN());
        at += count;
    }
}

// Codes are kept for the rows of a window; without a bundle there is nothing to keep.
void Block::read_categories(Reader& reader, const Run& run) {
    for (std::size_t row = run.first; row < run.end; ++row) {
        const std::uint64_t begin = code_offsets_.begin(row);
        const std::uint64_t n = code_offsets_.end(row) - begin;
        for (std::uint64_t j = 0; j < n; ++j) {
            const std::uint64_t size = reader.varint();
            categorical_read_ += size + varint_size(size);
            std::int32_t code = Categories::kMissing;
            if (run.bundle == nullptr || size > Reader::kWindow || code_nulls_.at(begin + j)) {
                reader.skip(size);  // or longer than any category that is listed
            } else {
                const auto length = static_cast<std::size_t>(size);
                code = run.bundle->categories[j].find(reader.view(length), length);
            }
            if (held_) codes_.push(code);
        }
    }
}

void AnswerWriter::add(const double* answer, std::size_t width) {
    if (ends_.size() == kAnswerRows || values_.size() >= kAnswerValues) flush();
    if (width != 0) std::memcpy(values_.extend(width), answer, width * sizeof(double));
    ends_.push(values_.size());
}

void AnswerWriter::flush() {
    if (ends_.size() == 0) return;
    std::uint64_t head[] = {1, ends_.size(), (ends_.size() + values_.size()) * sizeof(double)};
    ::iovec pieces[] = {{head, sizeof head},
                        {ends_.data(), ends_.size() * sizeof(std::uint64_t)},
                        {values_.data(), values_.size() * sizeof(double)}};
    write_all(fd_, pieces, 3);
    ends_.clear();
    values_.clear();
}

}  // namespace treehouse
