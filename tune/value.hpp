#pragma once
// Value: one entry of a configuration: a bool, a 64-bit integer, a double, a text, a list or a nested table.
// Number: an option field that takes any arithmetic type, so that `{.max_t = epochs}` works whatever epochs is.
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace manta::tune {

struct Entry;

/// A plain value. Copying copies all that is in it. InvalidArgument for an unsigned integer beyond 63 bits.
class Value {
 public:
  using List = std::vector<Value>;
  using Dict = std::vector<Entry>;  ///< in the order in which the entries were added

  Value() noexcept;  ///< "none": a parameter that has no value yet
  Value(const Value& other);
  Value(Value&& other) noexcept;
  Value& operator=(const Value& other);
  Value& operator=(Value&& other) noexcept;
  ~Value();
  Value(bool value);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Value(T value);
  template <std::floating_point T>
  Value(T value);
  Value(const char* value);
  Value(std::string value);
  Value(List value);
  Value(Dict value);
  template <class T>
    requires(!std::same_as<T, Value> && !std::same_as<T, Entry> && std::convertible_to<T, Value>)
  Value(const std::vector<T>& values) : Value(List(values.begin(), values.end())) {}

  /// The alternative of type T, or null when the value is of another type.
  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&data_);
  }
  template <class T>
  T* as() noexcept {
    return std::get_if<T>(&data_);
  }
  bool is_none() const noexcept { return std::holds_alternative<std::monostate>(data_); }

  /// "bool", "int", "double", "string", "list", "table" or "none": the words that error messages use.
  const char* type_name() const noexcept;

  /// Text for tables and names: `float_digits` significant digits, a list as [1,2], a table as {a=1,b=2}.
  std::string to_text(int float_digits = 5) const;

  friend bool operator==(const Value& a, const Value& b);

 private:
  [[noreturn]] static void refuse_integer(std::uint64_t value);
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict> data_;
};

struct Entry {
  std::string name{};
  Value value{};
};

// Here, where an Entry is complete: Clang looks at a vector's elements as soon as something could make or destroy them.
inline Value::Value() noexcept = default;
inline Value::Value(const Value&) = default;
inline Value::Value(Value&&) noexcept = default;
inline Value& Value::operator=(const Value&) = default;
inline Value& Value::operator=(Value&&) noexcept = default;
inline Value::~Value() = default;
inline Value::Value(bool value) : data_(value) {}
inline Value::Value(const char* value) : data_(std::string(value)) {}
inline Value::Value(std::string value) : data_(std::move(value)) {}
inline Value::Value(List value) : data_(std::move(value)) {}
inline Value::Value(Dict value) : data_(std::move(value)) {}
template <std::integral T>
  requires(!std::same_as<T, bool>)
Value::Value(T value) : data_(static_cast<std::int64_t>(value)) {
  if constexpr (std::unsigned_integral<T>)
    if (*as<std::int64_t>() < 0) refuse_integer(static_cast<std::uint64_t>(value));
}
template <std::floating_point T>
Value::Value(T value) : data_(static_cast<double>(value)) {}

struct Number {
  template <class T>
    requires std::is_arithmetic_v<T>
  constexpr Number(T number) noexcept : value(static_cast<double>(number)) {}
  constexpr operator double() const noexcept { return value; }
  double value;
};

/// A double with that many significant digits, without trailing zeros: 0.00012, 1e-07, nan, inf.
std::string number_text(double value, int digits);

}  // namespace manta::tune
