// Properties of the codec over values that RapidCheck makes, and shrinks when one fails.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/codec.hpp"

namespace manta {
namespace {

using Row = std::pair<std::string, std::vector<std::int64_t>>;
using Table = std::map<std::string, std::vector<std::tuple<std::uint8_t, std::string, bool>>>;

template <class T>
bool comes_back(const T& value) {
  const auto bytes = encode(value);
  const T back = decode<T>(bytes);
  const auto again = encode(back);
  return back == value && again.size() == bytes.size() && (bytes.empty() || std::memcmp(again.data(), bytes.data(), bytes.size()) == 0);
}

Buffer damaged(const Buffer& bytes, const std::vector<std::pair<std::uint16_t, std::uint8_t>>& changes, std::uint16_t cut) {
  auto [copy, target] = Buffer::allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(target.data(), bytes.data(), bytes.size());
  for (const auto& [at, with] : changes)
    if (!target.empty()) target[at % target.size()] = static_cast<std::byte>(with);
  return copy.slice(0, bytes.size() - (bytes.empty() ? 0 : cut % (bytes.size() + 1)));
}

/// An error of Manta's, or another value: never worse.
template <class T>
bool survives(const Buffer& bytes) {
  try {
    (void)encode(decode<T>(bytes));
  } catch (const ProtocolError&) {
  }
  return true;
}

}  // namespace

TEST_SUITE("runtime/wire/codec_rapidcheck") {
  TEST_CASE("codec: any value comes back, and its bytes are the same again") {
    CHECK(rc::check("numbers", [](std::int8_t a, std::uint64_t b, std::int64_t c, bool d) { return comes_back(std::tuple(a, b, c, d)); }));
    CHECK(rc::check("texts and rows", [](const std::vector<Row>& rows) { return comes_back(rows); }));
    CHECK(rc::check("tables", [](const Table& table) { return comes_back(table); }));
    CHECK(rc::check("nesting", [](const std::vector<std::vector<std::vector<std::string>>>& nested) { return comes_back(nested); }));
    CHECK(rc::check("bits", [](const std::vector<bool>& bits) { return comes_back(bits); }));
  }

  TEST_CASE("codec: any bits of a double come back") {
    CHECK(rc::check([](std::uint64_t bits) {
      const auto value = std::bit_cast<double>(bits);
      return std::bit_cast<std::uint64_t>(decode<double>(encode(value))) == bits;
    }));
  }

  TEST_CASE("codec: damaged bytes give an error of Manta's or another value") {
    using Changes = std::vector<std::pair<std::uint16_t, std::uint8_t>>;
    CHECK(rc::check([](const Table& table, const Changes& changes, std::uint16_t cut) {
      return survives<Table>(damaged(encode(table), changes, cut));
    }));
    CHECK(rc::check([](const std::vector<Row>& rows, const Changes& changes, std::uint16_t cut) {
      return survives<std::vector<Row>>(damaged(encode(rows), changes, cut));
    }));
  }
}

}  // namespace manta
