#pragma once
// Metrics: what a trial reports, names and numbers in the order given. A plain value.
//
//   ctx.report({{"loss", loss}, {"accuracy", accuracy}});
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tune/value.hpp"

namespace manta::tune {

class Metrics {
 public:
  using Item = std::pair<std::string, double>;

  Metrics() = default;
  /// A name given twice keeps the last number. NaN and infinities are allowed; they are never the best.
  Metrics(std::initializer_list<std::pair<std::string_view, Number>> items) {
    for (const auto& [name, number] : items) set(name, number);
  }

  void set(std::string_view name, double value) {
    auto found = find(name);
    if (found == items_.end())
      items_.emplace_back(name, value);
    else
      found->second = value;
  }
  std::optional<double> get(std::string_view name) const {
    auto found = const_cast<Metrics*>(this)->find(name);
    return found == items_.end() ? std::nullopt : std::optional(found->second);
  }
  bool contains(std::string_view name) const { return get(name).has_value(); }
  auto begin() const noexcept { return items_.begin(); }
  auto end() const noexcept { return items_.end(); }
  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }

  /// "loss, accuracy", for messages.
  std::string names() const {
    std::string text;
    for (const auto& [name, value] : items_) text += (text.empty() ? "" : ", ") + name;
    return text.empty() ? "nothing" : text;
  }

  friend bool operator==(const Metrics&, const Metrics&) = default;

 private:
  std::vector<Item>::iterator find(std::string_view name) {
    return std::find_if(items_.begin(), items_.end(), [&](const Item& item) { return item.first == name; });
  }
  std::vector<Item> items_;
};

}  // namespace manta::tune
