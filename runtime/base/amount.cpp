#include "runtime/base/amount.hpp"

namespace manta {

std::string Amount::to_string() const {
  std::string text = std::to_string(raw_ / kUnit);
  if (raw_ < 0 && raw_ / kUnit == 0) text = "-" + text;
  const auto fraction = std::abs(raw_ % kUnit);
  if (fraction == 0) return text;
  std::string digits = std::to_string(kUnit + fraction).substr(1);
  while (digits.back() == '0') digits.pop_back();
  return text + "." + digits;
}

namespace {
/// With the unit, where it has one.
std::string with_unit(const std::string& name, Amount amount) {
  if (name != "memory") return amount.to_string();
  return amount.to_string() + (amount < bytes_as_amount(UINT64_MAX) ? " bytes" : " or more bytes");
}
}  // namespace

std::string amount_text(const std::string& name, Amount amount) { return with_unit(name, amount) + (name == "memory" ? " of " : " ") + name; }

std::string Resources::to_string() const {
  std::string text = "{";
  for (const auto& [name, amount] : amounts_) text += (text.size() > 1 ? ", " : "") + name + ": " + with_unit(name, amount);
  return text + "}";
}

}  // namespace manta
