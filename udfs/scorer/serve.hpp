// The serving loop: blocks in, answers out, until the engine closes the pipe.
#pragma once

#include <memory>
#include <string>

#include "block.hpp"

namespace treehouse {

enum class Task { score, explain };

// Answers blocks, every row in order. What it needs to do so is kept from block to block.
class Answerer {
public:
    Answerer(int out, Task task);
    ~Answerer();
    // False at the end of the stream.
    bool answer(Reader& reader, Store& store);

private:
    class Mix;
    void answer_window(bool mixed);
    void answer_run(const Run& run);
    void answer_mix();

    Task task_;
    Block block_;
    Scratch scratch_;
    Buffer<double> answers_;
    AnswerWriter writer_;
    std::unique_ptr<Mix> mix_;
};

// Scores the block on stdin again and again, `batch` rows at a time, and prints seconds per round
// as JSON: the kernel's own time, ranking included, without parsing and pipes.
void measure(int in, Store& store, Task task, std::size_t rounds, std::size_t batch);

void serve(int in, int out, Store& store, Task task);

// Answers, for any column of one-byte numbers, which files the folder's processes have mapped.
void serve_loaded(int in, int out, const std::string& folder);

// The engine starts us with copies of its clients' sockets. Held here, a connection that the engine
// has closed would look open to its client, whose next query would wait for ever.
void close_inherited(int in, int out);

}  // namespace treehouse
