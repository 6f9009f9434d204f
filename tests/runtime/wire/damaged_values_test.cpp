// Bytes that claim what they do not hold: how much is made of them, how deep, and of which types.
#include <doctest/doctest.h>

#include <cstring>

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

/// Made with its own, which cereal asks for.
struct Named {
  explicit Named(std::string n) : name(std::move(n)) {}
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Named>& construct) {
    std::string name;
    archive(name);
    construct(name);
  }
};
struct Both {
  std::shared_ptr<Named> named{};
  std::shared_ptr<double> number{};
  std::shared_ptr<Named> again{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(named, number, again);
  }
};

bool by_length(const std::string& a, const std::string& b) { return a.size() < b.size(); }
struct Index {
  std::map<std::string, int, bool (*)(const std::string&, const std::string&)> rows{&by_length};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(rows);
  }
};
struct Feed {
  explicit Feed(int n = 0) : number(n) {}
  int number;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(number);
  }
};
struct Row {
  Feed feed;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(feed);
  }
};

struct ByColumn {
  int column = 0;
  bool operator()(const std::pair<int, int>& a, const std::pair<int, int>& b) const { return column == 0 ? a.first < b.first : a.second < b.second; }
};

/// Words of 64 switches, of which the size tag counts each.
struct Packed {
  std::vector<std::uint64_t> words{};
  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::make_size_tag(static_cast<cereal::size_type>(words.size() * 64)), cereal::binary_data(words.data(), words.size() * 8));
  }
  template <class Archive>
  void load(Archive& archive) {
    cereal::size_type size = 0;
    archive(cereal::make_size_tag(size));
    words.resize(size / 64);
    archive(cereal::binary_data(words.data(), words.size() * 8));
  }
};

/// Has a member that does not travel, and knows where it was read.
struct Layer {
  int kind = 0;
  const Layer* read_at = nullptr;
  std::array<double, 64> scratch{};
  std::uint8_t width = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(width);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(width);
    read_at = this;
  }
};
template <class Container>
struct Net {
  Container layers{};
  Net() {
    layers.resize(2);
    layers.front().kind = 7;
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(layers);
  }
};

}  // namespace
}  // namespace manta

namespace elsewhere {
struct Mine {
  int number = 0;
};
template <class Archive>
void save(Archive& archive, const std::vector<Mine>& all) {
  archive(static_cast<int>(all.size()));
}
template <class Archive>
void load(Archive& archive, std::vector<Mine>& all) {
  int size = 0;
  archive(size);
  all.assign(static_cast<std::size_t>(size), Mine{5});
}
}  // namespace elsewhere

namespace manta {

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
    // Behaviour: some more than a million, alone in a value, could be written and not be read.
    CHECK(decode<std::vector<Empty>>(encode(std::vector<Empty>(kClaim + 50))).size() == kClaim + 50);
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
#ifdef __SANITIZE_THREAD__
    return;  // ThreadSanitizer ends at 65,536 calls within each other, long before the stack does
#endif
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

  TEST_CASE("shared objects that are made with what they need are of one type too") {
    Both value{.named = std::make_shared<Named>("n"), .number = std::make_shared<double>(2.5), .again = {}};
    value.again = value.named;
    const Buffer bytes = encode(value);
    const Both back = decode<Both>(bytes);
    CHECK(back.again == back.named);
    CHECK(back.named->name == "n");
    CHECK(*back.number == 2.5);
    std::vector<std::uint8_t> damaged(bytes.size());
    std::memcpy(damaged.data(), bytes.data(), bytes.size());
    REQUIRE(damaged[damaged.size() - 4] == 1);
    damaged[damaged.size() - 4] = 2;  // again: the number
    CHECK_THROWS_AS(decode<Both>(of_bytes(damaged)), ProtocolError);
  }

  TEST_CASE("sequences are read into the elements that the constructor made, and these stay where they were read") {
    const auto check = [](auto net) {
      net.layers.resize(600);
      net.layers.front().kind = 1;
      net.layers.front().width = 9;
      const auto again = decode<decltype(net)>(encode(net));
      CHECK(std::distance(again.layers.begin(), again.layers.end()) == 600);
      CHECK(again.layers.front().kind == 7);  // as the constructor made it
      CHECK(again.layers.front().width == 9);
      net.layers.resize(1);
      const auto fewer = decode<decltype(net)>(encode(net));
      CHECK(std::distance(fewer.layers.begin(), fewer.layers.end()) == 1);
      CHECK(fewer.layers.front().kind == 7);
    };
    check(Net<std::vector<Layer>>());
    check(Net<std::deque<Layer>>());
    check(Net<std::list<Layer>>());
    check(Net<std::forward_list<Layer>>());
    const auto layers = decode<std::vector<Layer>>(encode(std::vector<Layer>(600)));
    for (const Layer& each : layers) CHECK(each.read_at == &each);
  }

  TEST_CASE("a load that a user has for a sequence of his own types comes first") {
    CHECK(decode<std::vector<elsewhere::Mine>>(encode(std::vector<elsewhere::Mine>(3)))[2].number == 5);
  }

  TEST_CASE("containers that count bits are not taken for damaged ones") {
    const std::vector<Packed> all(200, {std::vector<std::uint64_t>(1024, 3)});
    CHECK(decode<std::vector<Packed>>(encode(all))[199].words == all[0].words);
    // Behaviour: above 2^20 elements each had to have a byte.
    const Packed large{std::vector<std::uint64_t>(20'000, 5)};
    CHECK(decode<Packed>(encode(large)).words == large.words);
  }

  TEST_CASE("no room is made for numbers and characters that are not there") {
    const auto claims = [](std::uint64_t size) { return of_bytes(std::vector<std::uint8_t>(reinterpret_cast<const std::uint8_t*>(&size), reinterpret_cast<const std::uint8_t*>(&size + 1))); };
    for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{1} << 20}) {
      CHECK_THROWS_AS(decode<std::vector<double>>(claims(size)), ProtocolError);
      CHECK_THROWS_AS(decode<std::u32string>(claims(size)), ProtocolError);
      CHECK_THROWS_AS(decode<std::string>(claims(size)), ProtocolError);
    }
  }

  TEST_CASE("what compares keys is that of the container that is read into; a null one is refused") {
    Index index;
    index.rows = {{{"long", 1}, {"x", 2}, {"yy", 3}}, &by_length};
    const auto back = decode<Index>(encode(index));
    CHECK(back.rows == index.rows);
    CHECK(back.rows.begin()->first == "x");
    CHECK_THROWS_AS((decode<std::set<int, bool (*)(int, int)>>(encode(std::vector<int>{1, 2}))), InvalidArgument);
    CHECK_THROWS_AS((decode<std::unordered_set<int, std::function<std::size_t(int)>>>(encode(std::vector<int>{1, 2}))), InvalidArgument);
    const std::map<int, Row> rows{{1, Row{Feed(5)}}};
    CHECK(decode<std::map<int, Row>>(encode(rows)).at(1).feed.number == 5);
  }

  TEST_CASE("equal keys in a set or a map are refused, and what is no heap becomes one") {
    CHECK_THROWS_AS(decode<std::set<int>>(encode(std::vector<int>{1, 1})), ProtocolError);
    CHECK_THROWS_AS(decode<std::unordered_set<int>>(encode(std::vector<int>{2, 1, 2})), ProtocolError);
    CHECK_THROWS_AS((decode<std::map<int, int>>(encode(std::vector<std::pair<int, int>>{{1, 2}, {1, 3}}))), ProtocolError);
    CHECK((decode<std::map<int, int>>(encode(std::vector<std::pair<int, int>>{{2, 2}, {1, 3}})) == std::map<int, int>{{1, 3}, {2, 2}}));
    CHECK(decode<std::priority_queue<int>>(encode(std::vector<int>{1, 2})).top() == 2);
    // Behaviour: what a comparator with a state tells apart and one made by default does not was left out without a word.
    std::set<std::pair<int, int>, ByColumn> rows(ByColumn{1});
    rows.insert({{0, 1}, {0, 2}});
    REQUIRE(rows.size() == 2);
    const auto bytes = encode(rows);
    CHECK_THROWS_AS((decode<std::set<std::pair<int, int>, ByColumn>>(bytes)), ProtocolError);
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
