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

// Rows that share a bundle are scored together even if others lie between them: an experiment
// that assigns a version to each row would else be scored one row at a time.
class Chunk {
public:
    void add(const Block& block, const Bundle* bundle, std::size_t row, std::size_t position) {
        std::size_t group = 0;
        while (group < groups_.size() && groups_[group].bundle != bundle) ++group;
        if (group == groups_.size()) groups_.push_back({bundle, {}, {}, {}});
        Group& chosen = groups_[group];
        chosen.numeric_at.push_back(block.numeric_offsets().begin(row));
        chosen.codes_at.push_back(block.code_offsets().begin(row));
        chosen.position.push_back(position);
    }

    void score(const Block& block, Scratch& scratch, Buffer<double>& answers, std::size_t stride) {
        Buffer<double> found;
        for (Group& group : groups_) {
            Rows rows;
            rows.numeric = block.numeric();
            rows.codes = block.codes();
            rows.n_numeric = group.bundle->head().n_numeric;
            rows.n_categorical = group.bundle->head().n_categorical;
            rows.numeric_at = group.numeric_at.data();
            rows.codes_at = group.codes_at.data();
            rows.count = group.position.size();
            const std::size_t width = group.bundle->width();
            found.resize(rows.count * width);
            group.bundle->score(rows, scratch, found.data());
            for (std::size_t r = 0; r < rows.count; ++r)
                std::copy_n(found.data() + r * width, width,
                            answers.data() + group.position[r] * stride);
        }
        groups_.clear();
    }

private:
    struct Group {
        const Bundle* bundle;
        std::vector<std::uint64_t> numeric_at, codes_at;
        std::vector<std::size_t> position;
    };
    std::vector<Group> groups_;
};

Rows rows_of(const Block& block, const Bundle& bundle, std::size_t first, std::size_t count) {
    Rows rows;
    rows.numeric = block.numeric() + block.numeric_offsets().begin(first);
    rows.codes = block.codes() + block.code_offsets().begin(first);
    rows.n_numeric = bundle.head().n_numeric;
    rows.n_categorical = bundle.head().n_categorical;
    rows.count = count;
    return rows;
}

void answer_run(const Block& block, const Run& run, Scratch& scratch, Buffer<double>& answers,
                AnswerWriter& writer) {
    if (run.bundle == nullptr) {
        for (std::size_t r = run.first; r < run.end; ++r) writer.add(nullptr, 0);
        return;
    }
    const std::size_t width = run.bundle->width();
    const std::size_t chunk = run.bundle->chunk();
    for (std::size_t first = run.first; first < run.end; first += chunk) {
        const Rows rows = rows_of(block, *run.bundle, first, std::min(chunk, run.end - first));
        answers.resize(rows.count * width);
        run.bundle->score(rows, scratch, answers.data());
        for (std::size_t r = 0; r < rows.count; ++r) writer.add(answers.data() + r * width, width);
    }
}

// Explanations are answered run by run.
void explain_run(const Block& block, const Run& run, Scratch& scratch, Buffer<double>& answers,
                 AnswerWriter& writer) {
    if (run.bundle == nullptr) return answer_run(block, run, scratch, answers, writer);
    Explainer& explainer = run.bundle->explainer();
    const std::size_t width = explainer.width();
    for (std::size_t first = run.first; first < run.end; first += kChunk) {
        const Rows rows = rows_of(block, *run.bundle, first, std::min(kChunk, run.end - first));
        answers.resize(rows.count * width);
        explainer.explain(rows, answers.data());
        for (std::size_t r = 0; r < rows.count; ++r) writer.add(answers.data() + r * width, width);
    }
}

void answer_mixed(const Block& block, Scratch& scratch, Buffer<double>& answers,
                  AnswerWriter& writer) {
    std::size_t stride = 0;
    for (const Run& run : block.runs())
        if (run.bundle != nullptr) stride = std::max(stride, run.bundle->width());
    answers.resize(kChunk * stride);
    std::vector<std::size_t> widths;
    Chunk chunk;
    const auto finish = [&] {
        chunk.score(block, scratch, answers, stride);
        for (std::size_t i = 0; i < widths.size(); ++i)
            writer.add(answers.data() + i * stride, widths[i]);
        widths.clear();
    };
    for (const Run& run : block.runs())
        for (std::size_t row = run.first; row < run.end; ++row) {
            if (run.bundle != nullptr) chunk.add(block, run.bundle, row, widths.size());
            widths.push_back(run.bundle != nullptr ? run.bundle->width() : 0);
            if (widths.size() == kChunk) finish();
        }
    finish();
}

}  // namespace

void answer_block(const Block& block, Task task, Scratch& scratch, Buffer<double>& answers,
                  AnswerWriter& writer) {
    constexpr std::size_t kShortRun = 64;
    if (task == Task::explain)
        for (const Run& run : block.runs()) explain_run(block, run, scratch, answers, writer);
    else if (block.runs().size() > 1 && block.rows() / block.runs().size() < kShortRun)
        answer_mixed(block, scratch, answers, writer);
    else
        for (const Run& run : block.runs()) answer_run(block, run, scratch, answers, writer);
    writer.flush();
}

void measure(int in, Store& store, Task task, std::size_t rounds, std::size_t batch) {
    Reader reader([in](void* to, std::size_t size) { return ::read(in, to, size); });
    Block block;
    Scratch scratch;
    Buffer<double> answers;
    if (!block.read(reader, store) || block.runs().size() != 1 ||
        block.runs().front().bundle == nullptr)
        refuse("give one block of rows with one bundle");
    const Bundle& bundle = *block.runs().front().bundle;
    batch = std::max<std::size_t>(1, std::min(batch, bundle.chunk()));
    std::printf("{\"kernel\":\"%s\",\"rows\":%zu,\"seconds\":[", lane_kernel().name,
                block.rows());
    double total = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t first = 0; first < block.rows(); first += batch) {
            Rows rows = rows_of(block, bundle, first, std::min(batch, block.rows() - first));
            const bool explain = task == Task::explain;
            const std::size_t width = explain ? bundle.explainer().width() : bundle.width();
            answers.resize(rows.count * width);
            if (explain)
                bundle.explainer().explain(rows, answers.data());
            else
                bundle.score(rows, scratch, answers.data());
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
    AnswerWriter writer(out);
    Scratch scratch;
    Buffer<double> answers;
    Block block;
    while (block.read(reader, store)) {
        answer_block(block, task, scratch, answers, writer);
        for (const Run& run : block.runs()) store.count(run.bundle, run.end - run.first);
        store.end_block();
    }
}

}  // namespace treehouse
