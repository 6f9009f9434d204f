#include <doctest/doctest.h>

#include "runtime/store/durable_store.hpp"
#include "tests/runtime/store/snapshot.hpp"

using namespace manta;
using namespace manta::test;

namespace {

#ifdef MANTA_SANITIZED
constexpr std::size_t kStep = 9;  // opening RocksDB is slow there, and the release build tries every byte
#else
constexpr std::size_t kStep = 1;
#endif

constexpr std::size_t kValues = 4;

std::string name_of(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }
std::vector<std::byte> value_of(std::size_t i) { return pattern(i, 11 * i); }  // the first one empty

const RegisterChild putter("put-small", [](const std::string& path, const std::function<void()>& ready) {
  auto store = DurableStore::open(path).value();
  for (std::size_t i = 0; i < kValues; ++i) store->put(name_of(i), "tag", value_of(i)).value();
  ready();
});

}  // namespace

TEST_SUITE("runtime/store/durable_damage") {
  TEST_CASE("a log cut at any byte gives a prefix of the values, each whole, and putting goes on behind it") {
    TemporaryDirectory directory(TemporaryDirectory::Where::kMemory);
    const auto path = directory / "d";
    HoldingChild("put-small", path).kill();
    std::filesystem::remove(path + "/RESERVE");  // has no content, and would be copied for each cut
    const Snapshot snapshot(path);
    const auto [log, content] = snapshot.file(".log");
    std::size_t before = 0;
    for (std::size_t size = content.size() % kStep; size <= content.size(); size += kStep) {  // ends with the whole log
      CAPTURE(size);
      snapshot.restore();
      write_file(log, content.substr(0, size));
      const auto store = DurableStore::open(path).value();
      const auto infos = store->list().value();
      REQUIRE(infos.size() >= before);
      before = infos.size();
      for (std::size_t i = 0; i < infos.size(); ++i) {
        REQUIRE(infos[i].name == name_of(i));
        REQUIRE(equal(store->get(name_of(i)).value().bytes, value_of(i)));
      }
      if (size / kStep % (36 / kStep) != 0) continue;
      store->put("more", "tag", value_of(3)).value();
      REQUIRE(equal(store->get("more").value().bytes, value_of(3)));
    }
    CHECK(before == kValues);
  }
}
