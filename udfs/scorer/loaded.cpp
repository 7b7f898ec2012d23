// Which model files are mapped, as the engine asks for it.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "refusal.hpp"
#include "serve.hpp"
#include "text.hpp"
#include "usage.hpp"

namespace treehouse {

namespace {

// For every row the same: an array with one JSON object for each mapped file.
void write_loaded(const std::string& folder, std::uint64_t rows, Writer& writer) {
    const std::vector<Usage> files = UsageBoard::read(folder);
    std::string texts;
    for (const Usage& file : files) {
        char bundle[24];
        std::snprintf(bundle, sizeof bundle, "%016llx",
                      static_cast<unsigned long long>(file.bundle));
        // a name grows when it is quoted: no buffer of a fixed size holds every one
        const std::string text = std::string("{\"bundle\":\"") + bundle +
                                 "\",\"model\":" + quoted(file.model) +
                                 ",\"version\":" + std::to_string(file.version) +
                                 ",\"process\":" + std::to_string(file.process) +
                                 ",\"blocks\":" + std::to_string(file.blocks) +
                                 ",\"rows\":" + std::to_string(file.rows) + "}";
        for (auto left = std::uint64_t{text.size()};; left >>= 7) {
            texts += static_cast<char>(left < 128 ? left : left % 128 | 128);
            if (left < 128) break;
        }
        texts += text;
    }
    writer.number(1);
    writer.number(rows);
    writer.number(rows * (sizeof(std::uint64_t) + texts.size()));
    for (std::uint64_t row = 1; row <= rows; ++row) writer.number(row * files.size());
    for (std::uint64_t row = 0; row < rows; ++row) writer.bytes(texts.data(), texts.size());
    writer.flush();
}

}  // namespace

void serve_loaded(int in, int out, const std::string& folder) {
    constexpr std::uint64_t kMaxRows = 65536;
    close_inherited(in, out);
    Reader reader([in](void* to, std::size_t size) { return ::read(in, to, size); });
    Writer writer(out);
    while (!reader.at_end()) {
        const std::uint64_t columns = reader.number();
        const std::uint64_t rows = reader.number();
        if (columns == 0 && rows == 0) continue;
        if (columns != 1 || rows > kMaxRows) refuse("give one column of at most 65536 rows");
        reader.skip(reader.number());
        write_loaded(folder, rows, writer);
    }
}

}  // namespace treehouse
