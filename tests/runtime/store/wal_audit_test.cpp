#include "runtime/store/wal_audit.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/store/store_fixtures.hpp"

using namespace manta;
using namespace manta::test;

namespace {

/// A record as RocksDB writes it: masked CRC-32C of type and payload, length, type.
std::string record(const std::string& payload) {
  const std::string type(1, '\1');
  const auto crc = crc32c(bytes(payload), crc32c(bytes(type)));
  const auto masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
  std::string text;
  for (int shift = 0; shift < 32; shift += 8) text.push_back(static_cast<char>(masked >> shift));
  text.push_back(static_cast<char>(payload.size()));
  text.push_back(static_cast<char>(payload.size() >> 8));
  return text + type + payload;
}

}  // namespace

TEST_SUITE("runtime/store") {
  TEST_CASE("crc32c gives the check value of its definition") {
    CHECK(crc32c(bytes("123456789")) == 0xe3069283u);  // RFC 3720, appendix B.4 uses the same polynomial
  }

  TEST_CASE("a log cut anywhere is torn, not damaged") {
    const auto log = record("one") + record(std::string(300, 'x')) + record("three");
    for (std::size_t size = 0; size <= log.size(); ++size) {
      CAPTURE(size);
      CHECK_FALSE(find_damaged_record(bytes(std::string_view(log).substr(0, size)), true));
    }
  }

  TEST_CASE("a length that points past the end is damage when the checksum fits another length") {
    const auto first = record("one");
    auto log = first + record("two") + record("three");
    log[first.size() + 5] ^= 0x40;  // the length's high byte
    CHECK(find_damaged_record(bytes(log), true) == first.size());
    log[first.size() + 5] ^= 0x40;
    log[first.size() + 4] ^= static_cast<char>(0x80);  // the low byte
    CHECK(find_damaged_record(bytes(log), true) == first.size());
  }

  TEST_CASE("a record that says it is left from a recycled log is damage") {
    const auto first = record("one");
    auto log = first + record("two");
    CHECK_FALSE(find_damaged_record(bytes(log), false));
    log[first.size() + 6] = 5;
    CHECK(find_damaged_record(bytes(log), false) == first.size());
  }

  TEST_CASE("zeros before other bytes are damage, zeros to the end of the file are what a power cut leaves") {
    // Behaviour: RocksDB passes over the rest of a block that goes on with zeros, and what had been synced there was gone without a word.
    const auto first = record("one");
    const auto log = first + record(std::string(300, 'x')) + record("three");
    for (std::size_t zeroed : {std::size_t{7}, first.size(), std::size_t{100}}) {
      CAPTURE(zeroed);
      auto damaged = log;
      damaged.replace(0, zeroed, zeroed, '\0');
      CHECK(find_damaged_record(bytes(damaged), true) == 0);
      CHECK(find_damaged_record(bytes(damaged), false) == 0);
    }
    CHECK_FALSE(find_damaged_record(bytes(log + std::string(50, '\0')), true));
    TemporaryDirectory directory;
    std::filesystem::create_directories(directory.path());
    const auto file = directory / "log";
    const std::string torn = log + std::string(3 * kLogBlockBytes - log.size(), '\0');
    write_file(file, torn);
    CHECK_FALSE(find_damage(file, Damage::kPassedOver));
    write_file(file, torn + record("behind"));
    CHECK(find_damage(file, Damage::kPassedOver) == log.size());
  }

  TEST_CASE("a record may end at the end of the file, but not beyond the end of a block in its middle") {
    const auto log = record("one");
    CHECK_FALSE(find_damaged_record(bytes(std::string_view(log).substr(0, log.size() - 1)), true));
    CHECK(find_damaged_record(bytes(std::string_view(log).substr(0, log.size() - 1)), false) == 0);
  }

  TEST_CASE("a record whose bytes do not fit its checksum is found where it starts; padding and torn tails are none") {
    const auto first = record("one");
    const auto log = first + record(std::string(300, 'x')) + record("");
    CHECK_FALSE(find_mismatched_record(bytes(log)));
    CHECK_FALSE(find_mismatched_record(bytes(log + std::string(50, '\0'))));
    CHECK_FALSE(find_mismatched_record(bytes(std::string_view(log).substr(0, log.size() - 8))));
    for (std::size_t at = 0; at < first.size(); ++at) {
      if (at == 4 || at == 5) continue;  // a length: what follows is not where it seems
      auto damaged = log;
      damaged[at] ^= 4;
      CHECK(find_mismatched_record(bytes(damaged)) == 0);
    }
    auto damaged = log;
    damaged[first.size() + 100] ^= 1;
    CHECK(find_mismatched_record(bytes(damaged)) == first.size());
  }
}
