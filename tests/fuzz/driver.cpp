// A small coverage-guided fuzzer for compilers without libFuzzer: inputs that reach new edges are
// kept and mutated further. Usage: driver SECONDS SEED CORPUS [KEEP]: reads every file of CORPUS,
// writes what reaches something new to KEEP, and an input that kills it to ./crash-input.
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
constexpr std::size_t kEdges = 1 << 16;
constexpr std::size_t kMaxSize = 1 << 16;
constexpr std::size_t kMaxKept = 1 << 12;  // larger ones are not worth their place in a repository
std::uint8_t hits[kEdges];
std::uint8_t known[kEdges];
thread_local std::uintptr_t previous;
Input current;

void dump() {
    std::ofstream("crash-input", std::ios::binary)
        .write(reinterpret_cast<const char*>(current.data()),
               static_cast<std::streamsize>(current.size()));
}

// Sanitizers abort (abort_on_error=1): each has a runtime of its own, but this signal is common.
void died(int) {
    dump();
    std::_Exit(4);
}

void hang(int) {
    std::fputs("an input takes more than 20 seconds\n", stderr);
    dump();
    std::_Exit(3);
}

// Counts in powers of two, as AFL does: one more round of a loop is not news.
std::uint8_t bucket(std::uint8_t count) {
    std::uint8_t bit = 1;
    while (count > 1 && bit < 128) {
        count = static_cast<std::uint8_t>(count >> 1);
        bit = static_cast<std::uint8_t>(bit << 1);
    }
    return bit;
}

bool run(const Input& input) {
    current = input;
    std::memset(hits, 0, sizeof hits);
    previous = 0;
    ::alarm(20);
    LLVMFuzzerTestOneInput(current.data(), current.size());
    ::alarm(0);
    bool news = false;
    for (std::size_t i = 0; i < kEdges; ++i) {
        if (hits[i] == 0) continue;
        const std::uint8_t bit = bucket(hits[i]);
        news = news || (known[i] & bit) == 0;
        known[i] = static_cast<std::uint8_t>(known[i] | bit);
    }
    return news;
}

template <typename Random>
void mutate(Input& input, const std::vector<Input>& corpus, Random& random) {
    const auto below = [&random](std::size_t n) { return n == 0 ? 0 : random() % n; };
    static const std::uint64_t interesting[] = {0,      1,      2,          16,         63,
                                                64,     127,    128,        255,        256,
                                                32767,  65535,  0x7fffffff, 0xffffffff, ~0ull,
                                                1ull << 40, 1ull << 60, 0x7ff8000000000000ull};
    for (std::size_t round = 1 + below(6); round != 0; --round) {
        const std::size_t at = below(input.size());
        switch (below(7)) {
            case 0:
                if (!input.empty()) input[at] ^= static_cast<std::uint8_t>(1u << below(8));
                break;
            case 1:
                if (!input.empty()) input[at] = static_cast<std::uint8_t>(random());
                break;
            case 2:
            case 3: {
                const std::size_t width = std::size_t{1} << below(4);
                const std::size_t place = at / width * width;
                std::uint64_t value = interesting[below(std::size(interesting))];
                if (below(3) == 0 && place + width <= input.size()) {
                    std::memcpy(&value, input.data() + place, width);
                    value += below(2) == 0 ? 1 + below(9) : ~below(9);
                }
                if (place + width <= input.size()) std::memcpy(input.data() + place, &value, width);
                break;
            }
            case 4: {
                const std::size_t count = std::min(input.size() - at, 1 + below(64));
                input.erase(input.begin() + static_cast<std::ptrdiff_t>(at),
                            input.begin() + static_cast<std::ptrdiff_t>(at + count));
                break;
            }
            case 5: {
                const Input& other = corpus[below(corpus.size())];
                const std::size_t from = below(other.size());
                const std::size_t count = std::min(other.size() - from, 1 + below(256));
                input.insert(input.begin() + static_cast<std::ptrdiff_t>(at),
                             other.begin() + static_cast<std::ptrdiff_t>(from),
                             other.begin() + static_cast<std::ptrdiff_t>(from + count));
                break;
            }
            default: {
                const Input& other = corpus[below(corpus.size())];
                const std::size_t count =
                    std::min({other.size(), input.size() - at, 1 + below(256)});
                const std::size_t from = below(other.size() - count + 1);
                std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), count,
                            input.begin() + static_cast<std::ptrdiff_t>(at));
                break;
            }
        }
    }
    if (input.size() > kMaxSize) input.resize(kMaxSize);
}

std::vector<Input> read_corpus(const std::string& folder) {
    std::vector<Input> corpus;
    DIR* listing = ::opendir(folder.c_str());
    while (listing != nullptr) {
        const dirent* entry = ::readdir(listing);
        if (entry == nullptr) break;
        if (entry->d_name[0] == '.') continue;
        std::ifstream file(folder + "/" + entry->d_name, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file),
                            std::istreambuf_iterator<char>());
    }
    if (listing != nullptr) ::closedir(listing);
    return corpus;
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    std::uint8_t& count = hits[(here ^ (previous >> 1) ^ (here >> 16)) % kEdges];
    if (count != 255) ++count;
    previous = here;
}

int main(int count, char** arguments) {
    if (count < 4) return 2;
    const double seconds = std::atof(arguments[1]);
    std::mt19937_64 random(std::strtoull(arguments[2], nullptr, 10));
    ::signal(SIGALRM, hang);
    ::signal(SIGABRT, died);
    std::vector<Input> corpus;
    for (const Input& input : read_corpus(arguments[3])) {
        run(input);
        corpus.push_back(input);
    }
    if (corpus.empty()) return 2;
    const std::size_t seeds = corpus.size();
    const auto start = std::chrono::steady_clock::now();
    unsigned long long runs = 0;
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
           seconds) {
        Input input = corpus[random() % corpus.size()];
        mutate(input, corpus, random);
        ++runs;
        if (!run(input)) continue;
        corpus.push_back(input);
        if (count < 5 || input.size() > kMaxKept) continue;
        char name[64];
        std::snprintf(name, sizeof name, "/%06zu-%016llx", corpus.size(),
                      static_cast<unsigned long long>(random()));
        std::ofstream(arguments[4] + std::string(name), std::ios::binary)
            .write(reinterpret_cast<const char*>(input.data()),
                   static_cast<std::streamsize>(input.size()));
    }
    std::size_t edges = 0;
    for (const std::uint8_t seen : known) edges += seen != 0 ? 1u : 0u;
    std::printf("%llu runs, %zu seeds, %zu found, %zu edges\n", runs, seeds, corpus.size() - seeds,
                edges);
    return 0;
}
