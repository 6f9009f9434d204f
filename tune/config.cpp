#include "tune/config.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

/// The list's item that the head of a path numbers, or none.
std::optional<std::size_t> item_of(const Value::List& list, std::string_view head) noexcept {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(head.data(), head.data() + head.size(), index);
  const bool whole = error == std::errc{} && end == head.data() + head.size();
  return whole && index < list.size() ? std::optional(index) : std::nullopt;
}

const Value* find_in(const Value::Dict& entries, std::string_view path) noexcept;

const Value* find_below(const Value& value, std::string_view path) noexcept {
  if (const auto* nested = value.as<Value::Dict>()) return find_in(*nested, path);
  const auto* list = value.as<Value::List>();
  const auto slash = path.find('/');
  const auto item = list ? item_of(*list, path.substr(0, slash)) : std::nullopt;
  if (!item) return nullptr;
  return slash == std::string_view::npos ? &(*list)[*item] : find_below((*list)[*item], path.substr(slash + 1));
}

const Value* find_in(const Value::Dict& entries, std::string_view path) noexcept {
  const auto slash = path.find('/');
  const std::string_view head = path.substr(0, slash);
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == head; });
  if (found == entries.end()) return nullptr;
  return slash == std::string_view::npos ? &found->value : find_below(found->value, path.substr(slash + 1));
}

void set_in(Value::Dict& entries, std::string_view path, Value value);

void set_below(Value& place, std::string_view path, Value value) {
  auto* list = place.as<Value::List>();
  const auto slash = path.find('/');
  if (const auto item = list ? item_of(*list, path.substr(0, slash)) : std::nullopt) {
    if (slash == std::string_view::npos)
      (*list)[*item] = std::move(value);
    else
      set_below((*list)[*item], path.substr(slash + 1), std::move(value));
    return;
  }
  if (list)
    throw InvalidArgument("a configuration cannot be given '" + std::string(path) + "' within a list of " + std::to_string(list->size()) +
                          " items. Name an item by its number, from 0, or set the whole list.");
  if (!place.as<Value::Dict>()) place = Value::Dict{};
  set_in(*place.as<Value::Dict>(), path, std::move(value));
}

void set_in(Value::Dict& entries, std::string_view path, Value value) {
  const auto slash = path.find('/');
  const std::string_view head = path.substr(0, slash);
  auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == head; });
  if (found == entries.end()) found = entries.insert(entries.end(), Entry{std::string(head), Value{}});
  if (slash == std::string_view::npos)
    found->value = std::move(value);
  else
    set_below(found->value, path.substr(slash + 1), std::move(value));
}

void flatten(const Value::Dict& entries, const std::string& prefix, std::vector<std::pair<std::string, Value>>& out) {
  for (const Entry& entry : entries) {
    if (const auto* nested = entry.value.as<Value::Dict>())
      flatten(*nested, prefix + entry.name + "/", out);
    else
      out.emplace_back(prefix + entry.name, entry.value);
  }
}

}  // namespace

const Value* Config::find(std::string_view path) const noexcept { return find_in(entries_, path); }

void Config::set(std::string_view path, Value value) { set_in(entries_, path, std::move(value)); }

std::vector<std::pair<std::string, Value>> Config::flat() const {
  std::vector<std::pair<std::string, Value>> leaves;
  flatten(entries_, "", leaves);
  return leaves;
}

std::string Config::describe() const {
  std::string text;
  for (const auto& [path, value] : flat())
    text += (text.empty() ? "" : ", ") + path + " = " + value.to_text() + " (" + value.type_name() + ")";
  return text.empty() ? "nothing" : text;
}

const Value& Config::need(std::string_view path) const {
  const Value* value = find(path);
  if (!value) throw NotFound("the configuration has no parameter '" + std::string(path) + "'. It has: " + describe() + ".");
  if (value->is_none()) throw NotFound("the parameter '" + std::string(path) + "' has no value yet.");
  return *value;
}

void throw_wrong_type(std::string_view path, const Value& value, const char* wanted) {
  throw InvalidArgument("the parameter '" + std::string(path) + "' is of type " + value.type_name() + " (" +
                        value.to_text() + "), not " + wanted + ". Read it as " + value.type_name() +
                        ", or change the search space.");
}

void throw_out_of_range(std::string_view path, const Value& value, int bits) {
  throw InvalidArgument("the parameter '" + std::string(path) + "' is " + value.to_text() + ", which does not fit into " +
                        std::to_string(bits) + " bits. Read it as std::int64_t.");
}

}  // namespace manta::tune
