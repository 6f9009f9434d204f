#include "runtime/runtime.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <mutex>

#include "runtime/actors/node_engine.hpp"
#include "runtime/actors/worker_engine.hpp"

namespace manta {

namespace {

std::mutex g_runtimes_mutex;
auto& g_runtimes = *new std::vector<Runtime*>;  // never destroyed: a runtime may be a static of the program's

double number(const std::string& flag, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
    throw InvalidArgument(flag + "=" + text + ": expected a number of 0 or more, like " + flag + "=4");
  return value;
}

/// MiB in bytes; what is beyond all memory becomes the most that there can be, to be refused with what there is.
std::uint64_t bytes_of_mib(const std::string& flag, const std::string& text) {
  constexpr double kBeyond = 18446744073709551616.0;  // 2^64
  const double bytes = number(flag, text) * (1 << 20);
  return bytes >= kBeyond ? std::numeric_limits<std::uint64_t>::max() : static_cast<std::uint64_t>(bytes);
}

void apply_resource(RuntimeOptions& options, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos)
    throw InvalidArgument("--resource=" + text + ": expected --resource=NAME=AMOUNT");
  options.resources.set(text.substr(0, equals), number("--resource=" + text.substr(0, equals), text.substr(equals + 1)));
}

void apply_workers(RuntimeOptions& options, const std::string& text) {
  if (text == "thread")
    options.workers = Workers::kThread;
  else if (text == "process")
    options.workers = Workers::kProcess;
  else
    throw InvalidArgument("--workers=" + text + ": expected --workers=thread or --workers=process");
}

void apply_file_fallback(RuntimeOptions& options, const std::string& text) {
  if (text != "on" && text != "off") throw InvalidArgument("--file-fallback=" + text + ": expected --file-fallback=on or --file-fallback=off");
  options.file_fallback = text == "on";
}

/// Applies one of the runtime's flags; false when it is none of them.
bool apply(RuntimeOptions& options, const std::string& flag, const std::string& value) {
  if (flag == "--workers") return apply_workers(options, value), true;
  if (flag == "--num-cpus") return options.num_cpus = Amount(number(flag, value)), true;
  if (flag == "--num-gpus") return options.num_gpus = Amount(number(flag, value)), true;
  if (flag == "--memory-mib") return options.memory_bytes = bytes_of_mib(flag, value), true;
  if (flag == "--memory-threshold") return options.memory_threshold = number(flag, value), true;
  if (flag == "--resource") return apply_resource(options, value), true;
  if (flag == "--arena-mib") return options.arena_bytes = bytes_of_mib(flag, value), true;
  if (flag == "--spill-dir") return options.spill_dir = value, true;
  if (flag == "--file-fallback") return apply_file_fallback(options, value), true;
  if (flag == "--durable-dir") return options.durable_dir = value, true;
  if (flag == "--log-dir") return options.log_dir = value, true;
  return false;
}

constexpr const char* kFlags[] = {"--workers",   "--num-cpus",  "--num-gpus",    "--memory-mib", "--memory-threshold", "--resource",
                                  "--arena-mib", "--spill-dir", "--durable-dir", "--log-dir",    "--file-fallback"};

bool is_flag(const std::string& name) { return std::find(std::begin(kFlags), std::end(kFlags), name) != std::end(kFlags); }

}  // namespace

RuntimeOptions Runtime::parse(int& argc, char** argv) {
  RuntimeOptions options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto equals = argument.find('=');
    const auto name = argument.substr(0, equals);
    if (argument == "--") {
      while (i < argc) argv[kept++] = argv[i++];
      break;
    }
    if (!is_flag(name)) {
      argv[kept++] = argv[i];
      continue;
    }
    if (equals == std::string::npos && i + 1 >= argc) throw InvalidArgument(name + " needs a value: " + name + "=VALUE");
    apply(options, name, equals == std::string::npos ? std::string(argv[++i]) : argument.substr(equals + 1));
  }
  argc = std::min(argc, kept);
  argv[argc] = nullptr;
  return options;
}

std::string Runtime::flags_help() {
  return "Flags of the runtime:\n"
         "  --workers=thread|process  where shared workers live (default thread)\n"
         "  --num-cpus=N              logical CPUs (default: those this process may run on)\n"
         "  --num-gpus=N              GPUs (default: those NVML finds; a number pretends)\n"
         "  --memory-mib=N            memory to promise to tasks and actors, MiB (default: 70 % of what is available)\n"
         "  --memory-threshold=SHARE  of memory in use, from which on worker processes are ended (default 0.95; 1: never)\n"
         "  --resource=NAME=AMOUNT    a custom resource; may be repeated\n"
         "  --arena-mib=N             shared memory for objects, MiB (default: 30 % of what is available)\n"
         "  --spill-dir=DIR           where objects go when the arena is full (default: a temporary folder)\n"
         "  --file-fallback=on|off    objects that find no room there lie in files (default on)\n"
         "  --durable-dir=DIR         durable objects (default: ${XDG_DATA_HOME:-~/.local/share}/manta/durable)\n"
         "  --log-dir=DIR             also write each worker process's output to a file there\n";
}

void Runtime::enter_worker_mode(int, char**) {
  if (is_zygote_process()) detail::WorkerEngine::run(run_zygote(detail::remove_left_spill));
}

Runtime Runtime::start(int& argc, char** argv) {
  enter_worker_mode(argc, argv);
  return start(parse(argc, argv));
}

Runtime Runtime::start(const RuntimeOptions& options) { return Runtime(detail::NodeEngine::start(options)); }

Runtime::Runtime(std::shared_ptr<detail::Engine> engine) : Client(std::move(engine)) {
  std::lock_guard lock(g_runtimes_mutex);
  g_runtimes.push_back(this);
}

Runtime::Runtime(Runtime&& other) noexcept : Client(std::move(other.engine_)) {
  std::lock_guard lock(g_runtimes_mutex);
  std::replace(g_runtimes.begin(), g_runtimes.end(), &other, this);
}

/// In a fork of the process that started it: whose work and workers it would end is the other one, and what it would wait for are that
/// one's threads. It is left as it is until the fork ends.
static void leave_alone(std::shared_ptr<detail::Engine> engine) {
  static auto& left = *new std::vector<std::shared_ptr<detail::Engine>>;
  left.push_back(std::move(engine));
}

Runtime::~Runtime() {
  auto* engine = static_cast<detail::NodeEngine*>(engine_.get());
  if (engine && !engine->belongs_here()) leave_alone(std::move(engine_));
  else if (engine) engine->shutdown();
  std::lock_guard lock(g_runtimes_mutex);
  std::erase(g_runtimes, this);
}

void Runtime::shutdown() {
  const auto engine = std::static_pointer_cast<detail::NodeEngine>(engine_);  // kept: another thread may wait for this, and then destroy *this
  if (!engine) return;
  if (engine->in_callback())
    throw InvalidArgument("shutdown() was called by a callback of on_ready, for which it would wait: tell another thread to end the runtime");
  engine->shutdown([this] {
    std::lock_guard lock(g_runtimes_mutex);
    std::erase(g_runtimes, this);
  });
}

Runtime& Runtime::current() {
  std::lock_guard lock(g_runtimes_mutex);
  if (g_runtimes.size() == 1) return *g_runtimes.front();
  if (!g_runtimes.empty()) throw InvalidArgument("several runtimes are running in this process: say which one");
  if (detail::WorkerEngine::runs_here())
    throw InvalidArgument("this is a worker process, and the runtime is another one's: let the task, method or constructor take a "
                          "manta::Context& as its first parameter, and use that as you would the Runtime");
  throw InvalidArgument("no runtime is running in this process: call manta::Runtime::start first");
}

}  // namespace manta
