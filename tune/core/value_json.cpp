#include "tune/core/value_json.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "runtime/errors.hpp"
#include "tune/utf8.hpp"

namespace manta::tune {

namespace {

constexpr const char* kDouble = "$double";
constexpr const char* kBytes = "$bytes";
constexpr const char* kTable = "$table";
constexpr std::string_view kDigits = "0123456789abcdef";

Json number_json(double number) {
  if (std::isfinite(number)) return number;
  return {{kDouble, std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf"}};
}

/// One that is no UTF-8, which JSON cannot hold, as two digits for each byte.
Json text_json(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string digits;
  for (const char c : text) (digits += kDigits[static_cast<unsigned char>(c) >> 4]) += kDigits[static_cast<unsigned char>(c) & 15];
  return {{kBytes, digits}};
}

/// The inverse; nullopt for what text_json does not write.
std::optional<std::string> bytes_of(std::string_view digits) {
  if (digits.size() % 2 != 0 || digits.find_first_not_of(kDigits) != digits.npos) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(kDigits.find(digits[i]) << 4 | kDigits.find(digits[i + 1]));
  return is_utf8(bytes) ? std::nullopt : std::optional(bytes);
}

/// A table of names that no JSON object can have.
Json pairs_json(const Value::Dict& table) {
  Json pairs = Json::array();
  for (const Entry& entry : table) pairs.push_back(Json::array({text_json(entry.name), value_json(entry.value)}));
  return Json::object({{kTable, std::move(pairs)}});
}

/// The inverse; nullopt for what pairs_json does not write.
std::optional<Value::Dict> table_of_pairs(const Json& pairs) {
  if (!pairs.is_array()) return std::nullopt;
  Value::Dict table;
  bool needed = false;
  for (const Json& each : pairs) {
    const Value name = each.is_array() && each.size() == 2 ? json_value(each[0]) : Value();
    const auto* text = name.as<std::string>();
    if (!text) return std::nullopt;
    needed |= !is_utf8(*text);
    table.push_back({*text, json_value(each[1])});
  }
  return needed ? std::optional(std::move(table)) : std::nullopt;
}

bool nests_deeper(std::string_view text, int most) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') ++i;
    if (quoted) continue;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > most) return true;
  }
  return false;
}

Value table_of(const Json& json) {
  if (json.size() == 1 && json.begin().key() == kDouble && json.begin()->is_string())
    return std::strtod(json.begin()->get<std::string>().c_str(), nullptr);
  if (json.size() == 1 && json.begin().key() == kBytes && json.begin()->is_string())
    if (auto bytes = bytes_of(json.begin()->get_ref<const std::string&>())) return *std::move(bytes);
  if (json.size() == 1 && json.begin().key() == kTable)
    if (auto pairs = table_of_pairs(*json.begin())) return *std::move(pairs);
  Value::Dict table;
  for (const auto& [name, item] : json.items()) table.push_back({name, json_value(item)});
  return table;
}

}  // namespace

Json parse_json(std::string_view text) {
  constexpr int kMaxDepth = 1000;
  if (nests_deeper(text, kMaxDepth)) throw InvalidArgument("JSON: it is nested more than " + std::to_string(kMaxDepth) + " deep.");
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw InvalidArgument(std::string("it is no JSON: ") + error.what());
  }
}

std::uint64_t whole_number(const Json& json, std::uint64_t most) {
  constexpr double kBeyond = 0x1.0p63;
  std::optional<std::uint64_t> number;
  if (json.is_number_unsigned()) number = json.get<std::uint64_t>();
  if (json.is_number_float())
    if (const double value = json.get<double>(); value >= 0 && value < kBeyond && value == std::floor(value)) number = static_cast<std::uint64_t>(value);
  if (!number || *number > most) throw InvalidArgument("JSON: it holds something else where a whole number from 0 to " + std::to_string(most) + " is due.");
  return *number;
}

TrialIndex trial_of(const Json& json) { return static_cast<TrialIndex>(whole_number(json, std::numeric_limits<TrialIndex>::max())); }

std::set<TrialIndex> trials_of(const Json& json) {
  if (!json.is_array()) throw InvalidArgument("JSON: it holds something else where a list of trials is due.");
  std::set<TrialIndex> trials;
  for (const Json& one : json) trials.insert(trial_of(one));
  return trials;
}

Json value_json(const Value& value) {
  if (const auto* boolean = value.as<bool>()) return *boolean;
  if (const auto* integer = value.as<std::int64_t>()) return *integer;
  if (const auto* number = value.as<double>()) return number_json(*number);
  if (const auto* text = value.as<std::string>()) return text_json(*text);
  if (const auto* list = value.as<Value::List>()) {
    Json array = Json::array();
    for (const Value& item : *list) array.push_back(value_json(item));
    return array;
  }
  if (const auto* table = value.as<Value::Dict>()) {
    if (!std::all_of(table->begin(), table->end(), [](const Entry& entry) { return is_utf8(entry.name); })) return pairs_json(*table);
    Json object = Json::object();
    for (const Entry& entry : *table) object[entry.name] = value_json(entry.value);
    return object;
  }
  return nullptr;
}

Value json_value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer: return json.get<std::int64_t>();
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        throw InvalidArgument("JSON: " + json.dump() + " does not fit into a signed integer of 64 bits.");
      return json.get<std::int64_t>();
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::string: return json.get<std::string>();
    case Json::value_t::object: return table_of(json);
    case Json::value_t::array: {
      Value::List list;
      for (const Json& item : json) list.push_back(json_value(item));
      return list;
    }
    default: return {};
  }
}

}  // namespace manta::tune
