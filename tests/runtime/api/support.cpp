#include "support.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

extern char** environ;

namespace manta_test {

RuntimeOptions small_machine(double cpus, int gpus) {
  RuntimeOptions options;
  options.workers = workers();
  options.num_cpus = cpus;
  options.num_gpus = gpus;
  options.arena_bytes = 80u << 20;
  options.memory_threshold = 1;  // how full this machine is has nothing to do with the test
  return options;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return condition();
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::string Machine::held() const {
  const auto free = rt.available_resources(), total = rt.total_resources();
  const auto stats = rt.stats();
  if (free != total || !stats.idle()) return "free " + free.to_string() + " of " + total.to_string() + "; " + stats.to_string();
  const auto now = Holdings::now();
  const auto workers = static_cast<long>(stats.worker_processes);
  std::string left;
  auto look = [&](const std::string& what, long most) {
    if (const auto more = now.count(what) - started_.count(what); more > most)
      left += std::to_string(more) + " x " + what + " for " + std::to_string(workers) + " worker processes; ";
  };
  look("descriptor of socket", 1 + workers);  // to the zygote, and to each worker
  look("descriptor of pipe", 2 * workers);    // each one's output and errors
  return left;
}

Machine::~Machine() {
  const bool idle = eventually([this] { return held().empty(); });
  CHECK_MESSAGE(idle, "left: " << held());
}

Folder::Folder() {
  std::string name = fs::temp_directory_path() / "manta-api-test-XXXXXX";
  if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
  path = name;
}
Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

void Gate::open() { std::ofstream(path()).flush(); }

int pass(const std::string& gate, int value) {
  eventually([&] { return fs::exists(gate) || !fs::exists(fs::path(gate).parent_path()); }, 60s);
  return value;
}

void append(const std::string& file, const std::string& text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;  // its folder has gone: a destructor says it after the test has ended, and must not throw
  const auto written = ::write(fd, text.data(), text.size());
  ::close(fd);
  if (written != static_cast<ssize_t>(text.size())) throw std::runtime_error("append");
}

std::string content(const fs::path& file) {
  std::ifstream in(file);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

bool alive(int pid) {
  const auto stat = content("/proc/" + std::to_string(pid) + "/stat");
  const auto end = stat.rfind(')');
  return end != std::string::npos && end + 2 < stat.size() && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
}

std::size_t count_entries(const std::string& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : fs::directory_iterator(folder)) ++count;
  return count;
}

std::vector<int> children() {
  std::vector<int> pids;
  for (const auto& each : fs::directory_iterator("/proc/self/task")) {
    std::ifstream in(each.path() / "children");
    for (int pid; in >> pid;)
      if (alive(pid)) pids.push_back(pid);
  }
  return pids;
}

SubProgram::SubProgram(const std::string& name, const std::vector<std::string>& args) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  std::vector<std::string> words{"sub", "--sub", name};
  words.insert(words.end(), args.begin(), args.end());
  words.push_back(in_processes() ? "--workers=process" : "--workers=thread");
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int failed = ::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  out_ = pipe[0];
  if (failed) throw std::runtime_error("posix_spawn");
}

SubProgram::~SubProgram() {
  if (!waited_) ::kill(pid, SIGKILL), wait();
  ::close(out_);
}

std::string SubProgram::read_line() {
  std::string line;
  for (char c; ::read(out_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

int SubProgram::wait() {
  int status = 0;
  ::waitpid(pid, &status, 0);
  waited_ = true;
  return status;
}

}  // namespace manta_test
