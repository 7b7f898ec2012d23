// What the fuzzer feeds: a block from the engine, or a model file. Refusals are the right answer to
// nonsense; anything that a sanitizer reports, a hang or unbounded memory is not.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "bundle.hpp"
#include "explain.hpp"
#include "refusal.hpp"
#include "serve.hpp"

using namespace treehouse;

namespace {

void run_block(const std::uint8_t* data, std::size_t size) {
    static const char* folder = std::getenv("TREEHOUSE_FUZZ_FILES");
    static Store store(folder != nullptr ? folder : "/nonexistent");
    static const int sink = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (const Task task : {Task::score, Task::explain}) {
        std::size_t at = 0;
        // pieces of odd sizes, as pipes deliver them
        Reader reader([&](void* to, std::size_t wanted) -> ::ssize_t {
            const std::size_t part = std::min({wanted, size - at, std::size_t{1} + at % 977});
            if (part != 0) std::memcpy(to, data + at, part);
            at += part;
            return static_cast<::ssize_t>(part);
        });
        Answerer answerer(sink, task);
        while (answerer.answer(reader, store)) {
        }
    }
}

void run_file(const std::uint8_t* data, std::size_t size) {
    void* memory = nullptr;
    if (::posix_memalign(&memory, 64, size == 0 ? 1 : size) != 0) return;
    const std::unique_ptr<void, decltype(&std::free)> owner(memory, &std::free);
    auto* copy = static_cast<std::uint8_t*>(memory);
    std::memcpy(copy, data, size);
    const std::uint64_t length = size;
    if (size >= 24) std::memcpy(copy + 16, &length, sizeof length);  // so that more gets through
    const auto bundle = Bundle::parse("fuzzed", copy, size, false);
    const std::size_t n_numeric = bundle->head().n_numeric;
    const std::size_t n_categorical = bundle->head().n_categorical;
    constexpr std::size_t kRows = 300;
    std::vector<double> numeric(kRows * n_numeric);
    std::vector<std::int32_t> codes(kRows * n_categorical);
    for (std::size_t i = 0; i < numeric.size(); ++i)
        numeric[i] = i % 7 == 0 ? std::nan("") : static_cast<double>(i % 91) - 45.0;
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int>(i % 40) - 1;
    Scratch scratch;
    for (const std::size_t count : {std::size_t{1}, std::size_t{70}, kRows}) {
        Rows rows;
        rows.numeric = numeric.data();
        rows.codes = codes.data();
        rows.n_numeric = n_numeric;
        rows.n_categorical = n_categorical;
        rows.count = count;
        std::vector<double> answers(count * bundle->width());
        bundle->score(rows, scratch, answers.data());
    }
    Rows rows{numeric.data(), codes.data(), n_numeric, n_categorical, nullptr, nullptr, 3};
    std::vector<double> answers(3 * bundle->explainer().width());
    bundle->explainer().explain(rows, answers.data());
}

}  // namespace

// libFuzzer's entry, so that it can drive the same harness; returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bool files = std::getenv("TREEHOUSE_FUZZ_TARGET") != nullptr &&
                              std::strcmp(std::getenv("TREEHOUSE_FUZZ_TARGET"), "file") == 0;
    try {
        files ? run_file(data, size) : run_block(data, size);
    } catch (const Refusal&) {
    }
    return 0;
}
