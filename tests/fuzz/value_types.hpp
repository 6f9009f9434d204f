#pragma once
// Types of users' values, one of each kind that can travel, and what reads all of such a value.
#include <ranges>

#include "runtime/polymorphic.hpp"

namespace fuzzed {

struct Inner {
  std::string name{};
  std::vector<double> numbers{};
  std::optional<bool> flag{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, numbers, flag);
  }
};

struct Outer {
  std::map<std::string, std::vector<Inner>> table{};
  std::variant<int, std::string, Inner> either{};
  std::unique_ptr<Inner> owned{};
  manta::Buffer raw{};
  std::vector<bool> bits{};
  std::array<float, 3> point{};
  std::unordered_set<std::int16_t> unique{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(table, either, owned, raw, bits, point, unique);
  }
};

struct Empty {};
enum class Colour : std::uint8_t { kRed, kGreen };

/// What is not each bit pattern, and what has no bytes.
struct Bools {
  std::array<bool, 5> array{};
  bool plain[3]{};
  std::array<std::array<bool, 2>, 2> nested{};
  std::bitset<19> set{};
  std::pair<bool, Colour> pair{};
  std::array<double, 0> none{};
  Empty empty{};
  std::vector<Empty> empties{};
  std::deque<bool> deque{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(array, plain, nested, set, pair, none, empty, empties, deque);
  }
};

struct Sequences {
  std::list<std::string> list{};
  std::forward_list<std::uint16_t> forward{};
  std::queue<int> queue{};
  std::priority_queue<int> by_size{};
  std::stack<std::string> stack{};
  std::filesystem::path path{};
  std::vector<std::optional<std::array<std::int16_t, 3>>> points{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(list, forward, queue, by_size, stack, path, points);
  }
};

struct Keyed {
  std::set<std::string> set{};
  std::multiset<int> multiset{};
  std::multimap<int, std::string> multimap{};
  std::unordered_map<std::string, std::list<bool>> unordered{};
  std::unordered_multimap<int, bool> unordered_multimap{};
  std::unordered_multiset<std::uint8_t> unordered_multiset{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(set, multiset, multimap, unordered, unordered_multimap, unordered_multiset);
  }
};

struct Moments {
  std::chrono::nanoseconds span{};
  std::chrono::system_clock::time_point point{};
  std::complex<double> complex{};
  std::vector<std::complex<float>> more{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(span, point, complex, more);
  }
};

struct Number {
  std::int64_t number{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(number);
  }
};

/// No circle can come of these.
struct Sharing {
  std::shared_ptr<Inner> first{}, second{};
  std::shared_ptr<Number> number{};
  std::weak_ptr<Inner> weak{};
  std::vector<std::shared_ptr<std::string>> texts{};
  std::shared_ptr<std::array<bool, 2>> bools{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(first, second, number, weak, texts, bools);
  }
};

struct Tree {
  std::vector<Tree> children{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(children);
  }
};

struct Chain {
  std::uint8_t number{};
  std::unique_ptr<Chain> next{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(number, next);
  }
};

/// Made with its own; part of it is read before it is there, part of it after. No circle can come of it: what may hold another one is read before.
struct Made {
  Made(std::string n, std::shared_ptr<Made> b, std::unique_ptr<Made> o) : name(std::move(n)), before(std::move(b)), owned(std::move(o)) {}
  std::string name;
  std::shared_ptr<Made> before;
  std::unique_ptr<Made> owned;
  std::vector<std::string> after{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, before, owned, after);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Made>& construct) {
    std::string name;
    std::shared_ptr<Made> before;
    std::unique_ptr<Made> owned;
    archive(name, before, owned);
    construct(std::move(name), std::move(before), std::move(owned));
    archive(construct->after);
  }
};

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const { return 0; }
  template <class Archive>
  void serialize(Archive&) {}
};
struct Circle final : Shape {
  double radius{};
  double area() const override { return 3 * radius * radius; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Shape>(this), radius);
  }
};
struct Polygon final : Shape {
  std::vector<float> corners{};
  double area() const override { return corners.empty() ? 0 : corners.front() + corners.back(); }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Shape>(this), corners);
  }
};
struct Drawing {
  std::vector<std::unique_ptr<Shape>> owned{};
  std::shared_ptr<Shape> first{}, second{};
  std::shared_ptr<Circle> circle{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(owned, first, second, circle);
  }
};

/// Reads every number, text and bool of a value, and counts them.
struct Look {
  std::size_t parts = 0;
  volatile double sum = 0;

  template <class T>
  explicit Look(const T& value) {
    at(value);
  }
  template <class... T>
  void operator()(const T&... values) {
    (at(values), ...);
  }

 private:
  template <class T>
  void at(const T& value) {
    ++parts;
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) sum = sum + static_cast<double>(value);
    else if constexpr (requires { value.area(); }) at(value.area());
    else if constexpr (requires { const_cast<T&>(value).serialize(*this); }) const_cast<T&>(value).serialize(*this);
    else if constexpr (requires { value.native(); }) at(value.native());
    else if constexpr (requires { value.bytes(); }) at(value.bytes());
    else if constexpr (requires { std::size(value); } && std::ranges::input_range<const T>) range(value);
    else if constexpr (std::ranges::input_range<const T>) range(value);
    else if constexpr (requires { value.valueless_by_exception(); }) std::visit([this](const auto& each) { this->at(each); }, value);
    else if constexpr (requires { std::tuple_size<T>::value; }) std::apply([&self = *this](const auto&... each) { (self.at(each), ...); }, value);
    else if constexpr (requires { value.lock(); }) at(value.lock());
    else if constexpr (requires { value.has_value(); } || requires { value.get(); }) value ? at(*value) : void();
    else if constexpr (requires { value.top(); }) value.empty() ? void() : at(value.top());
    else if constexpr (requires { value.front(); }) value.empty() ? void() : at(value.front());
    else if constexpr (requires { value.time_since_epoch(); }) at(value.time_since_epoch().count());
    else if constexpr (requires { value.real(); }) at(value.real() + value.imag());
    else if constexpr (requires { value.count(); }) at(value.count());
    else static_assert(std::is_empty_v<T>);
  }
  void range(const auto& values) {
    for (const auto& each : values) at(each);
  }
};

}  // namespace fuzzed

CEREAL_REGISTER_TYPE(fuzzed::Circle)
CEREAL_REGISTER_TYPE(fuzzed::Polygon)
