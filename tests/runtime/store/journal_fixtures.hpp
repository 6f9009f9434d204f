#pragma once
// What the tests of the journal share.
#include "runtime/base/error.hpp"
#include "runtime/journal.hpp"
#include "tests/runtime/store/store_fixtures.hpp"

namespace manta::test {


using Entries = std::vector<std::pair<std::uint64_t, std::string>>;

inline Entries read_all(const Journal& journal) {
  Entries entries;
  journal.for_each([&](std::uint64_t number, Journal::Record record) { entries.emplace_back(number, text(record)); });
  return entries;
}

/// What the tests write as record `number`; of many sizes, the first one empty.
inline std::string record_of(std::uint64_t number) { return std::string((number - 1) * 7 % 15, static_cast<char>('a' + number % 26)); }

inline void append_records(Journal& journal, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) journal.append(bytes(record_of(journal.last() + 1)));
}

inline Entries expected(std::uint64_t first, std::uint64_t last) {
  Entries entries;
  for (auto number = first; number <= last; ++number) entries.emplace_back(number, record_of(number));
  return entries;
}

template <class Action>
ErrorInfo error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.info();
  }
  return {.code = ErrorCode::kRuntimeStopped, .message = "no error"};
}

/// A child that holds a journal of 30 records.
inline const RegisterChild holder("hold", [](const std::string& path, const std::function<void()>& ready) {
  auto journal = Journal::open(path);
  append_records(journal, 30);
  ready();
});

}  // namespace manta::test
