#include "runtime/process/log_pump.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "runtime/process/process_info.hpp"
#include "runtime/process/zygote.hpp"
#include "tests/runtime/process/test_support.hpp"

namespace {

using manta::LogPump;
using manta::LogSource;
using manta_test::Watched;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A pump whose terminal is two pipes, each read to its end by a thread.
struct Terminal {
  std::unique_ptr<manta::Reactor> reactor = std::move(manta::Reactor::start("logs").value());
  manta::FdPair out = std::move(manta::make_pipe().value());
  manta::FdPair err = std::move(manta::make_pipe().value());
  std::string out_text, err_text;
  std::thread out_reader{[this] { out_text = manta_test::read_to_end(out.first.get()); }};
  std::thread err_reader{[this] { err_text = manta_test::read_to_end(err.first.get()); }};
  std::unique_ptr<LogPump> pump = std::make_unique<LogPump>(
      *reactor, manta::LogPumpOptions{.out_fd = out.second.get(), .err_fd = err.second.get()});
  Watched<int> closed;

  std::function<void()> on_closed() {
    return [this] { closed.update([](int& n) { ++n; }); };
  }
  bool wait_closed(int count) {
    return closed.wait([&](int n) { return n == count; });
  }
  void finish() {
    pump.reset();
    reactor->stop();
    for (manta::FdPair* pair : {&out, &err}) pair->second.reset();
    if (out_reader.joinable()) out_reader.join();
    if (err_reader.joinable()) err_reader.join();
  }
  ~Terminal() { finish(); }
};

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("manta_log_pump_test." + std::to_string(::getpid()));
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_SUITE("runtime/process") {
  TEST_CASE("lines of several workers arrive whole, in order, with their prefix, and in files as they were") {
    Folder folder;
    manta::Environment env{{"MANTA_TEST_JOB", "print_lines"}};
    auto zygote = std::move(manta::Zygote::start({}).value());
    Terminal terminal;
    std::vector<pid_t> pids;
    for (int i = 0; i < 3; ++i) {
      auto worker = zygote->spawn({.env = env}).value();
      pids.push_back(worker.pid);
      auto id = terminal.pump->add({.name = "job " + std::to_string(i),
                                    .pid = worker.pid,
                                    .out = std::move(worker.out),
                                    .err = std::move(worker.err),
                                    .file = folder.path / "deep" / (std::to_string(i) + ".log"),
                                    .on_closed = terminal.on_closed()});
      REQUIRE(id.ok());
    }
    REQUIRE(terminal.wait_closed(3));
    terminal.finish();
    for (int i = 0; i < 3; ++i) {
      const std::string prefix = "(job " + std::to_string(i) + " pid=" + std::to_string(pids[i]) + ") ";
      for (const auto& [text, name] : {std::pair(terminal.out_text, "stdout"), {terminal.err_text, "stderr"}}) {
        std::vector<std::string> expected, got;
        for (int n = 0; n < 200; ++n) expected.push_back(prefix + "line " + std::to_string(n) + " of " + name);
        if (name == std::string("stdout")) expected.push_back(prefix + "no end");
        std::vector<std::string> all = lines_of(text);
        std::copy_if(all.begin(), all.end(), std::back_inserter(got),
                     [&](const std::string& line) { return line.rfind(prefix, 0) == 0; });
        CHECK(got == expected);
      }
      const std::string file = content_of(folder.path / "deep" / (std::to_string(i) + ".log"));
      CHECK(file.find("line 199 of stderr\n") != std::string::npos);
      CHECK(std::count(file.begin(), file.end(), '\n') == 400);
    }
    CHECK(lines_of(terminal.out_text).size() == 3 * 201);
  }

  TEST_CASE("a megabyte written right before abort arrives to the last byte before on_closed") {
    Folder folder;
    manta_test::Exits exits;
    auto zygote = std::move(manta::Zygote::start({.on_exit = exits.callback()}).value());
    Terminal terminal;
    auto worker = zygote->spawn({.env = {{"MANTA_TEST_JOB", "print_much_and_abort"}}}).value();
    const auto file = folder.path / "log";
    REQUIRE(terminal.pump
                ->add({.name = "w",
                       .pid = worker.pid,
                       .out = std::move(worker.out),
                       .err = std::move(worker.err),
                       .file = file,
                       .echo = false,
                       .on_closed = terminal.on_closed()})
                .ok());
    REQUIRE(terminal.wait_closed(1));
    CHECK(exits.wait(worker.pid)->to_string() == "was killed by signal 6 (Aborted)");
    const std::string text = content_of(file);
    CHECK(text.size() >= (1 << 20));
    CHECK(text.find("the last line before the crash\n") != std::string::npos);
    terminal.finish();
    CHECK(terminal.out_text.empty());
  }

  TEST_CASE("a line that is too long is cut in pieces, and a last line without an end gets one") {
    Terminal terminal;
    auto out = manta::make_pipe().value(), err = manta::make_pipe().value();
    REQUIRE(terminal.pump
                ->add({.name = "w",
                       .pid = 5,
                       .out = std::move(out.first),
                       .err = std::move(err.first),
                       .file = {},
                       .on_closed = terminal.on_closed()})
                .ok());
    err.second.reset();
    const std::string text(150'000, 'x');
    REQUIRE(::write(out.second.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    out.second.reset();
    REQUIRE(terminal.wait_closed(1));
    terminal.finish();
    std::string joined;
    for (const std::string& line : lines_of(terminal.out_text)) {
      CHECK(line.rfind("(w pid=5) ", 0) == 0);
      CHECK(line.size() <= 10 + 65536);
      joined += line.substr(10);
    }
    CHECK(joined == text);
    CHECK(terminal.out_text.back() == '\n');
    CHECK(terminal.err_text.empty());
  }

  // An empty line of the worker's seemed to follow.
  TEST_CASE("a line of exactly as many bytes as a piece may have is one line, and empty lines stay") {
    constexpr std::size_t kPiece = 65536;
    Terminal terminal;
    auto out = manta::make_pipe().value(), err = manta::make_pipe().value();
    REQUIRE(terminal.pump
                ->add({.name = "w", .pid = 5, .out = std::move(out.first), .err = std::move(err.first), .file = {}, .on_closed = terminal.on_closed()})
                .ok());
    err.second.reset();
    const std::string x(kPiece, 'x'), y(kPiece, 'y');
    const std::string text = x + "\n\n" + y + y + "\n" + "\n\n" + x + "z";
    for (std::size_t at = 0; at < text.size();) {  // the newline comes with its line, or alone
      const auto part = std::min<std::size_t>(text.size() - at, at == 0 ? kPiece : 30'000);
      REQUIRE(::write(out.second.get(), text.data() + at, part) == static_cast<ssize_t>(part));
      at += part;
    }
    out.second.reset();
    REQUIRE(terminal.wait_closed(1));
    terminal.finish();
    std::vector<std::string> lines;
    for (const std::string& line : lines_of(terminal.out_text)) lines.push_back(line.substr(10));
    CHECK(lines == std::vector<std::string>{x, "", y, y, "", "", x, "z"});
  }

  TEST_CASE("a pipe held open by somebody else does not delay the end of a finished worker for ever") {
    Terminal terminal;
    auto out = manta::make_pipe().value(), err = manta::make_pipe().value();
    auto id = terminal.pump->add({.name = "w",
                                  .pid = 5,
                                  .out = std::move(out.first),
                                  .err = std::move(err.first),
                                  .file = {},
                                  .on_closed = terminal.on_closed()});
    REQUIRE(::write(out.second.get(), "said", 4) == 4);
    terminal.pump->finish(*id);
    terminal.pump->finish(*id + 1);
    REQUIRE(terminal.wait_closed(1));
    terminal.finish();
    CHECK(terminal.out_text == "(w pid=5) said\n");
  }

  TEST_CASE("a log file that cannot be written costs a warning, not the output") {
    Terminal terminal;
    auto out = manta::make_pipe().value(), err = manta::make_pipe().value();
    REQUIRE(terminal.pump
                ->add({.name = "w",
                       .pid = 5,
                       .out = std::move(out.first),
                       .err = std::move(err.first),
                       .file = "/proc/nothing/can/be/made/here.log",
                       .on_closed = terminal.on_closed()})
                .ok());
    REQUIRE(::write(out.second.get(), "one\ntwo\n", 8) == 8);
    out.second.reset();
    err.second.reset();
    REQUIRE(terminal.wait_closed(1));
    terminal.finish();
    CHECK(terminal.out_text == "(w pid=5) one\n(w pid=5) two\n");
  }

  TEST_CASE("a terminal that nobody reads any more does not stop the file or kill the program") {
    Folder folder;
    Terminal terminal;
    auto gone = manta::make_pipe().value();
    gone.first.reset();
    LogPump pump(*terminal.reactor, {.out_fd = gone.second.get(), .err_fd = gone.second.get()});
    auto out = manta::make_pipe().value(), err = manta::make_pipe().value();
    REQUIRE(pump.add({.name = "w",
                      .pid = 5,
                      .out = std::move(out.first),
                      .err = std::move(err.first),
                      .file = folder.path / "log",
                      .on_closed = terminal.on_closed()})
                .ok());
    REQUIRE(::write(out.second.get(), "one\ntwo\n", 8) == 8);
    out.second.reset();
    err.second.reset();
    REQUIRE(terminal.wait_closed(1));
    CHECK(content_of(folder.path / "log") == "one\ntwo\n");
  }
}
