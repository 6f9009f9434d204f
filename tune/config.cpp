#include "tune/config.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

const Value* find_in(const Value::Dict& entries, std::string_view path) noexcept {
  const auto slash = path.find('/');
  const std::string_view head = path.substr(0, slash);
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == head; });
  if (found == entries.end()) return nullptr;
  if (slash == std::string_view::npos) return &found->value;
  const auto* nested = found->value.as<Value::Dict>();
  return nested ? find_in(*nested, path.substr(slash + 1)) : nullptr;
}

void set_in(Value::Dict& entries, std::string_view path, Value value) {
  const auto slash = path.find('/');
  const std::string_view head = path.substr(0, slash);
  auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == head; });
  if (found == entries.end()) found = entries.insert(entries.end(), Entry{std::string(head), Value{}});
  if (slash == std::string_view::npos) {
    found->value = std::move(value);
    return;
  }
  if (!found->value.as<Value::Dict>()) found->value = Value::Dict{};
  set_in(*found->value.as<Value::Dict>(), path.substr(slash + 1), std::move(value));
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
