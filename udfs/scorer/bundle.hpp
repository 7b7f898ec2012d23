// A bundle file, in memory and checked once; everything else points into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "categories.hpp"
#include "forest.hpp"
#include "lanes.hpp"
#include "memory.hpp"
#include "walk.hpp"
#include "program.hpp"

namespace treehouse {

std::uint32_t crc32(const std::uint8_t* data, std::size_t size);

class Explainer;

class Bundle {
public:
    // Reads the file. Throws Refusal with a line that names it.
    static std::unique_ptr<Bundle> open(const std::string& path);
    // The file <id>.bundle of a folder, whose hash begins with the id.
    static std::unique_ptr<Bundle> open(const std::string& folder, std::uint64_t id);
    // The same over memory that outlives the bundle; `check_crc` is false only in the fuzzer.
    static std::unique_ptr<Bundle> parse(const std::string& name, const std::uint8_t* data,
                                         std::size_t size, bool check_crc = true);
    ~Bundle();
    Bundle(const Bundle&) = delete;
    Bundle& operator=(const Bundle&) = delete;

    const FileHead& head() const { return *head_; }
    const std::string& path() const { return path_; }
    const std::string& model() const { return names_[0]; }
    const std::string& contract() const { return names_[1]; }
    const std::string& head_name(std::size_t i) const { return names_[2 + i]; }
    const std::string& input_name(std::size_t i) const { return names_[2 + programs.size() + i]; }
    // "<path> (ltv version 3)", for messages.
    std::string label() const;
    // How many numbers a row is answered with: the version and the heads.
    std::size_t width() const { return 1 + programs.size(); }

    // How many rows score() takes at a time.
    std::size_t chunk() const {
        for (const Forest& forest : forests)
            if (forest.walk != nullptr) return kWalkChunk;
        return kChunk;
    }

    // answers[r * width() + i], for the rows of one chunk.
    void score(const Rows& rows, Scratch& scratch, double* answers) const;

    std::vector<Forest> forests;
    std::vector<Program> programs;
    std::vector<Categories> categories;
    std::vector<ExplainedOutput> explained;
    std::size_t n_outputs = 0;

    // Made at first use; one thread at a time.
    Explainer& explainer() const;

private:
    Bundle();
    static std::unique_ptr<Bundle> of(const std::string& path, Memory memory, bool check_crc);
    struct Section {
        const std::uint8_t* data = nullptr;
        std::uint64_t length = 0;
    };
    void load(bool check_crc);
    void load_names();
    void load_programs();
    void load_explained();
    void load_forest(std::uint32_t index);
    void load_layout(std::uint32_t index, Forest& forest);
    Section find(Kind kind, std::uint32_t index) const;
    // A section of exactly `count` elements; refuses otherwise.
    template <typename T>
    const T* array(Kind kind, std::uint32_t index, std::uint64_t count, const char* what) const;
    [[noreturn]] void damaged(const char* what) const;

    std::string path_;
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
    Memory memory_;
    std::vector<std::unique_ptr<Lanes>> lanes_;
    std::vector<std::unique_ptr<Ranks>> ranks_;
    const FileHead* head_ = nullptr;
    std::vector<std::string> names_;
    mutable std::unique_ptr<Explainer> explainer_;
};

}  // namespace treehouse
