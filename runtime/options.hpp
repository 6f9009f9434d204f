#pragma once
// The options of the runtime, of tasks, actors, put and wait. Plain structs for designated initialisers; every field has a
// default; limits name their unit.
//
//   rt.task<train>({.name = "fit", .num_cpus = 2, .max_retries = 0, .isolation = manta::own_process}).remote(x);
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "runtime/base/amount.hpp"

namespace manta {

/// Where a task or actor runs. kShared: on the runtime's workers (threads of this process, or shared worker processes).
/// kOwnProcess: in a process of its own, so that a crash costs nobody else; ended when the task or actor ends.
enum class Isolation : std::uint8_t { kShared, kOwnProcess };
inline constexpr Isolation own_process = Isolation::kOwnProcess;

/// What a task needs and what happens when it fails. Bad values give InvalidArgument at submit, amounts that no machine
/// has InfeasibleResources with what there is.
struct TaskOptions {
  std::string name{};           ///< for messages; default: the function's name
  Amount num_cpus{1};           ///< logical CPUs held while it runs; 0 is allowed
  Amount num_gpus{0};           ///< a fraction shares one GPU with others; above 1 only whole numbers
  Resources resources{};        ///< custom resources by name
  int max_retries{3};           ///< runs again this often when its worker process died; -1: without end
  Isolation isolation{Isolation::kShared};
  std::map<std::string, std::string> env{};  ///< environment of its process; needs own_process
  std::filesystem::path log_file{};          ///< own_process: stdout and stderr are also written here
  bool echo_output{true};                    ///< own_process: print its output on the driver's terminal, with a prefix
};

/// What an actor holds for life and what happens when its process dies.
struct ActorOptions {
  std::string name{};         ///< for messages; default: the class's name
  Amount num_cpus{0};         ///< held for life; 0: an idle actor costs nothing
  Amount num_gpus{0};         ///< as for tasks
  Resources resources{};
  int max_restarts{0};        ///< constructed again this often when its process died; -1: without end
  int max_task_retries{0};    ///< calls that were in flight then run again this often; 0: at most once
  Isolation isolation{Isolation::kShared};
  std::map<std::string, std::string> env{};
  std::filesystem::path log_file{};
  bool echo_output{true};
};

struct PutOptions {
  std::string durable_name{};  ///< not empty: also kept on disk under this name, synced, for later runs
  std::string type_tag{};      ///< says what the bytes are to next year's build; default: the type's standard tag
};

struct WaitOptions {
  std::size_t count{1};                               ///< return as soon as this many are ready
  std::optional<std::chrono::nanoseconds> timeout{};  ///< or after this time, whatever is ready; none: wait for ever
};

enum class Workers : std::uint8_t { kThread, kProcess };

/// How the runtime is started. `Runtime::start(argc, argv)` fills it from --workers=thread|process, --num-cpus=N,
/// --num-gpus=N, --resource=NAME=AMOUNT, --arena-mib=N, --spill-dir=DIR, --durable-dir=DIR, --log-dir=DIR.
struct RuntimeOptions {
  Workers workers{Workers::kThread};
  std::optional<Amount> num_cpus{};              ///< default: the CPUs this process may run on
  std::optional<Amount> num_gpus{};              ///< default: what NVML finds; a number pretends
  Resources resources{};
  std::optional<std::uint64_t> arena_bytes{};    ///< default: 30 % of the memory that is available
  std::uint64_t inline_bytes{100 * 1024};        ///< larger values go to the arena when they leave their process
  std::filesystem::path spill_dir{};             ///< default: a fresh folder in manta-spill-UID (0700) in the temporary directory
  std::filesystem::path durable_dir{};           ///< default: ${XDG_DATA_HOME:-~/.local/share}/manta/durable
  std::filesystem::path log_dir{};               ///< worker output is also written here, one file each; default: none
  std::chrono::milliseconds shutdown_timeout{5000};  ///< how long the destructor waits for running work
};

}  // namespace manta
