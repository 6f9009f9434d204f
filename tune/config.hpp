#pragma once
// Config: the parameters of one trial, by name, typed. Nested tables are reached by a path: "model/width", and so are the
// items of a list: "layers/0".
//
//   double lr = config.get<double>("lr");          // an int is accepted where a double is asked for, not the reverse
//   auto name = config.get_or<std::string>("optimizer", "sgd");
//
// A plain value in the order of the search space; reading is thread-safe.
#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tune/value.hpp"

namespace manta::tune {

class Config {
 public:
  Config() = default;
  explicit Config(Value::Dict entries) : entries_(std::move(entries)) {}
  /// {{"lr", 0.01}, {"model/width", 64}}: names are paths.
  Config(std::initializer_list<Entry> entries) {
    for (const Entry& entry : entries) set(entry.name, entry.value);
  }

  /// The parameter at `path` as T: bool, any integer or floating-point type, std::string, std::vector of these, Value,
  /// or Config for a nested table. NotFound when there is no such parameter, InvalidArgument when it is of another type
  /// or does not fit; both say what there is.
  template <class T>
  T get(std::string_view path) const;

  /// The parameter at `path`, or `fallback` where there is none. A wrong type is an error still. In a sample_from function
  /// NotFound, as of get, where the parameter is another function's that is yet to be called: this one is called again then.
  template <class T>
  T get_or(std::string_view path, T fallback) const {
    const Value* value = find(path);
    return value && (!value->is_none() || is_pending(path)) ? get<T>(path) : fallback;
  }

  bool contains(std::string_view path) const noexcept { return find(path) != nullptr; }
  /// The value at `path`, or null.
  const Value* find(std::string_view path) const noexcept;
  /// Adds or replaces; tables on the way are made, items that a list has are replaced. InvalidArgument for a list's item that it
  /// does not have.
  void set(std::string_view path, Value value);

  const Value::Dict& entries() const noexcept { return entries_; }
  bool empty() const noexcept { return entries_.empty(); }

  /// Every leaf with its path: {"model/width", 64}, …
  std::vector<std::pair<std::string, Value>> flat() const;

  /// "l1 = 64 (int), lr = 0.01 (double)", for messages.
  std::string describe() const;

  friend bool operator==(const Config& a, const Config& b) { return Value(a.entries_) == Value(b.entries_); }

 private:
  friend class FlatSpace;
  const Value& need(std::string_view path) const;
  bool is_pending(std::string_view path) const { return std::find(pending_.begin(), pending_.end(), path) != pending_.end(); }
  Value::Dict entries_;
  std::vector<std::string> pending_;  ///< sample_from parameters whose function is yet to be called
};

[[noreturn]] void throw_wrong_type(std::string_view path, const Value& value, const char* wanted);
[[noreturn]] void throw_out_of_range(std::string_view path, const Value& value, int bits);

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
T integer_as(const Value& value, std::string_view path) {
  const auto* number = value.as<std::int64_t>();
  if (!number) throw_wrong_type(path, value, "int");
  if (!std::in_range<T>(*number)) throw_out_of_range(path, value, static_cast<int>(sizeof(T) * 8));
  return static_cast<T>(*number);
}

template <class T>
T value_as(const Value& value, std::string_view path) {
  if constexpr (std::is_same_v<T, Value>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.as<bool>() ? *value.as<bool>() : (throw_wrong_type(path, value, "bool"), false);
  } else if constexpr (std::is_integral_v<T>) {
    return integer_as<T>(value, path);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (const auto* number = value.as<std::int64_t>()) return static_cast<T>(*number);
    return value.as<double>() ? static_cast<T>(*value.as<double>()) : (throw_wrong_type(path, value, "double"), T{});
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value.as<std::string>() ? *value.as<std::string>() : (throw_wrong_type(path, value, "string"), T{});
  } else if constexpr (std::is_same_v<T, Config>) {
    return value.as<Value::Dict>() ? Config(*value.as<Value::Dict>()) : (throw_wrong_type(path, value, "table"), T{});
  } else {
    static_assert(IsVector<T>::value,
                  "Config::get<T>: T is bool, an integer, a floating-point type, std::string, std::vector, Value or Config");
    if (!value.as<Value::List>()) throw_wrong_type(path, value, "list");
    T list;
    for (const Value& item : *value.as<Value::List>())
      list.push_back(value_as<typename T::value_type>(item, std::string(path) + "/" + std::to_string(list.size())));
    return list;
  }
}

template <class T>
T Config::get(std::string_view path) const {
  return value_as<T>(need(path), path);
}

}  // namespace manta::tune
