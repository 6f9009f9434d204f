// Bytes that claim what they do not hold: how much is made of them, how deep, and of which types.
#include <doctest/doctest.h>

#include "runtime/codec.hpp"

namespace manta {
namespace {

Buffer of(std::vector<std::uint64_t> words) { return Buffer::copy(std::as_bytes(std::span(words))); }
Buffer of_bytes(std::vector<std::uint8_t> bytes) { return Buffer::copy(std::as_bytes(std::span(bytes))); }

constexpr std::uint64_t kClaim = 1 << 20;  // as many as elements without content may be

struct Tree {
  inline static std::size_t made = 0;
  Tree() { ++made; }
  std::vector<Tree> children{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(children);
  }
};

struct Large {
  inline static std::size_t made = 0;
  Large() { ++made; }
  std::array<double, 1024> numbers{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(numbers);
  }
};

struct Node {
  std::unique_ptr<Node> next{};
  std::int32_t number = 7;  ///< behind it, so that no compiler makes a loop of this
  template <class Archive>
  void serialize(Archive& archive) {
    archive(next, number);
  }
};
/// Not by its own destructor, which goes as deep as it is long.
struct Chain {
  std::unique_ptr<Node> first{};
  explicit Chain(std::size_t length) {
    for (; length > 0; --length) {
      auto node = std::make_unique<Node>();
      node->next = std::exchange(first, nullptr);
      first = std::move(node);
    }
  }
  ~Chain() {
    while (first) first = std::exchange(first->next, nullptr);
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
};

struct Shared {
  std::shared_ptr<std::string> text{};
  std::shared_ptr<const std::string> same{};
  std::shared_ptr<std::vector<double>> numbers{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(text, same, numbers);
  }
};

struct Switches {
  bool on[3]{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(on);
  }
};

struct Empty {};

}  // namespace

TEST_SUITE("runtime/codec") {
  TEST_CASE("all containers of a value together claim no more elements than it has bytes, but for a million without content") {
    // Behaviour: each might claim a million, however many there were: 4 KiB of lengths within lengths took 12 GiB.
    Tree::made = 0;
    CHECK_THROWS_AS(decode<Tree>(of(std::vector<std::uint64_t>(512, kClaim))), ProtocolError);
    CHECK(Tree::made < kClaim + 8192);
    std::vector<std::uint64_t> words(1001, kClaim);
    words[0] = 1000;
    CHECK_THROWS_AS(decode<std::vector<std::vector<Empty>>>(of(words)), ProtocolError);
    words = {2, kClaim / 2, kClaim / 2};
    CHECK(decode<std::vector<std::vector<Empty>>>(of(words))[1].size() == kClaim / 2);
  }

  TEST_CASE("large elements are made as they are read, not as many as are claimed") {
    // Behaviour: 8 bytes made a million of them, 8 GiB.
    const auto made = [](auto container) {
      Large::made = 0;
      CHECK_THROWS_AS(decode<decltype(container)>(of({kClaim, 0})), ProtocolError);
      return Large::made;
    };
    CHECK(made(std::vector<Large>()) <= 1);
    CHECK(made(std::deque<Large>()) <= 1);
    CHECK(made(std::list<Large>()) <= 1);
    CHECK(made(std::forward_list<Large>()) <= 1);
    const std::vector<std::string> texts(3000, "text");
    CHECK(decode<std::vector<std::string>>(encode(texts)) == texts);
    const std::list<std::string> list(texts.begin(), texts.end());
    CHECK(decode<std::list<std::string>>(encode(list)) == list);
    const std::deque<int> numbers(3000, 7);
    CHECK(decode<std::deque<int>>(encode(numbers)) == numbers);
  }

  TEST_CASE("what is nested too deep for the stack is refused as it is written and as it is read") {
    // Behaviour: the program ended at the end of its stack.
    CHECK_THROWS_AS(decode<Node>(of_bytes(std::vector<std::uint8_t>(4 << 20, 1))), ProtocolError);
    const Chain deep(4 << 20);
    CHECK_THROWS_AS(encode(deep.first), InvalidArgument);
    const Chain usual(500);
    const auto again = decode<std::unique_ptr<Node>>(encode(usual.first));
    std::size_t length = 0;
    for (const Node* node = again.get(); node; node = node->next.get()) ++length;
    CHECK(length == 500);
  }

  TEST_CASE("shared pointers of two types never point to one object") {
    // Behaviour: a number of an object of another type was taken, and what it pointed to was of the wrong type.
    Shared value{.text = std::make_shared<std::string>("x"), .same = {}, .numbers = std::make_shared<std::vector<double>>(2, 0.5)};
    value.same = value.text;
    const Buffer bytes = encode(value);
    const Shared back = decode<Shared>(bytes);
    CHECK(back.same == back.text);
    CHECK(*back.text == "x");
    CHECK(*back.numbers == *value.numbers);
    std::vector<std::uint8_t> damaged{1, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 'x', 1, 0, 0, 0};
    damaged.insert(damaged.end(), {1, 0, 0, 0});  // numbers: the object that is the text
    CHECK_THROWS_AS(decode<Shared>(of_bytes(damaged)), ProtocolError);
    damaged.back() = 0, damaged[damaged.size() - 4] = 0;
    CHECK(decode<Shared>(of_bytes(damaged)).numbers == nullptr);
  }

  TEST_CASE("a bool within an array is true or false, or refused") {
    // Behaviour: only single ones and vectors were looked at.
    CHECK_THROWS_AS((decode<std::array<bool, 2>>(of_bytes({1, 2}))), ProtocolError);
    CHECK_THROWS_AS(decode<Switches>(of_bytes({0, 1, 0xff})), ProtocolError);
    CHECK((decode<std::array<bool, 2>>(of_bytes({0, 1})) == std::array{false, true}));
    CHECK(decode<Switches>(of_bytes({0, 1, 1})).on[2]);
  }
}

}  // namespace manta
