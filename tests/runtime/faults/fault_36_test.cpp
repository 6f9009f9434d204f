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
    options.submit_timeout = 60s;
    Machine machine(options);
    auto& rt = machine.rt;
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 2000; ++i) refs.push_back(rt.remote<square>(i));
    for (int i = 0; i < 2000; ++i) REQUIRE(rt.get(refs[static_cast<std::size_t>(i)]) == i * i);
  }
}

}  // namespace manta_test
