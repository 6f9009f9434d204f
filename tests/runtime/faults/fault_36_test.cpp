// Fault 36: a fork bomb of tasks.
#include "../api/support.hpp"

namespace manta_test {
namespace {

/// Submits itself again and again, until the file is there.
int bomb(Context& ctx, const std::string& stop, int depth) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 1'000'000 && !fs::exists(stop); ++i) refs.push_back(ctx.remote<bomb>(stop, depth + 1));
  return depth;
}
int square(int x) { return x * x; }
int spread(Context& ctx, int count) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < count; ++i) refs.push_back(ctx.remote<square>(i));
  return static_cast<int>(ctx.get(refs).size());
}
/// Of each kind of argument that may take much.
int hold(const std::string& gate, const std::string& text, const std::vector<std::vector<double>>& rows, const Buffer& bytes) {
  return pass(gate, static_cast<int>(text.size() + rows.size() + bytes.size()));
}
int parent_of_one(Context& ctx, const std::string&) { return ctx.get(ctx.remote<square>(3)); }
Buffer buffer_of(std::size_t size) { return Buffer::copy(std::vector<std::byte>(size)); }

RuntimeOptions low_limit() {
  auto options = small_machine(2);
  options.max_queued_bytes = 32 * 1024;
  options.submit_timeout = 200ms;
  return options;
}

}  // namespace

TEST_SUITE("runtime/faults") {
  TEST_CASE("fault 36: a fork bomb is held up at the limit, then gets ResourceExhausted that names it; others go on") {
    Folder folder;
    const auto stop = (folder / "stop").string();
    Machine machine(low_limit());
    auto& rt = machine.rt;
    const auto root = rt.remote<bomb>(stop, 0);
    const auto error = error_of<TaskError>([&] { rt.get(root, 60s); });
    REQUIRE(error.cause);
    CHECK(error.cause->code == ErrorCode::kResourceExhausted);
    CHECK_MESSAGE(contains(error.message, "max_queued_bytes"), error.message);
    CHECK(contains(error.cause->where, "bomb"));
    if (in_processes()) CHECK(rt.get(rt.remote<square>(3), 60s) == 9);  // another submitter has its own limit
    append(stop, "x");
    CHECK(eventually([&] { return rt.available_resources() == rt.total_resources(); }, 60s));
    CHECK(rt.get(rt.remote<square>(4), 60s) == 16);
  }

  TEST_CASE("fault 36: a submit that is held up goes on as soon as there is room") {
    auto options = low_limit();
    for (const auto timeout : {std::chrono::milliseconds(60s), std::chrono::milliseconds::max()}) {  // the latter was none at all
      options.submit_timeout = timeout;
      Machine machine(options);
      auto& rt = machine.rt;
      std::vector<ObjectRef<int>> refs;
      for (int i = 0; i < 2000; ++i) refs.push_back(rt.remote<square>(i));
      for (int i = 0; i < 2000; ++i) REQUIRE(rt.get(refs[static_cast<std::size_t>(i)]) == i * i);
      CHECK(rt.get(rt.remote<spread>(500), 60s) == 500);  // of a worker process the limits are the same
    }
  }

  // With threads a task counted 512 bytes, whatever it was given; with processes what was too large for a message counted nothing.
  TEST_CASE("fault 36: what arguments by value take counts, wherever the tasks run, until they are handed to a worker") {
    constexpr std::size_t kMiB = 1 << 20;
    auto options = small_machine(1);
    options.max_queued_bytes = 8 * kMiB;
    options.submit_timeout = 200ms;
    Machine machine(options);
    auto& rt = machine.rt;
    Gate gate;
    const auto running = rt.remote<hold>(gate.path(), "", std::vector<std::vector<double>>{}, Buffer());
    CHECK(eventually([&] { return contains(rt.explain(running), "runs since "); }));
    const std::string text(kMiB, 'x');
    const std::vector<std::vector<double>> rows(64, std::vector<double>(2048));
    for (const int kind : {0, 1, 2}) {
      CAPTURE(kind);
      std::vector<ObjectRef<int>> refs;
      CHECK_THROWS_AS(
          [&] {
            for (int i = 0; i < 40; ++i)
              refs.push_back(rt.remote<hold>(gate.path(), kind == 0 ? text : "", kind == 1 ? rows : std::vector<std::vector<double>>{},
                                             kind == 2 ? buffer_of(kMiB) : Buffer()));
          }(),
          ResourceExhausted);
      CHECK(refs.size() == 8);
      CHECK(rt.stats().queued_bytes > 8 * kMiB);
      CHECK(rt.stats().queued_bytes < 9 * kMiB);
      for (const auto& ref : refs) rt.cancel(ref);
      CHECK(eventually([&] { return rt.stats().queued_bytes < kMiB; }));
    }
    const auto shared = buffer_of(kMiB);  // there is one of it, and the tasks are not why
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 20; ++i) refs.push_back(rt.remote<hold>(gate.path(), "", std::vector<std::vector<double>>{}, shared));
    CHECK(rt.stats().queued_bytes < kMiB);
    gate.open();
    CHECK(rt.get(refs, 60s) == std::vector<int>(20, static_cast<int>(kMiB)));
    CHECK(rt.get(running, 60s) == 0);
  }

  TEST_CASE("fault 36: a task that runs may submit others, however much it was given itself") {
    auto options = small_machine(1);
    options.max_queued_bytes = 1 << 20;
    options.submit_timeout = 20s;
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK(rt.get(rt.remote<parent_of_one>(std::string(8 << 20, 'x')), 60s) == 9);
  }

  TEST_CASE("what a value holds beside its own size is told by its type, or by its elements") {
    using detail::held_bytes, detail::kHoldsBytes;
    struct Plain {
      int a;
      double b;
    };
    static_assert(!kHoldsBytes<int> && !kHoldsBytes<Plain> && !kHoldsBytes<std::pair<int, double>> && !kHoldsBytes<std::array<Plain, 9>>);
    static_assert(!kHoldsBytes<std::optional<std::tuple<int, Plain>>> && kHoldsBytes<std::tuple<int, std::string>>);
    CHECK(held_bytes(std::string("short")) == 0);
    CHECK(held_bytes(std::string(1000, 'x')) == 1000);
    CHECK(held_bytes(std::vector<double>(100)) == 800);
    CHECK(held_bytes(std::vector<bool>(800)) == 100);
    CHECK(held_bytes(std::vector<std::string>(3, std::string(1000, 'x'))) == 3 * (sizeof(std::string) + 1000));
    CHECK(held_bytes(std::map<int, int>{{1, 2}, {3, 4}}) >= 2 * sizeof(std::pair<const int, int>));
    CHECK(held_bytes(std::map<int, std::string>{{1, std::string(1000, 'x')}}) > 1000);
    CHECK(held_bytes(std::optional<std::string>()) == 0);
    CHECK(held_bytes(std::tuple{1, std::pair{std::string(1000, 'x'), 2}}) == 1000);
    CHECK(held_bytes(Array<double>{1, 2, 3}) == 24);
    const auto one = buffer_of(1000), two = one;
    CHECK(held_bytes(buffer_of(1000)) == 1000);
    CHECK(held_bytes(two) == 0);
  }
}

}  // namespace manta_test
