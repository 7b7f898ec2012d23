#include "bundle.hpp"

#include <cstdio>
#include <cstring>
#include <utility>

#include "explain.hpp"
#include "refusal.hpp"

namespace treehouse {

std::unique_ptr<Bundle> Bundle::open(const std::string& path) {
    return of(path, Memory::read(path), true);
}

std::unique_ptr<Bundle> Bundle::open(const std::string& folder, std::uint64_t id) {
    char name[32];
    std::snprintf(name, sizeof name, "/%016llx.bundle", static_cast<unsigned long long>(id));
    return of(folder + name, Memory::shared(folder, id), false);  // its hash is compared
}

std::unique_ptr<Bundle> Bundle::of(const std::string& path, Memory memory, bool check_crc) {
    std::unique_ptr<Bundle> bundle(new Bundle);
    bundle->path_ = path;
    bundle->memory_ = std::move(memory);
    bundle->data_ = bundle->memory_.data();
    bundle->size_ = bundle->memory_.size();
    bundle->load(check_crc);
    return bundle;
}

std::unique_ptr<Bundle> Bundle::parse(const std::string& name, const std::uint8_t* data,
                                      std::size_t size, bool check_crc) {
    std::unique_ptr<Bundle> bundle(new Bundle);
    bundle->path_ = name;
    bundle->data_ = data;
    bundle->size_ = size;
    bundle->load(check_crc);
    return bundle;
}

Bundle::Bundle() = default;

Explainer& Bundle::explainer() const {
    if (explained.empty()) refuse("%s has no margin to explain", label().c_str());
    if (explainer_ == nullptr) explainer_ = std::make_unique<Explainer>(*this);
    return *explainer_;
}

Bundle::~Bundle() = default;

std::string Bundle::label() const {
    if (names_.empty()) return path_;
    return path_ + " (" + model() + " version " + std::to_string(head_->version) + ")";
}

void Bundle::damaged(const char* what) const {
    refuse("model file %s is damaged: %s", label().c_str(), what);
}

Bundle::Section Bundle::find(Kind kind, std::uint32_t index) const {
    const auto* entries = reinterpret_cast<const SectionEntry*>(data_ + sizeof(FileHead));
    for (std::uint32_t i = 0; i < head_->n_sections; ++i)
        if (entries[i].kind == static_cast<std::uint32_t>(kind) && entries[i].index == index)
            return {data_ + entries[i].offset, entries[i].length};
    return {};
}

template <typename T>
const T* Bundle::array(Kind kind, std::uint32_t index, std::uint64_t count,
                       const char* what) const {
    const Section section = find(kind, index);
    if (count > size_ || section.length != count * sizeof(T)) damaged(what);
    return reinterpret_cast<const T*>(section.data);
}

void Bundle::load(bool check_crc) {
    if (size_ < sizeof(FileHead) || std::memcmp(data_, kMagic, 8) != 0)
        refuse("%s is not a Treehouse model file", path_.c_str());
    head_ = reinterpret_cast<const FileHead*>(data_);
    if (head_->format != kFormatVersion)
        refuse("model file %s has format version %u, this scorer reads %u: publish it again",
               path_.c_str(), head_->format, kFormatVersion);
    if (head_->length != size_) damaged("its length is not the one it was written with");
    if (check_crc && crc32(data_ + kCheckedFrom, size_ - kCheckedFrom) != head_->crc)
        damaged("its checksum does not match");
    const std::uint64_t table = std::uint64_t{head_->n_sections} * sizeof(SectionEntry);
    if (sizeof(FileHead) + table > size_) damaged("its section table is cut off");
    const auto* entries = reinterpret_cast<const SectionEntry*>(data_ + sizeof(FileHead));
    for (std::uint32_t i = 0; i < head_->n_sections; ++i)
        if (entries[i].offset % kAlign != 0 || entries[i].offset > size_ ||
            entries[i].length > size_ - entries[i].offset)
            damaged("a section lies outside of the file");
    load_names();
    if (head_->n_forests > head_->n_sections) damaged("forests without sections");
    for (std::uint32_t i = 0; i < head_->n_forests; ++i) load_forest(i);
    load_programs();
    load_explained();
}

void Bundle::load_names() {
    if (head_->n_categorical > head_->n_sections) damaged("categories without sections");
    const Section section = find(Kind::names, 0);
    const std::uint64_t wanted =
        2 + std::uint64_t{head_->n_heads} + head_->n_numeric + head_->n_categorical;
    std::vector<std::string> names;
    for (std::uint64_t at = 0; at < section.length;) {
        std::uint32_t length;
        if (section.length - at < sizeof length) damaged("a name is cut off");
        std::memcpy(&length, section.data + at, sizeof length);
        at += sizeof length;
        if (section.length - at < length) damaged("a name is cut off");
        names.emplace_back(reinterpret_cast<const char*>(section.data + at), length);
        at += length;
    }
    if (names.size() != wanted) damaged("names are missing");
    names_ = std::move(names);
    categories.resize(head_->n_categorical);
    for (std::uint32_t j = 0; j < head_->n_categorical; ++j) {
        const Section table = find(Kind::categories, j);
        if (table.data == nullptr || !categories[j].open(table.data, table.length))
            damaged("a category table does not hold what it promises");
    }
}

void Bundle::load_forest(std::uint32_t index) {
    Forest forest;
    forest.head = array<ForestHead>(Kind::forest, index, 1, "a forest without head");
    const ForestHead& head = *forest.head;
    const std::uint64_t outputs = head.n_outputs;
    forest.binding = array<std::uint32_t>(Kind::binding, index, head.n_features, "bindings");
    forest.base = array<double>(Kind::base, index, outputs, "base scores");
    forest.roots =
        array<std::int32_t>(Kind::trees, index, 2 * std::uint64_t{head.n_trees} + 1, "trees");
    forest.tree_output = forest.roots + head.n_trees + 1;
    forest.nodes = array<Node>(Kind::nodes, index, head.n_nodes, "nodes");
    forest.words = array<std::uint32_t>(Kind::words, index, head.n_words, "category sets");
    if (head.n_vectors > size_ || outputs > size_) damaged("leaf vectors");
    forest.vectors = array<double>(Kind::vectors, index, head.n_vectors * outputs, "leaf vectors");
    forest.cover = array<double>(Kind::cover, index, head.n_nodes, "covers");
    const std::uint32_t n_inputs = head_->n_numeric + head_->n_categorical;
    if (const char* wrong = forest.validate(n_inputs)) damaged(wrong);
    load_layout(index, forest);
    n_outputs += head.n_outputs;
    forests.push_back(forest);
}

void Bundle::load_layout(std::uint32_t index, Forest& forest) {
    const Section ranks = find(Kind::ranks, index);
    const Section lanes = find(Kind::lanes, index);
    if (ranks.data == nullptr) return;
    ranks_.push_back(std::make_unique<Ranks>());
    forest.ranks = ranks_.back().get();
    if (const char* wrong = ranks_.back()->open(ranks.data, ranks.length, forest)) damaged(wrong);
    if (ranks_.back()->head->width == 2) {
        forest.walk = array<WalkNode>(Kind::walk, index, forest.head->n_nodes, "walk nodes");
        if (const char* wrong = validate_walk(forest)) damaged(wrong);
        return;
    }
    lanes_.push_back(std::make_unique<Lanes>());
    if (const char* wrong = lanes_.back()->open(lanes.data, lanes.length, forest)) damaged(wrong);
    forest.lanes = lanes_.back().get();
}

void Bundle::load_programs() {
    const Section code = find(Kind::programs, 0);
    const Section tables = find(Kind::tables, 0);
    const std::uint64_t spans = std::uint64_t{head_->n_heads} * sizeof(Span);
    const std::uint64_t start = (spans + 15) / 16 * 16;
    if (code.length < start || (code.length - start) % sizeof(Instruction) != 0)
        damaged("head programs");
    const std::uint64_t count = (code.length - start) / sizeof(Instruction);
    const auto* span = reinterpret_cast<const Span*>(code.data);
    if (n_outputs > size_) damaged("too many outputs");
    for (std::uint32_t h = 0; h < head_->n_heads; ++h) {
        if (std::uint64_t{span[h].start} + span[h].count > count) damaged("a head program");
        Program program;
        program.code = reinterpret_cast<const Instruction*>(code.data + start) + span[h].start;
        program.count = span[h].count;
        program.tables = reinterpret_cast<const double*>(tables.data);
        program.n_tables = tables.length / sizeof(double);
        const char* wrong = program.validate(static_cast<std::uint32_t>(n_outputs),
                                             head_->n_numeric + head_->n_categorical);
        if (wrong != nullptr) damaged(wrong);
        programs.push_back(program);
    }
}

void Bundle::load_explained() {
    const Section section = find(Kind::explained, 0);
    if (section.length % sizeof(ExplainedOutput) != 0) damaged("explained outputs");
    const auto* terms = reinterpret_cast<const ExplainedOutput*>(section.data);
    for (std::uint64_t i = 0; i < section.length / sizeof(ExplainedOutput); ++i) {
        if (terms[i].forest >= forests.size() ||
            terms[i].output >= forests[terms[i].forest].head->n_outputs)
            damaged("an explained output out of range");
        explained.push_back(terms[i]);
    }
}

void Bundle::score(const Rows& rows, Scratch& scratch, double* answers) const {
    scratch.margins.resize(n_outputs * rows.count);
    scratch.outputs.resize(n_outputs * rows.count);
    std::size_t at = 0;
    for (const Forest& forest : forests) {
        evaluate(forest, rows, scratch, scratch.margins.data() + at, scratch.outputs.data() + at);
        at += forest.head->n_outputs * rows.count;
    }
    const ProgramInput input{&rows, scratch.outputs.data(), scratch.margins.data()};
    for (std::size_t r = 0; r < rows.count; ++r) answers[r * width()] = head_->version;
    for (std::size_t h = 0; h < programs.size(); ++h) {
        const double* head = run(programs[h], input, scratch.stack);
        for (std::size_t r = 0; r < rows.count; ++r) answers[r * width() + 1 + h] = head[r];
    }
}

}  // namespace treehouse
