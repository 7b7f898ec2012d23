#include "serve.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "explain.hpp"
#include "refusal.hpp"

namespace treehouse {

namespace {

std::size_t width_of(const Bundle& bundle, Task task) {
    return task == Task::explain ? bundle.explainer().width() : bundle.width();
}

// answers[r * width_of() + i] for each of the rows.
void answer_rows(const Bundle& bundle, Task task, const Rows& rows, Scratch& scratch,
                 double* answers) {
    if (task == Task::explain)
        bundle.explainer().explain(rows, answers);
    else
        bundle.score(rows, scratch, answers);
}

}  // namespace

// Rows that share a bundle are scored together even if others lie between them: an experiment
// that assigns a version to each row would else be scored one row at a time.
class Answerer::Mix {
public:
    explicit Mix(Task task) : task_(task) {}

    // Answers lie `stride` apart, in the order of the rows.
    void begin(std::size_t stride) { stride_ = stride; }

    void add(const Block& block, const Run& run, std::size_t row) {
        widths_.push_back(run.bundle != nullptr ? width_of(*run.bundle, task_) : 0);
        if (run.bundle == nullptr) return;
        std::size_t i = 0;
        while (i < used_ && groups_[i].bundle != run.bundle) ++i;
        if (i == groups_.size()) groups_.emplace_back();
        Group& group = groups_[i];
        if (i == used_) ++used_;
        group.bundle = run.bundle;
        group.numeric_at.push_back(block.numeric_at(row));
        group.codes_at.push_back(block.codes_at(row));
        group.position.push_back(widths_.size() - 1);
    }

    std::size_t rows() const { return widths_.size(); }

    void finish(const Block& block, Scratch& scratch, AnswerWriter& writer) {
        answers_.resize(widths_.size() * stride_);
        for (std::size_t i = 0; i < used_; ++i) answer(block, groups_[i], scratch);
        for (std::size_t i = 0; i < widths_.size(); ++i)
            writer.add(answers_.data() + i * stride_, widths_[i]);
        widths_.clear();
        used_ = 0;
    }

private:
    struct Group {
        const Bundle* bundle;
        std::vector<std::uint64_t> numeric_at, codes_at;
        std::vector<std::size_t> position;
    };

    void answer(const Block& block, Group& group, Scratch& scratch) {
        Rows rows;
        rows.numeric = block.numeric();
        rows.codes = block.codes();
        rows.n_numeric = group.bundle->head().n_numeric;
        rows.n_categorical = group.bundle->head().n_categorical;
        rows.numeric_at = group.numeric_at.data();
        rows.codes_at = group.codes_at.data();
        rows.count = group.position.size();
        const std::size_t width = width_of(*group.bundle, task_);
        found_.resize(rows.count * width);
        answer_rows(*group.bundle, task_, rows, scratch, found_.data());
        for (std::size_t r = 0; r < rows.count; ++r)
            std::copy_n(found_.data() + r * width, width,
                        answers_.data() + group.position[r] * stride_);
        group.numeric_at.clear();
        group.codes_at.clear();
        group.position.clear();
    }

    Task task_;
    std::vector<Group> groups_;  // the first `used_` are in use
    std::size_t used_ = 0;
    std::size_t stride_ = 0;
    std::vector<std::size_t> widths_;
    Buffer<double> found_, answers_;
};

namespace {

Rows rows_of(const Block& block, const Bundle& bundle, std::size_t first, std::size_t count) {
    Rows rows;
    rows.numeric = block.numeric() + block.numeric_at(first);
    rows.codes = block.codes() + block.codes_at(first);
    rows.n_numeric = bundle.head().n_numeric;
    rows.n_categorical = bundle.head().n_categorical;
    rows.count = count;
    return rows;
}

}  // namespace

Answerer::Answerer(int out, Task task)
    : task_(task), writer_(out), mix_(std::make_unique<Mix>(task)) {}

Answerer::~Answerer() = default;

bool Answerer::answer(Reader& reader, Store& store) {
    constexpr std::size_t kShortRun = 64;
    if (!block_.begin(reader, store)) return false;
    const std::vector<Run>& runs = block_.runs();
    const bool mixed = runs.size() > 1 && block_.rows() / runs.size() < kShortRun;
    std::size_t stride = 0;
    for (const Run& run : runs)
        if (run.bundle != nullptr) stride = std::max(stride, width_of(*run.bundle, task_));
    mix_->begin(stride);
    while (block_.next(reader)) answer_window(mixed);
    writer_.flush();
    for (const Run& run : runs) store.count(run.bundle, run.end - run.first);
    store.end_block();
    block_.trim();
    return true;
}

void Answerer::answer_window(bool mixed) {
    if (mixed) return answer_mix();
    block_.each_run([this](const Run& run) {
        if (run.bundle == nullptr)
            for (std::size_t r = run.first; r < run.end; ++r) writer_.add(nullptr, 0);
        else
            answer_run(run);
    });
}

void Answerer::answer_run(const Run& run) {
    const Bundle& bundle = *run.bundle;
    const std::size_t width = width_of(bundle, task_);
    const std::size_t chunk = task_ == Task::explain ? kChunk : bundle.chunk();
    for (std::size_t first = run.first; first < run.end; first += chunk) {
        const Rows rows = rows_of(block_, bundle, first, std::min(chunk, run.end - first));
        answers_.resize(rows.count * width);
        answer_rows(bundle, task_, rows, scratch_, answers_.data());
        for (std::size_t r = 0; r < rows.count; ++r)
            writer_.add(answers_.data() + r * width, width);
    }
}

void Answerer::answer_mix() {
    block_.each_run([this](const Run& run) {
        for (std::size_t row = run.first; row < run.end; ++row) {
            mix_->add(block_, run, row);
            if (mix_->rows() == kChunk) mix_->finish(block_, scratch_, writer_);
        }
    });
    mix_->finish(block_, scratch_, writer_);
}

void measure(int in, Store& store, Task task, std::size_t rounds, std::size_t batch) {
    Reader reader([in](void* to, std::size_t size) { return ::read(in, to, size); });
    Block block;
    Scratch scratch;
    Buffer<double> answers;
    if (!block.begin(reader, store) || block.runs().size() != 1 ||
        block.runs().front().bundle == nullptr || !block.next(reader, block.rows()))
        refuse("give one block of rows with one bundle");
    const Bundle& bundle = *block.runs().front().bundle;
    batch = std::max<std::size_t>(1, std::min(batch, bundle.chunk()));
    bool lanes = true, walk = true;
    for (const Forest& forest : bundle.forests) {
        lanes = lanes && forest.lanes != nullptr;
        walk = walk && forest.walk != nullptr;
    }
    std::printf("{\"kernel\":\"%s\",\"layout\":\"%s\",\"rows\":%zu,\"seconds\":[",
                lane_kernel().name, lanes ? "lanes" : walk ? "walk" : "other", block.rows());
    double total = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t first = 0; first < block.rows(); first += batch) {
            Rows rows = rows_of(block, bundle, first, std::min(batch, block.rows() - first));
            const std::size_t width = width_of(bundle, task);
            answers.resize(rows.count * width);
            answer_rows(bundle, task, rows, scratch, answers.data());
            total += answers[width - 1];
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        std::printf("%s%.9f", round == 0 ? "" : ",", took.count());
    }
    std::printf("],\"sum\":%.17g}\n", total);
}

void close_inherited(int in, int out) {
    DIR* folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) return;
    std::vector<int> open;
    while (const dirent* entry = ::readdir(folder)) open.push_back(std::atoi(entry->d_name));
    ::closedir(folder);
    for (const int fd : open)
        if (fd > STDERR_FILENO && fd != in && fd != out) ::close(fd);
}

void serve(int in, int out, Store& store, Task task) {
    close_inherited(in, out);
#ifdef F_SETPIPE_SZ
    // Larger pipes: fewer switches between the engine and us. Refused by some kernels; no matter.
    ::fcntl(in, F_SETPIPE_SZ, 1 << 20);
    ::fcntl(out, F_SETPIPE_SZ, 1 << 20);
#endif
    Reader reader([in](void* to, std::size_t size) { return ::read(in, to, size); });
    Answerer answerer(out, task);
    while (answerer.answer(reader, store)) {
    }
}

}  // namespace treehouse
