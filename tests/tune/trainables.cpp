#include "trainables.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "support.hpp"

namespace manta::tune::testing {

namespace {

void report_point(TrialContext& ctx, const Config& config) {
  const auto t = static_cast<double>(ctx.iteration() + 1);
  ctx.report({{"loss", config.get<double>("x") + 1 / t}, {"t", t}},
             [&](const std::filesystem::path& dir) { write_text(dir / "t", std::to_string(ctx.iteration() + 1)); });
}

void check_checkpoint(TrialContext& ctx) {
  if (auto dir = ctx.checkpoint())
    if (text_of(*dir / "t") != std::to_string(ctx.iteration())) throw std::logic_error("not the checkpoint of this iteration");
}

int square(int n) { return n * n; }

struct Adder {
  int base;
  explicit Adder(int start) : base(start) {}
  int add(int n) { return base + n; }
};

}  // namespace

void train_curve(TrialContext& ctx, const Config& config) {
  check_checkpoint(ctx);
  std::printf("hello from %s\n", ctx.name().c_str());
  std::fflush(stdout);
  while (ctx.iteration() < kIterations) report_point(ctx, config);
}

void train_slowly(TrialContext& ctx, const Config& config, int pause_ms) {
  check_checkpoint(ctx);
  std::ofstream told(ctx.dir() / "told", std::ios::app);
  while (ctx.iteration() < kIterations) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    report_point(ctx, config);
    told << ctx.id() + " " + std::to_string(ctx.iteration()) + "\n" << std::flush;  // one write
  }
}

void train_faulty(TrialContext& ctx, const Config& config, const std::string& mark_dir) {
  check_checkpoint(ctx);
  const auto mark = std::filesystem::path(mark_dir) / ctx.id();
  const bool first = !std::filesystem::exists(mark);
  const auto fault = config.get<std::string>("fault");
  write_text(mark, "was here");
  if (fault == "silent") return;
  if (fault == "no_metric") ctx.report({{"accuracy", 1}});
  while (ctx.iteration() < kIterations) {
    if (first && ctx.iteration() == 3) {
      if (fault == "kill") ::kill(::getpid(), SIGKILL);
      if (fault == "throw") throw std::runtime_error("the data is bad");
    }
    if (fault == "nan")
      ctx.report({{"loss", NAN}});
    else
      report_point(ctx, config);
  }
}

void train_with_tasks(TrialContext& ctx, const Config& config) {
  std::vector<ObjectRef<int>> squares;
  for (int i = 0; i < config.get<int>("n"); ++i) squares.push_back(ctx.runtime().remote<square>(i));
  double sum = 0;
  for (int value : ctx.runtime().get(squares)) sum += value;
  const auto adder = ctx.runtime().actor<Adder>().spawn(1000);
  ctx.report({{"loss", sum}, {"by_actor", ctx.runtime().get(adder.call<&Adder::add>(static_cast<int>(sum)))}});
}

void train_deaf(TrialContext& ctx, const Config&) {
  ctx.report({{"loss", 1}});
  try {
    ctx.report({{"loss", 2}});
  } catch (...) {
    for (;;) ::pause();
  }
}

void train_telling(TrialContext& ctx, const Config&) {
  std::string line = "cpus " + ctx.num_cpus().to_string() + " gpus";
  for (const int id : ctx.gpu_ids()) line += " " + std::to_string(id);
  const std::string before = text_of(ctx.dir() / "seen");
  write_text(ctx.dir() / "seen", before + line + "\n");
  while (ctx.iteration() < 2) ctx.report({{"loss", 1}}, [](const std::filesystem::path&) {});
}

void train_in_bundles(TrialContext& ctx, const Config&) {
  const int root = ctx.runtime().get(ctx.runtime().task<square>({.placement = ctx.placement_group().bundle(1)}).remote(6));
  ctx.report({{"loss", root + 6}});
}

/// A socket whose other end has the name of a desk.
static bool is_at_desk(int fd) {
  sockaddr_un peer{};
  socklen_t length = sizeof(peer);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0 || peer.sun_family != AF_UNIX) return false;
  return std::string_view(peer.sun_path + 1, sizeof(peer.sun_path) - 1).starts_with("manta-tune-");
}

void train_at_desk(TrialContext& ctx, const Config&) {
  double connected = 0;
  for (int fd = 0; fd < 1024; ++fd) connected += is_at_desk(fd);
  for (int i = 0; i < 2; ++i) ctx.report({{"loss", 1}, {"connected", connected}});
}

void train_pid(TrialContext& ctx, const Config&) { ctx.report({{"loss", 1}, {"pid", ::getpid()}}); }

void train_stuck(TrialContext& ctx, const Config&) {
  ctx.report({{"loss", 1}});
  for (;;) ::pause();
}

void train_quickly(TrialContext& ctx, const Config&) {
  while (ctx.iteration() < 1000) ctx.report({{"loss", ctx.iteration() + 1}});
}

static int setups = 0;
void Resettable::setup(TrialContext&, const Config&) { ++setups; }
bool Resettable::reset_config(TrialContext&, const Config& config) {
  ++resets;
  return config.get<bool>("reset");
}
Metrics Resettable::step() { return {{"loss", 1}, {"setups", setups}, {"resets", resets}, {"pid", ::getpid()}}; }

void Counter::setup(TrialContext&, const Config& config, const std::string& text) {
  by = config.get<double>("by");
  value = static_cast<double>(text.size());
}
Metrics Counter::step() { return {{"value", value += by}}; }
void Counter::save(const std::filesystem::path& dir) { write_text(dir / "value", std::to_string(value)); }
void Counter::load(const std::filesystem::path& dir) { value = std::stod(text_of(dir / "value")); }

void Weighted::setup(TrialContext& ctx, const Config&, const std::vector<double>& weights, const ObjectRef<double>& ref) {
  sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  more = ctx.runtime().get(ref);
}
Metrics Weighted::step() { return {{"loss", sum}, {"more", more}}; }

int run_driver(int argc, char** argv) {
  Runtime rt = Runtime::start(argc, argv);
  TuneOptions options{.name = "killed",
                      .metric = "loss",
                      .num_samples = 4,
                      .space = {{"x", uniform(0, 1)}},
                      .seed = 5,
                      .results_dir = argv[2],
                      .resume = true,
                      .isolation = std::string(argv[4]) == "thread" ? Isolation::kShared : own_process};
  const ResultGrid grid = run<train_slowly>(rt, options, std::stoi(argv[3]));
  return grid.interrupted() ? 128 + grid.signal() : 0;
}

}  // namespace manta::tune::testing
