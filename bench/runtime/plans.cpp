#include "bench/runtime/plans.hpp"

#include <functional>
#include <stdexcept>

#include "bench/harness/rivals.hpp"
#include "bench/runtime/runtime_benches.hpp"
#include "bench/runtime/scale_benches.hpp"
#include "bench/runtime/storage_benches.hpp"

namespace manta::bench {
namespace {

using Make = Body (*)(Client&, const Surroundings&);

template <auto F>
constexpr Make plain = [](Client& client, const Surroundings&) { return F(client); };
template <auto F>
constexpr Make in_cpu = [](Client& client, const Surroundings&) { return in_cpu_time(F(client)); };
template <auto F>
constexpr Make with_spill_folder = [](Client& client, const Surroundings& around) { return F(client, around.spill_folder.path()); };

}  // namespace

const std::vector<Plan>& plans() {
  using enum Setting;
  static const std::vector<Plan> all = {
      {"task_serial", "tasks/s", "futex_ping_pong", kThreads, plain<task_serial>},
      {"task_batch_1000", "tasks/s", "queue_pool", kThreads, plain<task_batch_1000>, false, {"tbb_task_group"}},
      {"actor_serial", "calls/s", "futex_ping_pong", kThreads, plain<actor_serial>},
      {"actor_batch_1000", "calls/s", "queue_pool", kThreads, plain<actor_batch_1000>, false, {"tbb_task_group"}},
      {"put_int", "puts/s", "futex_ping_pong", kThreads, plain<put_int>},
      {"get_int", "gets/s", "futex_ping_pong", kThreads, plain<get_int>},
      {"refs_10k", "objects/s", "futex_ping_pong", kThreads, plain<refs_10k>},
      {"wait_1k", "rounds/s", "futex_ping_pong", kThreads, plain<wait_1k>},
      {"as_completed_1k", "rounds/s", "futex_ping_pong", kThreads, plain<as_completed_1k>},
      {"placement_group", "groups/s", "futex_ping_pong", kThreads, plain<placement_group>},
      {"task_serial_cpu", "tasks/s of CPU", "futex_ping_pong_cpu", kThreads, in_cpu<task_serial>},
      {"actor_serial_cpu", "calls/s of CPU", "futex_ping_pong_cpu", kThreads, in_cpu<actor_serial>},
      {"tasks_1m", "tasks/s", "queue_pool", kThreads, plain<tasks_1m>, true},
      {"actors_10k", "actors/s", "queue_pool", kThreads, plain<actors_10k>, true},
      {"fib_25", "tasks/s", "tbb_fib_25", kThreads, plain<fib_25>, true, {"one_thread_fib_25"}},
      {"proc_actor_spawn", "actors/s", "fork_and_exit", kThreads, plain<proc_actor_spawn>},
      {"proc_task_serial", "tasks/s", "unix_socket_ping_pong", kProcesses, plain<task_serial>},
      {"proc_task_batch_1000", "tasks/s", "unix_socket_ping_pong", kProcesses, plain<task_batch_1000>},
      {"proc_actor_serial", "calls/s", "unix_socket_ping_pong", kProcesses, plain<actor_serial>},
      {"proc_actor_batch_1000", "calls/s", "unix_socket_ping_pong", kProcesses, plain<actor_batch_1000>},
      {"put_800mib", "MiB/s", "memcpy", kBigArena, plain<put_800mib>, true},
      {"spill_write", "MiB/s", "plain_files_write", kSmallArena, with_spill_folder<spill_write>, true},
      {"spill_read", "MiB/s", "plain_files_read", kSmallArena, with_spill_folder<spill_read>, true},
  };
  return all;
}

const std::vector<MemoryPlan>& memory_plans() {
  static const std::vector<MemoryPlan> all = {{"tasks_1m_bytes", bytes_of_a_queued_task, 400},
                                              {"actors_100k_bytes", bytes_of_an_idle_actor, 2048}};
  return all;
}

RuntimeOptions options_for(Setting setting, const Surroundings& around) {
  switch (setting) {
    case Setting::kThreads: return {.workers = Workers::kThread, .spare_processes = 0};  // proc_actor_spawn: none made ahead
    case Setting::kProcesses: return {.workers = Workers::kProcess};
    case Setting::kBigArena: return {.workers = Workers::kProcess, .arena_bytes = std::uint64_t{1} << 30};
    case Setting::kSmallArena:
      return {.workers = Workers::kProcess, .arena_bytes = kSpillArena, .spill_dir = around.spill_folder.path()};
  }
  throw std::logic_error("an unknown setting");
}

Body Floors::body(const std::string& name) {
  if (name == "futex_ping_pong") return std::ref(futex_);
  if (name == "futex_ping_pong_cpu") return in_cpu_time(std::ref(futex_));
  if (name == "queue_pool") return std::ref(pool_);
  if (name == "unix_socket_ping_pong") return std::ref(socket_);
  if (name == "tbb_task_group") return tbb_task_group;
  if (name == "tbb_fib_25") return tbb_fib_25;
  if (name == "one_thread_fib_25") return one_thread_fib_25;
  if (name == "fork_and_exit") return fork_and_exit;
  if (name == "memcpy") return [copy = std::make_shared<BigCopy>()](std::size_t n) { return (*copy)(n); };
  if (name == "plain_files_write") return [files = std::make_shared<PlainFiles>()](std::size_t) { return files->write(); };
  if (name == "plain_files_read") return [files = std::make_shared<PlainFiles>()](std::size_t) { return files->read(); };
  throw std::logic_error("no floor or rival is called " + name);
}

}  // namespace manta::bench
