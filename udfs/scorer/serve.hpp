// The serving loop: blocks in, answers out, until the engine closes the pipe.
#pragma once

#include "block.hpp"

namespace treehouse {

enum class Task { score, explain };

// Answers every row of a block, in order.
void answer_block(const Block& block, Task task, Scratch& scratch, Buffer<double>& answers,
                  AnswerWriter& writer);

// Scores the block on stdin again and again, `batch` rows at a time, and prints seconds per round
// as JSON: the kernel's own time, ranking included, without parsing and pipes.
void measure(int in, Store& store, Task task, std::size_t rounds, std::size_t batch);

void serve(int in, int out, Store& store, Task task);

// Answers, for any column of one-byte numbers, which files the folder's processes have mapped.
void serve_loaded(int in, int out, const std::string& folder);

// The engine starts us with copies of its clients' sockets. Held here, a connection that the engine
// has closed would look open to its client, whose next query would wait for ever.
void close_inherited(int in, int out);

// A text as a JSON string.
std::string quoted(const std::string& text);

}  // namespace treehouse
