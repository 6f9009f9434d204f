// What actors can do beside one call at a time: several calls at once, coroutines that wait without a thread, a pool, a
// bounded queue, a limit on what waits, an actor that ends itself.
//
//   actors_example                      everything on threads of this process
//   actors_example --workers=process    the same in worker processes
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "runtime/actor_pool.hpp"
#include "runtime/queue.hpp"
#include "runtime/runtime.hpp"

using namespace std::chrono_literals;

/// Two slow reads at once, writes one at a time.
class Disk {
 public:
  int read(int block) const {
    std::this_thread::sleep_for(50ms);
    return 10 * block;
  }
  int write(int block) { return last_ = block; }

 private:
  int last_ = 0;
};

int slow_price(int item) {
  std::this_thread::sleep_for(20ms);
  return 3 * item;
}

/// A shop whose sales wait for prices: while one waits, the others go on, in the same object and without locks.
class Shop {
 public:
  manta::Async<int> sell(manta::Context& ctx, int item) {
    ++open_;
    auto price = ctx.remote<slow_price>(item);
    earned_ += co_await price;
    --open_;
    co_return earned_;
  }
  int open_sales() const { return open_; }
  int close(manta::Context& ctx) {
    ctx.exit_actor();  // after this call; the destructor runs
    return earned_;
  }

 private:
  int open_ = 0, earned_ = 0;
};

struct Solver {
  double solve(int n) const {
    double sum = 0;
    for (int i = 1; i <= n; ++i) sum += 1.0 / i;
    return sum;
  }
};

int main(int argc, char** argv) try {
  manta::Runtime rt = manta::Runtime::start(argc, argv);
  if (argc > 1) throw manta::InvalidArgument("unknown flag " + std::string(argv[1]) + "; there are:\n" + manta::Runtime::flags_help());

  auto disk = rt.actor<Disk>({.concurrency_groups = {{"read", 2}, {"write", 1}}, .max_pending_calls = 6})
                  .in_group<&Disk::read>("read")
                  .in_group<&Disk::write>("write")
                  .spawn();
  std::vector<manta::ObjectRef<int>> blocks;
  for (int i = 1; i <= 4; ++i) blocks.push_back(disk.call<&Disk::read>(i));
  const int written = rt.get(disk.call<&Disk::write>(9));  // does not wait for the reads
  int ready = 0;
  for (const auto& block : blocks) ready += block.ready();
  std::printf("wrote block %d while %s; the fourth block read is %d\n", written, ready < 4 ? "blocks were read" : "nothing was read",
              rt.get(blocks).back());

  for (int i = 0; i < 6; ++i) blocks.push_back(disk.call<&Disk::read>(i));
  try {
    disk.call<&Disk::write>(1);
  } catch (const manta::ResourceExhausted& e) {
    std::printf("one call too many: %s\n", e.info().message.c_str());
  }

  auto shop = rt.actor<Shop>().spawn();
  std::vector<manta::ObjectRef<int>> sales;
  for (int item = 1; item <= 20; ++item) sales.push_back(shop.call<&Shop::sell>(item));
  const int open = rt.get(shop.call<&Shop::open_sales>());
  rt.get(sales);
  std::printf("%s; earned %d\n", open > 1 ? "many sales were open at once" : "one sale after another", rt.get(shop.call<&Shop::close>()));

  std::vector<manta::ActorHandle<Solver>> solvers;
  for (int i = 0; i < 3; ++i) solvers.push_back(rt.actor<Solver>().spawn());
  manta::ActorPool<Solver, double> pool(rt, solvers);
  for (double sum : pool.map<&Solver::solve>(std::vector{1, 10, 100, 1000})) std::printf("%.3f ", sum);
  std::printf("from a pool of three\n");

  manta::Queue<int> queue(rt, 2);
  std::thread producer([&] {
    for (int i = 1; i <= 5; ++i) queue.put(rt, i * i);  // waits while two are in the queue
  });
  int sum = 0;
  for (int i = 1; i <= 5; ++i) sum += queue.get(rt);
  producer.join();
  std::printf("the squares in the queue sum to %d\n", sum);
  return sum == 55 ? 0 : 1;
} catch (const manta::Error& e) {
  std::fprintf(stderr, "actors_example: %s\n", e.what());
  return 1;
}
