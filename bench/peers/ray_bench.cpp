// Ray's C++ API doing the work that bench/runtime measures, shaped alike. Built twice by scripts/bench --peers, with the old
// C++ ABI that Ray's library has: as the program, and as the .so that Ray's worker loads.
//
//   ray_bench OUT.csv SECONDS RUNS CODE_SEARCH_PATH
#include <ray/api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

int AddOne(int x) { return x + 1; }

class Counter {
 public:
  static Counter* Create() { return new Counter; }
  int Add(int by) { return total += by; }
  int total = 0;
};

RAY_REMOTE(AddOne, Counter::Create, &Counter::Add);

namespace {

constexpr int kBatch = 1000;
using Clock = std::chrono::steady_clock;
struct Timed {
  int operations;
  double seconds;
};
using Body = std::function<Timed(int)>;

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void Expect(bool right) {
  if (!right) std::abort();
}

int Batches(int n, const std::function<ray::ObjectRef<int>(int)>& submit) {
  const int batches = std::max(1, n / kBatch);
  for (int b = 0; b < batches; ++b) {
    std::vector<ray::ObjectRef<int>> refs;
    for (int i = 0; i < kBatch; ++i) refs.push_back(submit(i));
    Expect(ray::Get(refs).size() == kBatch);
  }
  return batches * kBatch;
}

/// A body that is timed as a whole.
Body Whole(std::function<int(int)> body) {
  return [body = std::move(body)](int n) {
    const auto start = Clock::now();
    const int done = body(n);
    return Timed{done, Since(start)};
  };
}

double Rate(const Body& body, int n) {
  const Timed timed = body(n);
  return timed.operations / timed.seconds;
}

void Measure(std::ofstream& out, const std::string& name, const std::string& unit, double seconds, int runs, const Body& body) {
  int n = 1;
  for (double rate = Rate(body, n);; rate = Rate(body, n)) {  // finds out how many fill a run; warms up
    if (n / rate * 4 >= seconds) {
      n = std::max(1, static_cast<int>(rate * seconds));
      break;
    }
    n *= 4;
  }
  std::vector<double> rates;
  for (int run = 0; run < runs; ++run) rates.push_back(Rate(body, n));
  std::sort(rates.begin(), rates.end());
  const double median = rates[rates.size() / 2], spread = (rates.back() - rates.front()) / median;
  out << name << ',' << median << ',' << unit << ',' << spread << std::endl;
  std::printf("  Ray, C++     %-20s%12.0f %-10s spread %.0f %%\n", name.c_str(), median, unit.c_str(), spread * 100);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "ray_bench OUT.csv SECONDS RUNS CODE_SEARCH_PATH\n"), 2;
  const double seconds = std::atof(argv[2]);
  const int runs = std::atoi(argv[3]);
  ray::RayConfig config;
  config.code_search_path = {argv[4]};
  config.head_args = {"--num-cpus=2", "--include-dashboard=false"};
  ray::Init(config, 1, argv);
  auto counter = ray::Actor(Counter::Create).Remote();
  Expect(*ray::Get(counter.Task(&Counter::Add).Remote(0)) == 0);
  std::ofstream out(argv[1]);
  out << "name,value,unit,spread\n" << std::fixed;
  Measure(out, "task_serial", "tasks/s", seconds, runs, Whole([](int n) {
    for (int i = 0; i < n; ++i) Expect(*ray::Get(ray::Task(AddOne).Remote(i)) == i + 1);
    return n;
  }));
  Measure(out, "task_batch_1000", "tasks/s", seconds, runs,
          Whole([](int n) { return Batches(n, [](int i) { return ray::Task(AddOne).Remote(i); }); }));
  Measure(out, "actor_serial", "calls/s", seconds, runs, Whole([&counter](int n) {
    for (int i = 0; i < n; ++i) ray::Get(counter.Task(&Counter::Add).Remote(1));
    return n;
  }));
  Measure(out, "actor_batch_1000", "calls/s", seconds, runs, Whole([&counter](int n) {
    return Batches(n, [&counter](int) { return counter.Task(&Counter::Add).Remote(1); });
  }));
  Measure(out, "put_int", "puts/s", seconds, runs, Whole([](int n) {
    for (int i = 0; i < n; ++i) ray::Put(i);
    return n;
  }));
  // No get_int: in Ray 2.60 ray::Get(ray::Put(1)) of a C++ driver never returns, tried with one object and with many.
  ray::Shutdown();
  return 0;
}
