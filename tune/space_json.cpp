#include "tune/space_json.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

#include "runtime/errors.hpp"
#include "tune/core/value_json.hpp"

namespace manta::tune {

namespace {

using Kind = Domain::Kind;

constexpr const char* kWhen = "when";
constexpr const char* kForbid = "forbid";
constexpr const char* kFunction = "sample_from";
constexpr std::array kWords = {"uniform",  "loguniform",  "quniform", "qloguniform", "randint", "lograndint",  "qrandint", "qlograndint",
                               "randn",    "qrandn",      "choice",   "ordinal",     "grid_search", "list", "space",    "constant"};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw InvalidArgument("search space in JSON: the parameter '" + path + "' " + why);
}

bool is_word(const std::string& key) { return std::find(kWords.begin(), kWords.end(), key) != kWords.end(); }

/// The word by which an object is a domain and no table.
std::optional<std::string> word_of(const Json& object) {
  std::optional<std::string> word;
  for (const auto& [key, value] : object.items()) {
    if (key == kWhen) continue;
    if (word || !is_word(key)) return std::nullopt;
    word = key;
  }
  return word;
}

/// A name for which an object that is no domain may be a slip of the pen: a table that really has it is written within "space".
std::optional<std::string> doubtful_name(const Json& object) {
  for (const auto& [key, value] : object.items())
    if (is_word(key) || key == kWhen || key == kFunction) return key;
  return std::nullopt;
}

bool holds_object(const Json& json) {
  if (json.is_object()) return true;
  return json.is_array() && std::any_of(json.begin(), json.end(), holds_object);
}

// Writing

Json clauses_json(const std::vector<Clause>& clauses) {
  Json object = Json::object(), several = Json::array();
  for (const Clause& clause : clauses) {
    if (object.contains(clause.name)) several.push_back(std::exchange(object, Json::object()));  // both must hold
    object[clause.name] = clause.at_least ? Json{{"at_least", *clause.at_least}} : value_json(Value(clause.values));
  }
  if (several.empty()) return object;
  several.push_back(object);
  return several;
}

Json space_json(const Space& space, const std::string& prefix);

Json numeric_json(const Domain& domain) {
  const std::string text = domain.describe();  // its word is that of the description
  const bool integer = domain.kind() == Kind::kInteger;
  Json arguments = integer ? Json{domain.int_low(), domain.int_high()} : Json{domain.low(), domain.high()};
  if (domain.has_q()) arguments.push_back(integer ? Json(domain.int_q()) : Json(domain.q()));
  return {{text.substr(0, text.find('(')), arguments}};
}

bool holds_word(const Json& json) {
  if (json.is_object() && word_of(json)) return true;
  return json.is_structured() && std::any_of(json.begin(), json.end(), holds_word);
}

/// An option that could be taken for a domain is written as a constant.
Json options_json(const std::vector<Value>& options) {
  Json array = Json::array();
  for (const Value& option : options) {
    Json json = value_json(option);
    array.push_back(holds_word(json) ? Json{{"constant", std::move(json)}} : std::move(json));
  }
  return array;
}

Json domain_json(const Domain& domain, const std::string& path) {
  switch (domain.kind()) {
    case Kind::kFloat:
    case Kind::kInteger:
    case Kind::kNormal: return numeric_json(domain);
    case Kind::kChoice: return {{"choice", options_json(domain.values())}};
    case Kind::kOrdinal: return {{"ordinal", options_json(domain.values())}};
    case Kind::kGrid: return {{"grid_search", options_json(domain.values())}};
    case Kind::kSampleFrom:
      refuse(path, "is a sample_from function, which cannot be written. Use a domain, or keep the space in the program.");
    case Kind::kConstant: {
      Json constant = value_json(domain.values().front());
      return holds_object(constant) ? Json{{"constant", std::move(constant)}} : constant;
    }
    case Kind::kNested: {
      Json table = space_json(domain.nested(), path + "/");
      return doubtful_name(table) ? Json{{"space", std::move(table)}} : table;
    }
    case Kind::kList: break;
  }
  Json items = Json::array();
  for (std::size_t i = 0; i < domain.elements().size(); ++i)
    items.push_back(domain_json(domain.elements()[i], path + "/" + std::to_string(i)));
  return {{"list", items}};
}

Json parameter_json(const Parameter& parameter, const std::string& path) {
  Json json = domain_json(parameter.domain, path);
  const bool conditional = !parameter.condition.clauses.empty();
  // A parameter called "forbid" that is no domain would be read as combinations.
  const bool needs_word = conditional || parameter.name == kForbid;
  if (needs_word && !json.is_object()) json = Json{{"constant", json}};
  if (needs_word && !word_of(json)) json = Json{{"space", json}};
  if (conditional) json[kWhen] = clauses_json(parameter.condition.clauses);
  return json;
}

Json space_json(const Space& space, const std::string& prefix) {
  Json object = Json::object();
  for (const Parameter& parameter : space.parameters()) object[parameter.name] = parameter_json(parameter, prefix + parameter.name);
  Json combinations = Json::array();
  for (const Forbidden& forbidden : space.forbidden()) {
    Json clauses = clauses_json(forbidden.clauses);
    combinations.push_back(std::move(clauses));
  }
  if (!combinations.empty() && object.contains(kForbid))
    refuse(prefix + kForbid, "cannot be written beside forbidden combinations, which have that name in JSON. Rename it.");
  if (!combinations.empty()) object[kForbid] = combinations;
  return object;
}

// Reading

void read_clauses(const Json& json, const std::string& path, std::vector<Clause>& clauses) {
  if (json.is_array()) {
    for (const Json& item : json) read_clauses(item, path, clauses);
    return;
  }
  if (!json.is_object()) refuse(path, "has a condition that is not an object of names and values: " + json.dump() + ".");
  for (const auto& [name, wanted] : json.items()) {
    if (wanted.is_object() && wanted.size() == 1 && wanted.contains("at_least") && wanted.at("at_least").is_number())
      clauses.push_back(Clause::at_least_bound(name, wanted.at("at_least").get<double>()));
    else if (wanted.is_array())
      clauses.push_back(Clause::from(name, *json_value(wanted).as<Value::List>()));
    else
      clauses.push_back(Clause::from(name, {json_value(wanted)}));
  }
}

Space read_space(const Json& json, const std::string& prefix);
Domain read_domain(const Json& json, const std::string& path);

Domain read_numeric(const std::string& word, const Json& arguments, const std::string& path) {
  const bool quantised = word.front() == 'q', log = word.find("log") != std::string::npos;
  const bool integer = word.find("randint") != std::string::npos;
  const std::size_t wanted = quantised ? 3 : 2;
  const bool fits = arguments.is_array() && arguments.size() == wanted &&
                    std::all_of(arguments.begin(), arguments.end(),
                                [&](const Json& item) { return integer ? item.is_number_integer() : item.is_number(); });
  if (!fits)
    refuse(path, "is {\"" + word + "\": " + arguments.dump() + "}, but " + word + " takes " + std::to_string(wanted) +
                     (integer ? " integers." : " numbers."));
  for (const Json& item : arguments)
    if (integer && item.is_number_unsigned() && item.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
      refuse(path, "is {\"" + word + "\": " + arguments.dump() + "}, of which " + item.dump() + " does not fit into a signed integer of 64 bits.");
  const auto told = [&](Domain domain) { return quantised ? std::move(domain).with_q() : domain; };
  if (integer)
    return told(Domain::integer(arguments.at(0).get<std::int64_t>(), arguments.at(1).get<std::int64_t>(), log,
                                quantised ? arguments.at(2).get<std::int64_t>() : 0));
  const double a = arguments.at(0).get<double>(), b = arguments.at(1).get<double>();
  const double q = quantised ? arguments.at(2).get<double>() : 0;
  return told(word.find("randn") != std::string::npos ? Domain::normal(a, b, q) : Domain::floating(a, b, log, q));
}

Domain read_list(const Json& items, const std::string& path) {
  std::vector<Domain> elements;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string item = path + "/" + std::to_string(i);
    if (items[i].is_object() && word_of(items[i]) && items[i].contains(kWhen))
      refuse(item, "is an item of a list, which has no condition (\"when\") of its own. Make it a parameter.");
    elements.push_back(read_domain(items[i], item));
  }
  return list(std::move(elements));
}

/// That a grid's options may stand for: they are held all at once, and a few grids within grids could take all memory.
constexpr std::size_t kMostCombinations = 10'000;

/// How many an option stands for; beyond the limit one more than that.
std::size_t combinations_of(const Json& option) {
  if (!holds_object(option)) return 1;
  const auto word = option.is_object() && !option.contains(kWhen) ? word_of(option) : std::nullopt;
  if (word && (word != "grid_search" || !option.at(*word).is_array())) return 1;
  std::size_t count = word ? 0 : 1;
  for (const Json& inner : word ? option.at(*word) : option)
    count = std::min(word ? count + combinations_of(inner) : count * std::max<std::size_t>(combinations_of(inner), 1), kMostCombinations + 1);
  return count;
}

/// What an option of a grid stands for: itself, or with grids inside each of their combinations, the first grid varying
/// fastest. Ray resolves a grid in an option once the option is chosen, which gives the same configurations.
std::vector<Json> expanded(const Json& option, const std::string& path) {
  if (!holds_object(option)) return {option};
  std::vector<Json> all;
  if (option.is_object() && !option.contains(kWhen)) {
    if (const auto word = word_of(option)) {
      if (word == "constant") return {option.at(*word)};
      if (word != "grid_search" || !option.at(*word).is_array())
        refuse(path, "has an option with a domain inside, " + option.dump() + "; only a grid_search can be there, in an option of a "
               "grid_search. Make it a parameter of its own, with a condition (\"when\") on '" + path + "'.");
      for (const Json& inner : option.at(*word))
        for (Json& each : expanded(inner, path)) all.push_back(std::move(each));
      return all;
    }
  }
  all.push_back(option);
  for (auto entry = option.begin(); entry != option.end(); ++entry) {
    const std::vector<Json> choices = expanded(*entry, path);
    std::vector<Json> crossed;
    for (const Json& choice : choices)
      for (Json combination : all) {
        (option.is_object() ? combination[entry.key()] : combination[static_cast<std::size_t>(entry - option.begin())]) = choice;
        crossed.push_back(std::move(combination));
      }
    all = std::move(crossed);
  }
  return all;
}

Domain read_options(const std::string& word, const Json& arguments, const std::string& path) {
  const Kind kind = word == "choice" ? Kind::kChoice : word == "ordinal" ? Kind::kOrdinal : Kind::kGrid;
  Json options = Json::array();
  std::size_t combinations = 0;
  for (const Json& argument : arguments) {
    if (const std::size_t own = combinations_of(argument); own > 1 && (combinations += own) > kMostCombinations)
      refuse(path, "has grids in its options with more than " + std::to_string(kMostCombinations) + " combinations. Make them parameters of their own.");
    std::vector<Json> all = expanded(argument, path);
    if (kind != Kind::kGrid && all.size() > 1)
      refuse(path, "is a " + word + " with a grid_search in an option, " + argument.dump() + ". Make it a grid_search too, or list the options.");
    for (Json& each : all) options.push_back(std::move(each));
  }
  return Domain::options(kind, *json_value(options).as<Value::List>());
}

Domain read_word(const std::string& word, const Json& arguments, const std::string& path) {
  if (word == "constant") return json_value(arguments);
  if (word == "space") return read_space(arguments, path + "/");
  if (word != "choice" && word != "ordinal" && word != "grid_search" && word != "list") return read_numeric(word, arguments, path);
  if (!arguments.is_array()) refuse(path, "is {\"" + word + "\": " + arguments.dump() + "}, but " + word + " takes a list.");
  if (word == "list") return read_list(arguments, path);
  return read_options(word, arguments, path);
}

/// A table as it is written, without "space" around it.
Domain read_table(const Json& json, const std::string& path) {
  const auto name = doubtful_name(json);
  if (!name) return read_space(json, path + "/");
  const std::string why = *name == kFunction ? "is a function, and those are of the program alone. A table with that name is {\"space\": {...}}."
                          : *name == kWhen   ? "is a condition, and this is no domain. A table with one is {\"space\": {...}, \"when\": {...}}."
                                             : "is a domain's and stands beside other names. A table with that name is {\"space\": {...}}.";
  refuse(path, "is " + json.dump() + ", of which \"" + *name + "\" " + why);
}

Domain read_domain(const Json& json, const std::string& path) {
  if (json.is_array() && holds_object(json)) return read_list(json, path);
  if (!json.is_object()) return json_value(json);
  const auto word = word_of(json);
  return word ? read_word(*word, json.at(*word), path) : read_table(json, path);
}

Space read_space(const Json& json, const std::string& prefix) {
  if (!json.is_object()) refuse(prefix, "is " + json.dump() + ", where an object of names is due.");
  Space space;
  for (const auto& [name, item] : json.items()) {
    const std::string path = prefix + name;
    if (name == kForbid && item.is_array()) {
      for (const Json& combination : item) {
        Forbidden forbidden;
        read_clauses(combination, path, forbidden.clauses);
        space.add(std::move(forbidden));
      }
      continue;
    }
    if (name == kForbid && !(item.is_object() && word_of(item)))
      refuse(path, "is " + item.dump() + ", but the name is kept for a list of what must not be together: [{...}, {...}]. A parameter of that name is "
             "a domain, a {\"space\": {...}} or a {\"constant\": ...}.");
    Condition condition;
    if (item.is_object() && word_of(item) && item.contains(kWhen)) read_clauses(item.at(kWhen), path, condition.clauses);
    space.add(name, read_domain(item, path), std::move(condition));
  }
  return space;
}

}  // namespace

std::string space_to_json(const Space& space, int indent) {
  try {
    return space_json(space, "").dump(indent);
  } catch (const Json::exception& error) {
    throw InvalidArgument(std::string("search space: it holds a name that is not UTF-8, which JSON has not: ") + error.what());
  }
}

namespace {
/// Refuses what the parser lets pass: a name that is twice in an object, of which it keeps the last, and tables within tables
/// without end, which would take all of the stack.
class StrictParse {
 public:
  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    constexpr int kMaxDepth = 100;
    using Event = Json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth > kMaxDepth)
      throw InvalidArgument("search space in JSON: it is nested more than " + std::to_string(kMaxDepth) + " deep.");
    if (event == Event::object_start) names_.emplace_back();
    if (event == Event::object_end) names_.pop_back();
    if (event == Event::key && !names_.back().insert(parsed.get<std::string>()).second)
      throw InvalidArgument("search space in JSON: an object has the name '" + parsed.get<std::string>() + "' twice.");
    return true;
  }

 private:
  std::vector<std::set<std::string>> names_{};  // of the objects that are open
};
}  // namespace

Space space_from_json(std::string_view text) {
  Json json;
  try {
    json = Json::parse(text, StrictParse());
  } catch (const Json::exception& error) {
    throw InvalidArgument(std::string("search space in JSON: it is no JSON: ") + error.what());
  }
  Space space = read_space(json, "");
  space.check();
  return space;
}

}  // namespace manta::tune
