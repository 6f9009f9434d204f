#pragma once
// What the tests of the public face share: a runtime that must be clean when a test is over, gates that tasks wait at,
// folders that go away, and a look at this and other processes.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "../clean.hpp"
#include "runtime/runtime.hpp"

namespace manta_test {

using namespace manta;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

/// Where shared workers live in this run of the tests: --workers=thread|process.
Workers workers();
inline bool in_processes() { return workers() == Workers::kProcess; }

RuntimeOptions small_machine(double cpus = 4, int gpus = 0);

/// Waits up to `limit` for the condition; false when it never came true. The limit only bounds a failure: on a busy machine
/// a new process takes seconds.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 60s);

/// A runtime that must be clean when the test is over: while it still runs, all its resources are back and it holds nothing (work,
/// queue slots, objects, pins, bytes, leases; sockets and pipes for the idle workers only); after its end, the process has what it had before.
/// Declare it before refs and handles.
class Machine {
 public:
  explicit Machine(RuntimeOptions options = small_machine()) : rt(Runtime::start(options)) {}
  ~Machine();

 private:
  /// In words; empty when it is idle.
  std::string held() const;
  const Clean outside_{};  // goes last

 public:
  Runtime rt;

 private:
  const Holdings started_ = Holdings::now();
};

/// A fresh folder that goes away.
class Folder {
 public:
  Folder();
  ~Folder();
  fs::path operator/(const std::string& name) const { return path / name; }
  fs::path path;
};

/// A file that tasks of any process wait for.
class Gate {
 public:
  std::string path() const { return folder_ / "open"; }
  void open();
  ~Gate() { open(); }

 private:
  Folder folder_;
};
/// Waits for the gate at most a minute; returns `value`.
int pass(const std::string& gate, int value);

void append(const std::string& file, const std::string& text);
std::string content(const fs::path& file);

/// True while the process runs (a zombie does not).
bool alive(int pid);
std::size_t count_entries(const std::string& folder);
std::vector<int> children();

/// Runs this program again as `--sub name args…`.
class SubProgram {
 public:
  SubProgram(const std::string& name, const std::vector<std::string>& args);
  ~SubProgram();
  std::string read_line();   ///< of its stdout
  int wait();                ///< its wait status
  int pid = 0;

 private:
  int out_ = -1;
  bool waited_ = false;
};
int run_sub_program(const std::string& name, const std::vector<std::string>& args);

/// The error of a ref as the exception's class; the test fails when there is none.
template <class E, class F>
ErrorInfo error_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.info();
  } catch (const std::exception& e) {
    FAIL_CHECK("another error: " << std::string(e.what()));
    return {};
  }
  FAIL_CHECK("no error");
  return {};
}
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace manta_test
