#include "tune/value.hpp"

#include <cmath>
#include <cstdio>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // which Clang 14 does not deduce

std::string joined(const Value::List& list, int digits) {
  std::string text;
  for (const Value& value : list) text += (text.empty() ? "" : ",") + value.to_text(digits);
  return "[" + text + "]";
}

std::string joined(const Value::Dict& dict, int digits) {
  std::string text;
  for (const Entry& entry : dict) text += (text.empty() ? "" : ",") + entry.name + "=" + entry.value.to_text(digits);
  return "{" + text + "}";
}

}  // namespace

std::string number_text(double value, int digits) {
  if (std::isnan(value)) return "nan";
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

void Value::refuse_integer(std::uint64_t value) {
  throw InvalidArgument("the integer " + std::to_string(value) + " does not fit into a signed one of 64 bits, as values are. Give it " +
                        "as a double or a text.");
}

const char* Value::type_name() const noexcept {
  static constexpr const char* kNames[] = {"none", "bool", "int", "double", "string", "list", "table"};
  return kNames[data_.index()];
}

std::string Value::to_text(int digits) const {
  return std::visit(Overloaded{[](std::monostate) { return std::string("none"); },
                               [](bool value) { return std::string(value ? "true" : "false"); },
                               [](std::int64_t value) { return std::to_string(value); },
                               [&](double value) { return number_text(value, digits); },
                               [](const std::string& value) { return value; },
                               [&](const auto& nested) { return joined(nested, digits); }},
                    data_);
}

bool operator==(const Value& a, const Value& b) {
  if (a.data_.index() != b.data_.index()) return false;
  if (const auto* x = a.as<double>()) {
    const double y = *b.as<double>();
    return *x == y || (std::isnan(*x) && std::isnan(y));
  }
  if (const auto* x = a.as<Value::Dict>()) {
    const auto& y = *b.as<Value::Dict>();
    if (x->size() != y.size()) return false;
    for (std::size_t i = 0; i < x->size(); ++i)
      if ((*x)[i].name != y[i].name || !((*x)[i].value == y[i].value)) return false;
    return true;
  }
  if (const auto* x = a.as<Value::List>()) return *x == *b.as<Value::List>();
  if (const auto* x = a.as<std::string>()) return *x == *b.as<std::string>();
  if (const auto* x = a.as<std::int64_t>()) return *x == *b.as<std::int64_t>();
  if (const auto* x = a.as<bool>()) return *x == *b.as<bool>();
  return true;
}

}  // namespace manta::tune
