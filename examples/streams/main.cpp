// What tasks can do beyond one value: a stream whose items are used while it runs, two results, results as they finish,
// retries with a back-off, a deadline, cancel.
//
//   streams                      everything on threads of this process
//   streams --workers=process    the same in worker processes
#include <chrono>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "runtime/runtime.hpp"

using namespace std::chrono_literals;

/// Blocks of numbers, made one after another; runs at most max_unread blocks ahead of its reader.
manta::Generator<std::vector<double>> blocks(int count, std::size_t size) {
  for (int i = 0; i < count; ++i) {
    std::vector<double> block(size);
    for (std::size_t k = 0; k < size; ++k) block[k] = std::sin(static_cast<double>(k) * (i + 1));
    co_yield block;
  }
}

/// Two results: each is an object of its own.
std::tuple<double, double> mean_and_spread(const std::vector<double>& block) {
  double sum = 0, squares = 0;
  for (double x : block) sum += x, squares += x * x;
  const double n = static_cast<double>(block.size());
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};
int busy_at_first(manta::Context& ctx) {
  if (ctx.attempt() < 3) throw Busy("try again");
  return ctx.attempt();
}

int sleep_ms(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}
int until_told(manta::Context& ctx) {
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  return 0;
}

int main(int argc, char** argv) try {
  manta::Runtime rt = manta::Runtime::start(argc, argv);
  if (argc > 1) throw manta::InvalidArgument("unknown flag " + std::string(argv[1]) + "; there are:\n" + manta::Runtime::flags_help());

  std::vector<manta::ObjectRef<double>> means, spreads;
  for (auto& block : rt.task<blocks>({.max_unread = 4}).remote(20, 10'000u)) {  // each block is a ref, used while the next is made
    auto [mean, spread] = rt.remote<mean_and_spread>(block);
    means.push_back(mean);
    spreads.push_back(spread);
  }
  double spread = 0;
  for (double each : rt.get(spreads)) spread += each / 20;
  std::printf("20 blocks, spread %.3f on average\n", spread);

  std::vector<manta::ObjectRef<int>> naps;
  for (int ms : {60, 5, 30}) naps.push_back(rt.task<sleep_ms>({.num_cpus = 0}).remote(ms));
  std::printf("as they finish:");
  for (auto& nap : rt.as_completed(naps)) std::printf(" %d", rt.get(nap));
  std::printf("\n");

  const auto patient = rt.task<busy_at_first>({.retry_on = manta::retry_on<Busy>, .backoff = {.initial = 10ms, .factor = 2}}).remote();
  std::printf("busy twice, then done in attempt %d\n", rt.get(patient));

  const auto late = rt.task<until_told>({.name = "late", .deadline = 50ms}).remote();
  const auto dropped = rt.task<until_told>({.name = "dropped"}).remote();
  rt.cancel(dropped);
  for (const auto& ref : {late, dropped})
    if (const auto result = rt.try_get(ref, 10s); !result)
      std::printf("%s\n", std::string(manta::to_string(result.error().code)).c_str());
  return rt.get(means).size() == 20 ? 0 : 1;
} catch (const manta::Error& e) {
  std::fprintf(stderr, "streams: %s\n", e.what());
  return 1;
}
