// Durable objects: the names of types, and the folders where they lie.
#include <fstream>
#include <iostream>

#include "support.hpp"

namespace manta_test {

namespace {

Buffer say_and_make(std::size_t bytes) {
  std::cout << "says something for the log" << std::endl;
  return Buffer::copy(std::vector<std::byte>(bytes));
}

/// Where the program is, until the test ends.
class CurrentFolder {
 public:
  explicit CurrentFolder(const fs::path& path) : before_(fs::current_path()) { go(path); }
  ~CurrentFolder() { fs::current_path(before_); }
  CurrentFolder(const CurrentFolder&) = delete;
  static void go(const fs::path& path) {
    fs::create_directories(path);
    fs::current_path(path);
  }

 private:
  const fs::path before_;
};

template <class Put, class Found = Put>
void check_tag(Runtime& rt, const Put& value) {
  CAPTURE(std::string(TypeTag<Put>::value));
  rt.put(value, {.durable_name = "value"});
  CHECK(rt.get(rt.find_durable<Found>("value")) == Found(value));
}
/// By itself, in a vector and in an Array.
template <class T>
void check_number(Runtime& rt, T value) {
  check_tag(rt, value);
  check_tag(rt, std::vector<T>{value, T()});
  if constexpr (!std::is_same_v<T, bool>) check_tag(rt, Array<T>{value, T()});
}

int save_when_told(Context& ctx, const std::string& log, int number) {
  append(log, "runs;");
  while (!ctx.cancelled()) std::this_thread::sleep_for(1ms);
  ctx.put(number, {.durable_name = "saved-" + std::to_string(number)});
  return number;
}
struct Saver {
  int run(Context& ctx, const std::string& log, int number) { return save_when_told(ctx, log, number); }
};

}  // namespace

TEST_SUITE("runtime/api/durables") {
  TEST_CASE("numbers of all kinds, vectors and Arrays of them have standard tags, and integers of one size the same") {
    Folder folder;
    auto options = small_machine();
    options.durable_dir = folder / "durable";
    Machine machine(options);
    auto& rt = machine.rt;
    check_number(rt, true);
    check_number(rt, 'x');
    check_number(rt, std::int8_t{-8});
    check_number(rt, std::uint8_t{200});
    check_number(rt, short{-300});
    check_number(rt, std::uint16_t{60'000});
    check_number(rt, -5);
    check_number(rt, 5u);
    check_number(rt, -5L);
    check_number(rt, -5LL);
    check_number(rt, 5UL);
    check_number(rt, ~0ULL);
    check_number(rt, 0.5F);
    check_number(rt, 0.5);
    check_tag(rt, std::vector<std::byte>{std::byte{1}});
    check_tag<long long, std::int64_t>(rt, 1LL << 40);
    check_tag<std::int64_t, long long>(rt, 1LL << 40);
    rt.put(std::uint8_t{1}, {.durable_name = "value"});
    CHECK_THROWS_AS(rt.find_durable<std::int8_t>("value"), InvalidArgument);
  }

  TEST_CASE("one folder for what is spilled and for what is to last is refused at the start, whatever it is called") {
    // The story: after a kill -9 of all processes the next run put a durable object beside what was spilled, and the one after deleted both.
    Folder folder;
    const CurrentFolder here(folder.path);
    fs::create_directory("real");
    fs::create_directory_symlink("real", "link");
    auto options = small_machine();
    for (const auto& [spill, durable] : {std::pair<fs::path, fs::path>{"new", "new"}, {"new", folder / "new/"}, {"real", "link"}, {"./a/../new", "new"}}) {
      options.spill_dir = spill, options.durable_dir = durable;
      const auto error = error_of<InvalidArgument>([&] { Runtime::start(options); });
      CHECK_MESSAGE(contains(error.message, "two folders"), error.message);
    }
    options.spill_dir = "real/spill", options.durable_dir = "link";
    Machine machine(options);
    machine.rt.put(1, {.durable_name = "value"});
    CHECK(machine.rt.get(machine.rt.find_durable<int>("value")) == 1);
  }

  TEST_CASE("a durable object is not put where a killed program has spilled: the next one that spills there would delete it") {
    Folder folder;
    auto options = small_machine();
    options.durable_dir = folder / "spilled";
    fs::create_directory(options.durable_dir);
    std::ofstream(options.durable_dir / "MANTA_SPILL") << "left by a program that was killed\n";
    {
      Machine machine(options);
      const auto error = error_of<InvalidArgument>([&] { machine.rt.put(1, {.durable_name = "value"}); });
      CHECK_MESSAGE(contains(error.message, options.durable_dir.string()), error.message);
    }
    CHECK(fs::exists(options.durable_dir / "MANTA_SPILL"));
    fs::remove(options.durable_dir / "MANTA_SPILL");
    Machine machine(options);
    machine.rt.put(1, {.durable_name = "value"});
  }

  TEST_CASE("relative folders are meant from where the program is when it starts the Runtime") {
    // The story: they were looked up at the first use, and a zygote that cleaned up after a killed driver looked elsewhere.
    Folder folder;
    const CurrentFolder here(folder / "at the start");
    auto options = small_machine();
    options.arena_bytes = 8u << 20;
    options.spill_dir = "spill", options.durable_dir = "durable", options.log_dir = "log";
    Machine machine(options);
    CurrentFolder::go(folder / "later");
    auto& rt = machine.rt;
    rt.put(1, {.durable_name = "value"});
    std::vector<ObjectRef<Buffer>> refs;
    while (rt.stats().spilled_objects == 0 && refs.size() < 200) {
      refs.push_back(rt.task<say_and_make>({.isolation = own_process}).remote(std::size_t{1} << 20));
      rt.wait(std::vector{refs.back()});
    }
    CHECK(rt.stats().spilled_objects > 0);
    for (const std::string name : {"spill", "durable"}) CHECK_MESSAGE(fs::exists(folder / "at the start" / name), name);
    CHECK(eventually([&] { return fs::exists(folder / "at the start/log"); }));
    CHECK(fs::is_empty(folder / "later"));
  }

  // On threads of the driver it was refused, and the checkpoint lost; in worker processes it was kept.
  TEST_CASE("what is told of the runtime's end keeps its state as a durable object") {
    for (const Isolation where : {Isolation::kShared, own_process}) {
      Folder folder;
      const std::string log = folder / "log";
      auto options = small_machine();
      options.durable_dir = folder / "objects";
      {
        auto rt = Runtime::start(options);
        const auto task = rt.task<save_when_told>({.isolation = where}).remote(log, 1);
        const auto saver = rt.actor<Saver>().spawn();  // one in a process of its own is ended with that
        const auto method = saver.call<&Saver::run>(log, 2);
        CHECK(eventually([&] { return content(log) == "runs;runs;"; }));
        rt.shutdown();
        CHECK(rt.get(task) == 1);
        CHECK_THROWS_AS(rt.put(1, {.durable_name = "late"}), RuntimeStopped);
        CHECK_THROWS_AS(rt.list_durable(), RuntimeStopped);
      }
      auto next = Runtime::start(options);
      CHECK(next.list_durable() == std::vector<std::string>{"saved-1", "saved-2"});
      CHECK(next.get(next.find_durable<int>("saved-1")) == 1);
      CHECK(next.get(next.find_durable<int>("saved-2")) == 2);
    }
  }
}

}  // namespace manta_test
