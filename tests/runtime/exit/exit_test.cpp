// A program that leaves the end of its runtimes and its journal to its statics, which go last. What Manta and RocksDB keep in statics of their own
// was made later and had gone before: the program crashed at its exit, or aborted in RocksDB. That it exits with 0 is the test.
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "runtime/journal.hpp"
#include "runtime/runtime.hpp"

namespace {

using namespace std::chrono_literals;

void work(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
int slow(int x) { return std::this_thread::sleep_for(1ms), x; }

/// Goes last of all; what is below it is in it.
struct Folder {
  std::string path = [] {
    std::string name = std::filesystem::temp_directory_path() / "manta-exit-XXXXXX";
    if (!::mkdtemp(name.data())) std::_Exit(3);
    return name;
  }();
  ~Folder() { std::filesystem::remove_all(path); }
};

const Folder& folder() {
  static const Folder made;
  return made;
}

struct App {
  std::unique_ptr<manta::Journal> journal{};
  std::optional<manta::Runtime> rt{};
  std::vector<manta::ObjectRef<int>> refs{};
  ~App() {
    std::map<int, std::string> used;  // what has been freed is used again
    for (int i = 0; i < 300; ++i) used[i] = std::string(100, 'a');
    try {
      if (rt) rt->wait(refs, {.count = refs.size()});
    } catch (const manta::Error& e) {
      std::fprintf(stderr, "the wait of a static failed: %s\n", e.what());
      std::_Exit(2);
    }
    for (const auto& [number, text] : used)
      if (text != std::string(100, 'a')) std::_Exit(4);
  }
};

App& app() {
  static App made;
  return made;
}

manta::Runtime& singleton(const manta::RuntimeOptions& options) {
  static manta::Runtime rt = manta::Runtime::start(options);
  return rt;
}

}  // namespace

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  manta::RuntimeOptions options{.num_cpus = manta::Amount(2), .arena_bytes = 64u << 20, .durable_dir = folder().path + "/durable"};
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "journal") {
    app().journal = std::make_unique<manta::Journal>(manta::Journal::open(folder().path + "/journal"));
    app().journal->append(std::as_bytes(std::span("hello")));
  } else if (how == "app") {
    app().rt.emplace(manta::Runtime::start(options));
    for (int i = 0; i < 100; ++i) app().refs.push_back(app().rt->remote<slow>(i));
    static_cast<void>(app().rt->wait(app().refs, {.count = 1}));
  } else if (how == "singleton") {
    auto& rt = singleton(options);
    rt.get(rt.remote<work>(1));
    static_cast<void>(rt.put(7, {.durable_name = "x"}));
    for (int i = 0; i < 2; ++i) static_cast<void>(rt.remote<work>(100));
  } else {
    return 5;
  }
  return 0;
}
