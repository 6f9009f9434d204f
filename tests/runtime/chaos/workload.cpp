#include "tests/runtime/chaos/workload.hpp"

#include <unistd.h>

#include <map>
#include <numeric>
#include <random>
#include <sstream>

namespace manta_test {

namespace {

constexpr std::size_t kObjectBytes = 600'000;
constexpr std::size_t kKept = 60;  // 36 MB of objects beside an arena of 16 MiB

int square(int x) { return x * x; }
int slow_square(int x) {
  std::this_thread::sleep_for(2ms);
  return x * x;
}
/// The sum of [from, to) by halves, each a task.
std::int64_t sum_range(Context& ctx, int from, int to) {
  if (to - from <= 4) return std::int64_t{to - from} * (from + to - 1) / 2;
  const int middle = from + (to - from) / 2;
  auto left = ctx.task<sum_range>({.max_retries = -1}).remote(from, middle);
  auto right = ctx.task<sum_range>({.max_retries = -1}).remote(middle, to);
  return ctx.get(left) + ctx.get(right);
}

Buffer noise(std::uint64_t seed) {
  auto [buffer, bytes] = Buffer::allocate(kObjectBytes);
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i + 8 <= kObjectBytes; i += 8) {
    const auto word = random();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  return buffer;
}
std::uint64_t digest(const Buffer& buffer) {
  std::uint64_t sum = buffer.size();
  for (auto word : buffer.as<std::uint64_t>()) sum = sum * 31 + word;
  return sum;
}
std::uint64_t digest_both(const Buffer& a, const Buffer& b) { return digest(a) ^ (digest(b) << 1); }
/// A large object that a task makes for a task of its own.
std::uint64_t digest_nested(Context& ctx, std::uint64_t seed) {
  auto made = ctx.task<noise>({.max_retries = -1}).remote(seed);
  auto put = ctx.put(noise(seed + 1));
  return ctx.get(ctx.task<digest_both>({.max_retries = -1}).remote(made, put));
}

struct Squarer {
  int calls = 0;
  std::pair<int, int> square(int x) { return {x * x, ++calls}; }
  std::uint64_t weigh(const Buffer& buffer) { return ++calls, digest(buffer); }
};

/// Each call leaves a mark in a file before it answers.
struct Marker {
  std::string file;
  explicit Marker(std::string path) : file(std::move(path)) {}
  int mark(int id) { return append(file, std::to_string(id) + "\n"), id; }
};

}  // namespace

struct Actors {
  std::vector<ActorHandle<Squarer>> squarers;
  std::vector<ActorHandle<Marker>> markers;
  std::vector<std::string> files;
  int next_mark = 0;
  std::map<int, bool> answered;  // by mark: whether its call gave its value
};

Workload::Workload(Runtime& rt, std::string folder, unsigned seed)
    : rt_(rt), folder_(std::move(folder)), seed_(std::uint64_t{seed} << 32) {
  auto actors = std::make_shared<Actors>();
  for (int i = 0; i < 3; ++i) {
    const auto isolation = i == 0 ? own_process : Isolation::kShared;
    actors->squarers.push_back(rt_.actor<Squarer>({.max_restarts = -1, .max_task_retries = -1, .isolation = isolation}).spawn());
    actors->files.push_back(folder_ + "/marks-" + std::to_string(i));
    actors->markers.push_back(rt_.actor<Marker>({.max_restarts = -1, .isolation = isolation}).spawn(actors->files.back()));
  }
  actors_ = actors;
}

namespace {

constexpr auto kLimit = 60s;

template <class T>
void expect(Runtime& rt, const ObjectRef<T>& ref, const T& value, const char* what) {
  const auto result = rt.try_get(ref, SteadyClock::now() + kLimit);
  REQUIRE_MESSAGE(result.ok(), what << ": " << result.error().to_string());
  REQUIRE_MESSAGE((*result == value), what << " gave a wrong answer");
}

}  // namespace

void Workload::small_tasks() {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 60; ++i) refs.push_back(rt_.task<square>({.max_retries = -1}).remote(i));
  for (int i = 60; i < 80; ++i) refs.push_back(rt_.task<slow_square>({.max_retries = -1}).remote(i));
  for (int i = 80; i < 82; ++i) refs.push_back(rt_.task<square>({.max_retries = -1, .isolation = own_process}).remote(i));
  for (int i = 0; i < 82; ++i) expect(rt_, refs[static_cast<std::size_t>(i)], i * i, "a task");
}

void Workload::nested_tasks() {
  std::vector<ObjectRef<std::int64_t>> refs;
  for (int i = 1; i <= 4; ++i) refs.push_back(rt_.task<sum_range>({.max_retries = -1}).remote(0, 10 * i));
  for (int i = 1; i <= 4; ++i)
    expect(rt_, refs[static_cast<std::size_t>(i - 1)], std::int64_t{10 * i} * (10 * i - 1) / 2, "a nested task");
}

void Workload::large_objects() {
  std::vector<ObjectRef<std::uint64_t>> digests;
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < 6; ++i) {
    const auto seed = seed_++;
    kept_.push_back({i % 3 ? rt_.task<noise>({.max_retries = -1}).remote(seed) : rt_.put(noise(seed)), seed});
    const auto& other = kept_[seed % kept_.size()];  // an old one, that has been spilled
    digests.push_back(rt_.task<digest_both>({.max_retries = -1}).remote(kept_.back().ref, other.ref));
    expected.push_back(digest(noise(seed)) ^ (digest(noise(other.seed)) << 1));
  }
  const auto seed = seed_;
  seed_ += 2;
  digests.push_back(rt_.task<digest_nested>({.max_retries = -1}).remote(seed));
  expected.push_back(digest(noise(seed)) ^ (digest(noise(seed + 1)) << 1));
  for (std::size_t i = 0; i < digests.size(); ++i) expect(rt_, digests[i], expected[i], "a task on large objects");
  const auto& old = kept_[seed_ % kept_.size()];
  const auto value = rt_.get_shared(old.ref, SteadyClock::now() + kLimit);
  REQUIRE(digest(*value) == digest(noise(old.seed)));
  if (kept_.size() > kKept) kept_.erase(kept_.begin(), kept_.begin() + 6);
}

void Workload::retried_calls() {
  auto& actors = *static_cast<Actors*>(actors_.get());
  std::vector<ObjectRef<std::pair<int, int>>> squares;
  std::vector<ObjectRef<std::uint64_t>> weights;
  for (auto& squarer : actors.squarers) {
    for (int i = 0; i < 10; ++i) squares.push_back(squarer.call<&Squarer::square>(i));
    weights.push_back(squarer.call<&Squarer::weigh>(kept_.front().ref));
  }
  for (std::size_t i = 0; i < squares.size(); ++i) {
    const auto result = rt_.try_get(squares[i], SteadyClock::now() + kLimit);
    REQUIRE_MESSAGE(result.ok(), "a call that may be repeated: " << result.error().to_string());
    REQUIRE(result->first == static_cast<int>(i % 10 * (i % 10)));
  }
  const auto weight = digest(noise(kept_.front().seed));
  for (auto& ref : weights) expect(rt_, ref, weight, "a call with a large object");
}

void Workload::careful_calls() {
  auto& actors = *static_cast<Actors*>(actors_.get());
  std::vector<std::pair<int, ObjectRef<int>>> calls;
  for (auto& marker : actors.markers)
    for (int i = 0; i < 5; ++i) {
      const int id = actors.next_mark++;
      calls.emplace_back(id, marker.call<&Marker::mark>(id));
    }
  for (auto& [id, ref] : calls) {
    const auto result = rt_.try_get(ref, SteadyClock::now() + kLimit);
    actors.answered[id] = result.ok();
    if (result.ok()) REQUIRE(*result == id);
    if (!result.ok()) REQUIRE_MESSAGE(result.error().code == ErrorCode::kActorUnavailable, result.error().to_string());
  }
}

void Workload::round() {
  small_tasks();
  nested_tasks();
  large_objects();
  retried_calls();
  careful_calls();
  ++rounds_;
}

/// A call without retries has run once when it answered, and once or never when it did not.
void Workload::check_marks() {
  auto& actors = *static_cast<Actors*>(actors_.get());
  std::map<int, int> marks;
  for (const auto& file : actors.files) {
    std::istringstream in(content(file));
    for (int id; in >> id;) ++marks[id];
  }
  for (const auto& [id, answered] : actors.answered) {
    CAPTURE(id);
    CHECK(marks[id] <= 1);
    if (answered) CHECK(marks[id] == 1);
  }
}

void Workload::finish() {
  check_marks();
  kept_.clear();
  actors_.reset();
}

}  // namespace manta_test
