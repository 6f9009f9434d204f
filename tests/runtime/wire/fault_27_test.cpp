// Fault 27: messages made to cost more than they weigh: lists that claim more than there is, the same bytes read over and over,
// nesting without end. Built word by word: no encoder makes them.
#include <doctest/doctest.h>

#include <cstring>

#include "runtime/wire/messages.hpp"
#include "tests/runtime/clean.hpp"

namespace manta::wire {
namespace {

/// Changes one 64-bit word of an encoded message.
class Words {
 public:
  explicit Words(const Buffer& encoded) : words_(encoded.size() / 8) { std::memcpy(words_.data(), encoded.data(), encoded.size()); }
  std::uint64_t& operator[](std::size_t i) { return words_.at(i); }
  std::size_t size() const { return words_.size(); }
  Buffer buffer() const {
    auto [bytes, target] = Buffer::allocate(8 * words_.size());
    std::memcpy(target.data(), words_.data(), target.size());
    return std::move(bytes);
  }
  void append(std::size_t zeros) {
    words_.resize(words_.size() + zeros);
    const auto segment = static_cast<std::uint32_t>(words_.size() - 1);  // word 0: segments - 1, words of the only one
    words_[0] = std::uint64_t{segment} << 32;
  }

 private:
  std::vector<std::uint64_t> words_;
};

constexpr std::uint64_t kCompositeList = 7;

bool is_list_of_structs(std::uint64_t word) { return (word & 3) == 1 && ((word >> 32) & 7) == kCompositeList; }

/// Every list of structs in the message, one at a time, becomes one of `count` elements without a size.
template <class Look>
int with_bombs(const Message& message, std::uint64_t count, Look&& look) {
  const Words good(encode(message));
  int bombs = 0;
  for (std::size_t i = 1; i < good.size(); ++i) {
    Words bad = good;
    if (!is_list_of_structs(bad[i])) continue;
    const auto offset = static_cast<std::int32_t>(bad[i]) >> 2;
    const auto tag = static_cast<std::int64_t>(i) + 1 + offset;
    if (tag < 1 || tag >= static_cast<std::int64_t>(bad.size())) continue;
    bad[i] = (bad[i] & 0xffffffffull) | kCompositeList << 32;     // no words at all
    bad[static_cast<std::size_t>(tag)] = count << 2;              // so many elements of no words and no pointers
    ++bombs;
    look(bad.buffer());
  }
  return bombs;
}

Message many_tasks() {
  RunTasks run{.owner = 1};
  run.tasks.resize(3);
  for (auto& task : run.tasks) task.refs.resize(2);
  return run;
}
Message many_outcomes() {
  TasksDone done{};
  done.outcomes.resize(3);
  for (auto& outcome : done.outcomes) {
    outcome.result = Value{};
    outcome.more.resize(2);
  }
  return done;
}

Message many_groups() {
  Groups groups{.request = 1};
  groups.groups.resize(2);
  for (auto& group : groups.groups) {
    group.spec.bundles.resize(2);
    group.spec.bundles[0].custom.set("a", 1);
    group.free.resize(2);
    group.free[1].set("a", 1);
  }
  return groups;
}
Message one_group() {
  PlaceGroup place{};
  place.group.spec.bundles.resize(2);
  return place;
}
Message many_methods() {
  CreateActor create{.owner = 1};
  create.concurrency.groups.resize(2);
  for (auto& group : create.concurrency.groups) group.methods.resize(3);
  return create;
}
Message many_references() {
  ReferenceUpdates updates{};
  updates.list.resize(3, {.operation = core::ReferenceOperation::kLend});
  return updates;
}
Message many_amounts() {
  ResourcesReport report{};
  report.total.set("a", 1);
  return report;
}
Message a_hello() {
  Hello hello{};
  hello.total.set("a", 1);
  return hello;
}
Message many_variables() {
  WantLeases want{};
  want.shape.custom.set("a", 1);
  want.options.environment["A"] = "b";
  return want;
}
std::vector<Message> with_lists() {
  return {many_tasks(), many_outcomes(), many_groups(), one_group(), many_methods(), many_references(), many_amounts(), a_hello(), many_variables()};
}

/// Where the lists of structs begin whose tag is `tag`: the places of their pointers, and of their tags.
std::vector<std::pair<std::size_t, std::size_t>> lists_with_tag(Words& words, std::uint64_t tag) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!is_list_of_structs(words[i])) continue;
    const auto at = static_cast<std::int64_t>(i) + 1 + (static_cast<std::int32_t>(words[i]) >> 2);
    if (at >= 1 && at < static_cast<std::int64_t>(words.size()) && words[static_cast<std::size_t>(at)] == tag)
      found.emplace_back(i, static_cast<std::size_t>(at));
  }
  return found;
}

}  // namespace

TEST_SUITE("runtime/wire") {
  TEST_CASE("fault 27: a list that claims half a billion elements of no size is refused before memory is taken for it") {
    const manta_test::Clean clean;
    for (const auto& message : with_lists()) {
      CAPTURE(message.index());
      const int bombs = with_bombs(message, (std::uint64_t{1} << 29) - 1, [](const Buffer& bytes) {
        const auto read = decode(bytes);
        REQUIRE_FALSE(read.ok());
        CHECK(read.error().code == ErrorCode::kProtocolError);
      });
      CHECK(bombs >= 1);
    }
  }

  TEST_CASE("fault 27: ... also one that claims just what the reader's own limit lets through") {
    const manta_test::Clean clean;
    for (const auto& message : with_lists()) {
      CAPTURE(message.index());
      const auto count = encode(message).size();
      const int bombs = with_bombs(message, count, [](const Buffer& bytes) {
        const auto read = decode(bytes);
        REQUIRE_FALSE(read.ok());
        CHECK(read.error().code == ErrorCode::kProtocolError);
      });
      CHECK(bombs >= 1);
    }
  }

  TEST_CASE("fault 27: ... also several whose elements, of no size, could each be in the frame, but not all of them") {
    const manta_test::Clean clean;
    Groups groups{.request = 1};
    groups.groups.resize(80);
    for (auto& group : groups.groups) group.spec.bundles.resize(1);
    Words words(encode(groups));
    const std::uint64_t one_bundle = std::uint64_t{1} << 2 | std::uint64_t{2} << 32 | std::uint64_t{1} << 48;
    const auto lists = lists_with_tag(words, one_bundle);
    REQUIRE(lists.size() == 80);
    for (std::size_t i = 0; i < 4; ++i) {
      words[lists[i].first] = (words[lists[i].first] & 0xffffffffull) | kCompositeList << 32;
      words[lists[i].second] = static_cast<std::uint64_t>(words.size()) << 2;
    }
    const auto read = decode(words.buffer());
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code == ErrorCode::kProtocolError);
  }

  TEST_CASE("fault 27: a chain of causes that leads back to its beginning is cut, not followed") {
    const manta_test::Clean clean;
    const ErrorInfo inner{.code = ErrorCode::kTaskError, .message = "inner"};
    const ErrorInfo outer{.code = ErrorCode::kTaskError, .message = "outer", .cause = std::make_shared<const ErrorInfo>(inner)};
    const Words good(encode(LeaseLost{.lease = {1}, .error = outer}));
    int loops = 0;
    for (std::size_t i = 1; i < good.size(); ++i) {
      for (std::size_t to = 1; to < i; ++to) {  // every pointer to a struct, bent back to every word before it
        Words bad = good;
        if ((bad[i] & 3) != 0 || bad[i] == 0) continue;
        const auto offset = static_cast<std::int32_t>(to) - static_cast<std::int32_t>(i) - 1;
        bad[i] = (bad[i] & ~0xffffffffull) | (static_cast<std::uint32_t>(offset) << 2);
        const auto read = decode(bad.buffer());
        ++loops;
        if (!read.ok()) continue;
        const auto* lost = std::get_if<LeaseLost>(&*read);
        int links = 0;
        for (const auto* link = lost ? &lost->error : nullptr; link; link = link->cause.get()) ++links;
        CHECK(links < 64);
      }
    }
    CHECK(loops >= 10);
  }

  TEST_CASE("fault 27: many pointers to the same bytes do not make a message larger than twice its frame") {
    const manta_test::Clean clean;
    RunTasks run{.owner = 1};
    run.tasks.resize(25);
    for (auto& task : run.tasks) task.name = "name";
    run.tasks[0].name = std::string(4000, 'x');
    Words words(encode(run));
    std::size_t text = 0;  // the pointer to the long name
    for (std::size_t i = 1; i < words.size() && !text; ++i)
      if ((words[i] & 7) == 1 || (words[i] & 3) == 1)
        if (((words[i] >> 32) & 7) == 2 && (words[i] >> 35) == 4001) text = i;
    REQUIRE(text != 0);
    const auto target = static_cast<std::int64_t>(text) + 1 + (static_cast<std::int32_t>(words[text]) >> 2);
    int bent = 0;
    for (std::size_t i = text + 1; i < words.size() && static_cast<std::int64_t>(i) < target; ++i) {
      if ((words[i] & 3) != 1 || ((words[i] >> 32) & 7) != 2) continue;  // another task's name
      const auto offset = static_cast<std::int32_t>(target - static_cast<std::int64_t>(i) - 1);
      words[i] = (words[text] & ~0xffffffffull) | (static_cast<std::uint32_t>(offset) << 2) | 1;
      ++bent;
    }
    REQUIRE(bent >= 20);
    const auto read = decode(words.buffer());
    REQUIRE_FALSE(read.ok());
    CHECK(read.error().code == ErrorCode::kProtocolError);
  }
}

}  // namespace manta::wire
