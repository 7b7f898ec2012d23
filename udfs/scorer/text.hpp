// Text of model files and errors, for whoever reads it: names may hold anything.
#pragma once

#include <string>

namespace treehouse {

// The same as UTF-8 on one line: '?' for what is not UTF-8, controls, and characters that turn
// the direction of text.
std::string visible(const std::string& text);

// As a JSON string in ASCII; U+FFFD for what is not UTF-8.
std::string quoted(const std::string& text);

// The text with the end of a folder's path in place of all of it: where the server keeps its data is
// nothing for whoever asks a query.
std::string shortened(std::string text, const std::string& folder);

}  // namespace treehouse
