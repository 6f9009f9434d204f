// Durable objects from wherever code runs: main, tasks and actors, in threads and in processes of their own.
#include <numeric>

#include "tests/runtime/api/support.hpp"

namespace manta_test {

namespace {

int put_all(Context& ctx, const std::string& prefix, std::size_t large) {
  ctx.put(std::string("small of ") + prefix, {.durable_name = prefix + "/small"});
  ctx.put(std::vector<double>(large, 0.5), {.durable_name = prefix + "/large"});
  return 2;
}
double read_both(Context& ctx, const std::string& prefix) {
  const auto large = ctx.get(ctx.find_durable<std::vector<double>>(prefix + "/large"));
  return std::accumulate(large.begin(), large.end(), 0.0) +
         static_cast<double>(ctx.get(ctx.find_durable<std::string>(prefix + "/small")).size());
}
double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }
/// Finds a large one and hands it on to another task without looking at it.
double pass_on(Context& ctx, const std::string& name) { return ctx.get(ctx.remote<sum>(ctx.find_durable<std::vector<double>>(name))); }
std::vector<std::string> names(Context& ctx, const std::string& prefix) { return ctx.list_durable(prefix); }
bool forget(Context& ctx, const std::string& name) { return ctx.remove_durable(name); }
int put_many(Context& ctx, int count) {
  for (int i = 0; i < count; ++i) ctx.put(i, {.durable_name = "many/" + std::string(2000, 'n') + std::to_string(i)});
  return count;
}
int find_as_int(Context& ctx, const std::string& name) { return ctx.get(ctx.find_durable<int>(name)); }

struct Untagged {
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
};
int put_untagged(Context& ctx) { return ctx.put(Untagged{}, {.durable_name = "untagged"}), 0; }

RuntimeOptions with_durables(const Folder& folder) {
  auto options = small_machine();
  options.durable_dir = folder / "durable";
  return options;
}

}  // namespace

TEST_SUITE("runtime/objects/durable") {
  TEST_CASE("tasks put, find, list and remove durable objects, wherever they run") {
    Folder folder;
    Machine machine(with_durables(folder));
    auto& rt = machine.rt;
    const std::size_t large = 200'000;
    for (const auto isolation : {Isolation::kShared, own_process}) {
      const std::string prefix = isolation == own_process ? "own" : "shared";
      const auto size = static_cast<double>(prefix.size() + 9);
      CHECK(rt.get(rt.task<put_all>({.isolation = isolation}).remote(prefix, large)) == 2);
      CHECK(rt.get(rt.find_durable<std::string>(prefix + "/small")) == "small of " + prefix);
      CHECK(rt.get(rt.find_durable<std::vector<double>>(prefix + "/large")) == std::vector<double>(large, 0.5));
      CHECK(rt.get(rt.task<read_both>({.isolation = isolation}).remote(prefix)) == large / 2 + size);
      CHECK(rt.get(rt.task<pass_on>({.isolation = isolation}).remote(prefix + "/large")) == large / 2);
      CHECK(rt.get(rt.task<names>({.isolation = isolation}).remote(prefix)) == std::vector{prefix + "/large", prefix + "/small"});
      CHECK(rt.get(rt.task<forget>({.isolation = isolation}).remote(prefix + "/small")));
      CHECK_FALSE(rt.get(rt.task<forget>({.isolation = isolation}).remote(prefix + "/small")));
      CHECK(rt.list_durable(prefix) == std::vector{prefix + "/large"});
    }
  }

  TEST_CASE("a list of names that is longer than a message comes whole and in order") {
    Folder folder;
    Machine machine(with_durables(folder));
    auto& rt = machine.rt;
    rt.get(rt.task<put_many>({.isolation = own_process}).remote(300));
    const auto listed = rt.get(rt.task<names>({.isolation = own_process}).remote("many/"));
    CHECK(listed.size() == 300);
    CHECK(listed == rt.list_durable("many/"));
  }

  TEST_CASE("errors reach the task that asked as they would reach main") {
    Folder folder;
    Machine machine(with_durables(folder));
    auto& rt = machine.rt;
    rt.put(std::string("text"), {.durable_name = "text"});
    auto cause_of = [&](auto&& ref) {
      const auto error = error_of<TaskError>([&] { rt.get(ref); });
      REQUIRE(error.cause);
      return *error.cause;
    };
    const auto options = TaskOptions{.isolation = own_process};
    const auto other_type = cause_of(rt.task<find_as_int>(options).remote("text"));
    CHECK(other_type.code == ErrorCode::kInvalidArgument);
    CHECK(contains(other_type.message, "\"string\", not \"i32\""));
    const auto missing = cause_of(rt.task<find_as_int>(options).remote("nothing"));
    CHECK(missing.code == ErrorCode::kNotFound);
    CHECK(contains(missing.message, "nothing"));
    CHECK(cause_of(rt.task<put_untagged>(options).remote()).code == ErrorCode::kInvalidArgument);
  }

  TEST_CASE("arrays have tags of their own") {
    Folder folder;
    Machine machine(with_durables(folder));
    auto& rt = machine.rt;
    rt.put(Array<float>{1, 2, 3}, {.durable_name = "numbers"});
    CHECK(rt.get(rt.find_durable<Array<float>>("numbers")) == Array<float>{1, 2, 3});
    const auto error = error_of<InvalidArgument>([&] { rt.find_durable<std::vector<float>>("numbers"); });
    CHECK(contains(error.message, "array of f32"));
  }
}

}  // namespace manta_test
