#include "tune/condition.hpp"

#include <algorithm>

namespace manta::tune {

namespace {

std::optional<double> number_of(const Value& value) {
  if (const auto* integer = value.as<std::int64_t>()) return static_cast<double>(*integer);
  if (const auto* number = value.as<double>()) return *number;
  return std::nullopt;
}

bool same(const Value& a, const Value& b) {
  const auto x = number_of(a), y = number_of(b);
  return x && y ? *x == *y : a == b;
}

std::string joined(const std::vector<Clause>& clauses) {
  std::string text;
  for (const Clause& clause : clauses) text += (text.empty() ? "" : " and ") + clause.describe();
  return text;
}

}  // namespace

bool Clause::holds(const Value& value) const {
  if (at_least) {
    const auto number = number_of(value);
    return number && *number >= *at_least;
  }
  return std::any_of(values.begin(), values.end(), [&](const Value& one) { return same(one, value); });
}

std::string Clause::describe() const {
  if (at_least) return name + " >= " + number_text(*at_least, 17);
  if (values.size() == 1) return name + " = " + values.front().to_text(17);
  return name + " in " + Value(values).to_text(17);
}

std::string Condition::describe() const { return "when(" + joined(clauses) + ")"; }

std::string Forbidden::describe() const { return "forbid(" + joined(clauses) + ")"; }

}  // namespace manta::tune
