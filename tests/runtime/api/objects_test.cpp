#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <numeric>
#include <random>
#include <sstream>

#include "support.hpp"

namespace manta_test {
namespace {

/// The mapping that an address lies in: "perms offset inode path".
struct Place {
  std::string permissions{}, path{};
  std::uint64_t file_offset = 0, inode = 0, checksum = 0;
  int pid = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(permissions, path, file_offset, inode, checksum, pid);
  }
};
Place look_at(const Buffer& buffer) {
  Place place{.pid = ::getpid()};
  for (auto byte : buffer.bytes()) place.checksum = place.checksum * 31 + std::to_integer<std::uint64_t>(byte);
  const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
  std::istringstream maps(content("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    std::istringstream in(line);
    std::uintptr_t begin = 0, end = 0;
    std::uint64_t offset = 0;
    std::string device;
    char dash = 0;
    in >> std::hex >> begin >> dash >> end >> place.permissions >> offset >> device >> std::dec >> place.inode >> place.path;
    place.file_offset = offset + (address - begin);
    if (address >= begin && address < end) return place;
  }
  return {};
}
Place look_when_open(const Buffer& buffer, const std::string& gate) {
  pass(gate, 0);
  return look_at(buffer);
}
std::uint64_t size_of(const Buffer& buffer) { return buffer.size(); }
std::uint64_t address_of(const Buffer& buffer) { return reinterpret_cast<std::uintptr_t>(buffer.data()); }

Buffer noise(std::size_t size, unsigned seed) {
  auto [buffer, bytes] = Buffer::allocate(size);
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    const auto word = random();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  return buffer;
}
Buffer make_noise(unsigned seed) { return noise(6u << 20, seed); }
bool is_noise(const Buffer& buffer, unsigned seed) {
  const auto expected = noise(6u << 20, seed);
  return buffer.size() == expected.size() && std::memcmp(buffer.data(), expected.data(), buffer.size()) == 0;
}
std::vector<double> ones(std::size_t n) { return std::vector<double>(n, 1); }
double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }
double sum_nested(Context& ctx, std::size_t n) { return ctx.get(ctx.remote<sum>(ctx.remote<ones>(n))); }

struct Odd {
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
};

int hold_durable(const std::string& dir) {
  auto options = small_machine();
  options.durable_dir = dir;
  auto rt = Runtime::start(options);
  rt.put(1, {.durable_name = "held"});
  std::cout << "holds" << std::endl;
  std::this_thread::sleep_for(60s);
  return 0;
}

}  // namespace

int run_hold_durable(const std::string& dir) { return hold_durable(dir); }

TEST_SUITE("runtime/api/objects") {
  TEST_CASE("a large buffer is read in place by other processes, and cannot be written") {
    Machine machine;
    auto& rt = machine.rt;
    Gate gate;
    const auto data = noise(300'000, 1);
    const auto expected = look_at(data).checksum;
    auto ref = rt.put(data);
    std::vector<ObjectRef<Place>> refs;
    for (int i = 0; i < 2; ++i) refs.push_back(rt.task<look_when_open>({.isolation = own_process}).remote(ref, gate.path()));
    gate.open();
    const auto places = rt.get(refs);
    CHECK(places[0].pid != places[1].pid);
    for (const auto& place : places) {
      CHECK(place.checksum == expected);
      CHECK(contains(place.path, "memfd"));
      CHECK(place.permissions.substr(0, 2) == "r-");
      CHECK(place.inode == places[0].inode);
      CHECK(place.file_offset == places[0].file_offset);
    }
  }

  TEST_CASE("in one process a value is never copied on its way to a task") {
    if (in_processes()) return;
    Machine machine;
    const auto data = noise(300'000, 2);
    auto ref = machine.rt.put(data);
    CHECK(machine.rt.get(machine.rt.remote<address_of>(ref)) == address_of(data));
    CHECK(machine.rt.get_shared(ref)->data() == data.data());
  }

  TEST_CASE("large values travel as arguments and as results, in both directions") {
    Machine machine;
    auto& rt = machine.rt;
    const std::size_t n = 100'000;
    CHECK(rt.get(rt.remote<sum>(ones(n))) == n);
    CHECK(rt.get(rt.remote<ones>(n)) == ones(n));
    CHECK(rt.get(rt.remote<sum>(rt.remote<ones>(n))) == n);
    CHECK(rt.get(rt.task<sum>({.isolation = own_process}).remote(rt.task<ones>({.isolation = own_process}).remote(n))) == n);
    CHECK(rt.get(rt.task<sum_nested>({.isolation = own_process}).remote(n)) == n);
    CHECK(rt.get(rt.remote<sum>(std::vector<double>{})) == 0);
    CHECK(rt.get(rt.remote<size_of>(Buffer{})) == 0);
  }

  TEST_CASE("results beyond the arena are spilled and come back whole, in any order") {
    Machine machine;
    auto& rt = machine.rt;
    std::vector<ObjectRef<Buffer>> refs;
    for (unsigned i = 0; i < 36; ++i)
      refs.push_back(rt.task<make_noise>({.isolation = in_processes() ? Isolation::kShared : own_process}).remote(i));
    rt.wait(refs, {.count = refs.size()});
    std::vector<unsigned> order(refs.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    for (auto i : order) REQUIRE(is_noise(rt.get(refs[i]), i));
    for (unsigned i = 0; i < 6; ++i)
      CHECK(rt.get(rt.task<is_noise>({.isolation = own_process}).remote(refs[order[i]], order[i])));
  }

  TEST_CASE("a durable object is there in the next run, under its type tag only") {
    Folder folder;
    auto options = small_machine();
    options.durable_dir = folder / "durable";
    {
      Machine machine(options);
      auto& rt = machine.rt;
      rt.put(std::vector<double>{1, -0.0}, {.durable_name = "run/weights"});
      rt.put(std::string("hello"), {.durable_name = "run/text"});
      rt.put(noise(400'000, 5), {.durable_name = "blob"});
      rt.put(Odd{3}, {.durable_name = "odd", .type_tag = "odd.v1"});
      CHECK_THROWS_AS(rt.put(Odd{3}, {.durable_name = "untagged"}), InvalidArgument);
    }
    Machine machine(options);
    auto& rt = machine.rt;
    CHECK(rt.get(rt.find_durable<std::vector<double>>("run/weights")) == std::vector<double>{1, -0.0});
    CHECK(rt.get(rt.remote<sum>(rt.find_durable<std::vector<double>>("run/weights"))) == 1);
    CHECK(look_at(rt.get(rt.find_durable<Buffer>("blob"))).checksum == look_at(noise(400'000, 5)).checksum);
    CHECK(rt.get(rt.find_durable<Odd>("odd", "odd.v1")).x == 3);
    CHECK_THROWS_AS(rt.find_durable<Odd>("odd"), InvalidArgument);
    CHECK(contains(error_of<InvalidArgument>([&] { rt.find_durable<std::string>("run/weights"); }).message, "f64[]"));
    CHECK(contains(error_of<NotFound>([&] { rt.find_durable<std::string>("run/none"); }).message, "run/none"));
    CHECK(rt.list_durable("run/") == std::vector<std::string>{"run/text", "run/weights"});
    CHECK(rt.remove_durable("run/text"));
    CHECK_FALSE(rt.remove_durable("run/text"));
    CHECK_THROWS_AS(rt.find_durable<std::string>("run/text"), NotFound);
    rt.put(std::string("again"), {.durable_name = "run/text"});
    CHECK(rt.get(rt.find_durable<std::string>("run/text")) == "again");
  }

  TEST_CASE("fault 39: a folder of durable objects that another program has open is refused with both names, and free after its death") {
    Folder folder;
    const std::string dir = folder / "durable";
    auto options = small_machine();
    options.durable_dir = dir;
    SubProgram holder("hold-durable", {dir});
    REQUIRE(holder.read_line() == "holds");
    Machine machine(options);
    const auto error = error_of<ResourceExhausted>([&] { machine.rt.find_durable<int>("held"); });
    CHECK_MESSAGE(contains(error.message, dir), error.message);
    CHECK_MESSAGE(contains(error.message, std::to_string(holder.pid)), error.message);
    ::kill(holder.pid, SIGKILL);
    holder.wait();
    CHECK(machine.rt.get(machine.rt.find_durable<int>("held")) == 1);
  }
}

}  // namespace manta_test
