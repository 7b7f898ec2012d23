#include "text.hpp"

#include <cstdint>
#include <cstdio>

namespace treehouse {

namespace {

constexpr std::uint32_t kNone = 0xFFFD;

// The code point at `at`, which moves behind it; kNone for a byte that belongs to none.
std::uint32_t next(const std::string& text, std::size_t& at) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    if (lead < 0x80) return lead;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4) return kNone;
    std::uint32_t code = lead & (0x3Fu >> more);
    for (int i = 0; i < more; ++i) {
        const std::size_t place = at + static_cast<std::size_t>(i);
        if (place >= text.size()) return kNone;
        const auto byte = static_cast<unsigned char>(text[place]);
        if ((byte & 0xC0) != 0x80) return kNone;
        code = code << 6 | (byte & 0x3Fu);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return kNone;
    at += static_cast<std::size_t>(more);
    return code;
}

bool steers(std::uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x61C || code == 0x200E ||
           code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x206F) || code == 0xFEFF ||
           (code >= 0xE0000 && code < 0xE0080);
}

}  // namespace

std::string visible(const std::string& text) {
    std::string shown;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t from = at;
        const std::uint32_t code = next(text, at);
        if (code == kNone || steers(code))
            shown += '?';
        else
            shown.append(text, from, at - from);
    }
    return shown;
}

std::string quoted(const std::string& text) {
    std::string json = "\"";
    const auto unit = [&json](std::uint32_t code) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", code & 0xFFFF);
        json += escaped;
    };
    for (std::size_t at = 0; at < text.size();) {
        const std::uint32_t code = next(text, at);
        if (code == '"' || code == '\\') {
            json += '\\';
            json += static_cast<char>(code);
        } else if (code >= 0x20 && code < 0x7F) {
            json += static_cast<char>(code);
        } else if (code < 0x10000) {
            unit(code);
        } else {
            unit(0xD800 + ((code - 0x10000) >> 10));
            unit(0xDC00 + ((code - 0x10000) & 0x3FF));
        }
    }
    return json + '"';
}

std::string shortened(std::string text, const std::string& folder) {
    std::size_t end = folder.rfind('/');
    if (end == std::string::npos || end == 0) return text;
    end = folder.rfind('/', end - 1);
    if (end == std::string::npos || end == 0) return text;
    for (std::size_t at = 0; (at = text.find(folder, at)) != std::string::npos; at += 3)
        text.replace(at, end, "...");
    return text;
}

}  // namespace treehouse
