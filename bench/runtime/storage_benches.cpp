#include "bench/runtime/storage_benches.hpp"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/harness/storage_floors.hpp"

namespace manta::bench {
namespace {

constexpr std::size_t kPage = 4096;

struct Answerer {
  int answer(int x) { return x + 1; }
};

/// One byte of each page: all of it is mapped and there, none of it copied.
std::uint64_t sum_of_pages(const Buffer& bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += kPage) sum += static_cast<std::uint64_t>(bytes.data()[at]);
  return sum;
}

void expect(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string(what) + " gave a wrong result");
}

Buffer value_to_spill() {
  const auto bytes = random_mebibyte();
  return Buffer::copy(std::as_bytes(std::span(bytes)));
}

std::vector<ObjectRef<Buffer>> put_values(Client& client, const Buffer& value) {
  std::vector<ObjectRef<Buffer>> refs;
  for (std::size_t i = 0; i < kSpillValues; ++i) refs.push_back(client.put(value));
  return refs;
}

}  // namespace

Body proc_actor_spawn(Client& client) {
  return [&client](std::size_t) {
    constexpr int kActors = 20;
    return Timed{kActors, time_of([&] {
                   for (int i = 0; i < kActors; ++i) {
                     auto actor = client.actor<Answerer>({.isolation = own_process, .echo_output = false}).spawn();
                     expect(client.get(actor.call<&Answerer::answer>(i)) == i + 1, "proc_actor_spawn");
                   }
                 })};
  };
}

Body put_800mib(Client& client) {
  auto [value, bytes] = Buffer::allocate(kBigMebibytes * kMebibyte);
  std::memset(bytes.data(), 1, bytes.size());
  return [&client, value = std::move(value)](std::size_t) {
    return Timed{kBigMebibytes, time_of([&] {
                   const auto ref = client.put(value);
                   expect(client.get(client.remote<sum_of_pages>(ref)) == value.size() / kPage, "put_800mib");
                 })};
  };
}

Body spill_write(Client& client, const std::filesystem::path& spill_folder) {
  return [&client, spill_folder, value = value_to_spill()](std::size_t) {
    constexpr std::size_t kFit = kSpillArena * 8 / 10 / kMebibyte;  // spilling begins above 80 % of the arena
    std::vector<ObjectRef<Buffer>> refs;
    return Timed{kSpillValues - kFit, time_of([&] {
                   refs = put_values(client, value);
                   sync_files(spill_folder, false);
                 })};
  };
}

Body spill_read(Client& client, const std::filesystem::path& spill_folder) {
  const auto value = value_to_spill();
  // Read in the order in which they were put, through a much smaller arena, each has left it before its turn comes again.
  return [&client, spill_folder, value, refs = put_values(client, value)](std::size_t) {
    sync_files(spill_folder, true);
    return Timed{refs.size(), time_of([&] {
                   for (const auto& ref : refs) expect(client.get_shared(ref)->size() == value.size(), "spill_read");
                 })};
  };
}

}  // namespace manta::bench
