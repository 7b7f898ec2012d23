// treehouse-scorer: scores rows inside ClickHouse as an executable UDF.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "refusal.hpp"
#include "serve.hpp"
#include "text.hpp"

#ifndef TREEHOUSE_SOURCE_HASH
#define TREEHOUSE_SOURCE_HASH "unknown"
#endif

namespace treehouse {
namespace {

constexpr char kUsage[] =
    "usage: treehouse-scorer [--files FOLDER]      answer blocks from stdin\n"
    "       treehouse-scorer explain [--files FOLDER]  the same with each input's contribution\n"
    "       treehouse-scorer loaded [--files FOLDER]   which files all processes have mapped\n"
    "       treehouse-scorer --check FILE [--json] check a model file and say what it is\n"
    "       treehouse-scorer --measure ROUNDS [--batch ROWS] [--files FOLDER]\n"
    "                                              score a block again and again, print seconds\n"
    "       treehouse-scorer --version\n";

// Model files lie beside the folder of user scripts: ../user_files/treehouse.
std::string default_folder() {
    char path[4096];
    const ::ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    if (length <= 0) refuse("cannot find the scorer's own folder: pass --files FOLDER");
    std::string exe(path, static_cast<std::size_t>(length));
    return exe.substr(0, exe.rfind('/')) + "/../user_files/treehouse";
}

std::string listed(const Bundle& bundle, bool heads, std::size_t first, std::size_t count) {
    std::string json = "[";
    for (std::size_t i = 0; i < count; ++i) {
        if (i != 0) json += ',';
        json += quoted(heads ? bundle.head_name(first + i) : bundle.input_name(first + i));
    }
    return json + "]";
}

void check(const char* path, bool as_json) {
    const auto bundle = Bundle::open(path);
    const FileHead& head = bundle->head();
    unsigned long long trees = 0, nodes = 0;
    for (const Forest& forest : bundle->forests) {
        trees += forest.head->n_trees;
        nodes += forest.head->n_nodes;
    }
    if (!as_json) {
        std::printf("%s: %u forests, %llu trees, %llu nodes, %u heads, %u numeric and %u "
                    "categorical inputs, %llu bytes\n",
                    visible(bundle->label()).c_str(), head.n_forests, trees, nodes, head.n_heads,
                    head.n_numeric, head.n_categorical,
                    static_cast<unsigned long long>(head.length));
        return;
    }
    const std::string heads = listed(*bundle, true, 0, head.n_heads);
    const std::string numeric = listed(*bundle, false, 0, head.n_numeric);
    const std::string categorical = listed(*bundle, false, head.n_numeric, head.n_categorical);
    std::printf("{\"model\":%s,\"version\":%u,\"contract\":%s,\"heads\":%s,\"numeric\":%s,"
                "\"categorical\":%s,\"forests\":%u,\"trees\":%llu,\"nodes\":%llu,\"bytes\":%llu}\n",
                quoted(bundle->model()).c_str(), head.version, quoted(bundle->contract()).c_str(),
                heads.c_str(), numeric.c_str(), categorical.c_str(), head.n_forests, trees, nodes,
                static_cast<unsigned long long>(head.length));
}

int start(int count, char** arguments) {
    std::string folder;
    const char* file = nullptr;
    bool json = false, loaded = false;
    Task task = Task::score;
    std::size_t rounds = 0, batch = kWalkChunk;
    for (int i = 1; i < count; ++i) {
        const char* argument = arguments[i];
        const bool has_value = i + 1 < count;
        if (std::strcmp(argument, "explain") == 0) {
            task = Task::explain;
        } else if (std::strcmp(argument, "loaded") == 0) {
            loaded = true;
        } else if (std::strcmp(argument, "--files") == 0 && has_value) {
            folder = arguments[++i];
        } else if (std::strcmp(argument, "--check") == 0 && has_value) {
            file = arguments[++i];
        } else if (std::strcmp(argument, "--measure") == 0 && has_value) {
            rounds = std::strtoul(arguments[++i], nullptr, 10);
        } else if (std::strcmp(argument, "--batch") == 0 && has_value) {
            batch = std::strtoul(arguments[++i], nullptr, 10);
        } else if (std::strcmp(argument, "--json") == 0) {
            json = true;
        } else if (std::strcmp(argument, "--version") == 0) {
            std::printf("treehouse-scorer %s, model format %u\n", TREEHOUSE_SOURCE_HASH,
                        kFormatVersion);
            return 0;
        } else {
            std::fputs(kUsage, stderr);
            return 2;
        }
    }
    if (file != nullptr) {
        check(file, json);
        return 0;
    }
    if (folder.empty()) folder = default_folder();
    try {
        if (loaded) {
            serve_loaded(STDIN_FILENO, STDOUT_FILENO, folder);
            return 0;
        }
        Store store(folder);
        if (rounds != 0)
            measure(STDIN_FILENO, store, task, rounds, batch);
        else
            serve(STDIN_FILENO, STDOUT_FILENO, store, task);
    } catch (const Refusal& refusal) {
        throw Refusal(shortened(refusal.what(), folder));
    }
    return 0;
}

}  // namespace
}  // namespace treehouse

int main(int count, char** arguments) {
    try {
        return treehouse::start(count, arguments);
    } catch (const std::exception& error) {
        const std::string text = treehouse::visible(error.what());  // one line, whatever names hold
        std::fprintf(stderr, "treehouse-scorer: %s\n", text.c_str());
        return 1;
    }
}
