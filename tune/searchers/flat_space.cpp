#include "tune/searchers/flat_space.hpp"

#include <algorithm>
#include <cstdio>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

[[noreturn]] void refuse(const std::string& who, const std::string& why) {
  throw InvalidArgument("search space: " + who + " " + why);
}

void check_value(const std::string& who, const FlatSpace::Leaf& parent, const Clause& clause, const Value& value) {
  const Domain& domain = parent.domain;
  using Kind = Domain::Kind;
  const bool continuous = (domain.kind() == Kind::kFloat || domain.kind() == Kind::kNormal) && domain.q() <= 0;
  if (continuous)
    refuse(who, "asks for '" + clause.describe() + "', but '" + parent.path + "' is " + domain.describe() +
                    ", which is continuous and never has just that value. Say when_at_least, or quantise it.");
  const Clause one = Clause::from(clause.name, {value});
  const bool among = std::any_of(domain.values().begin(), domain.values().end(), [&](const Value& v) { return one.holds(v); });
  const bool possible = domain.is_searchable() ? domain.unit_of(value).has_value() : among;
  if (!possible)
    refuse(who, "asks for '" + one.describe() + "', which never is: '" + parent.path + "' is " + domain.describe() + ".");
}

void check_bound(const std::string& who, const FlatSpace::Leaf& parent, const Clause& clause) {
  const Domain& domain = parent.domain;
  const auto& values = domain.values();
  bool possible = true;
  if (domain.kind() == Domain::Kind::kInteger)
    possible = static_cast<double>(domain.last_integer()) >= *clause.at_least;
  else if (domain.kind() == Domain::Kind::kFloat)
    possible = domain.q() > 0 ? domain.high() >= *clause.at_least : domain.high() > *clause.at_least;  // it is exclusive
  else if (domain.kind() != Domain::Kind::kNormal)
    possible = std::any_of(values.begin(), values.end(), [&](const Value& v) { return clause.holds(v); });
  if (!possible)
    refuse(who, "asks for '" + clause.describe() + "', which never is: '" + parent.path + "' is " + domain.describe() + ".");
}

/// That the clause can hold, so that a slip of the pen does not switch a parameter off for good.
void check_clause(const std::string& who, const FlatSpace::Leaf& parent, const Clause& clause) {
  if (clause.at_least) return check_bound(who, parent, clause);
  if (clause.values.empty()) refuse(who, "has a clause on '" + clause.name + "' without a value.");
  for (const Value& value : clause.values) check_value(who, parent, clause, value);
}

/// That what is asked of one parameter can hold together. Each clause can by itself, so bounds alone can too.
void check_together(const std::string& who, const FlatSpace::Leaf& leaf) {
  for (const auto& [parent, clause] : leaf.guards) {
    const auto all_hold = [&, number = parent](const Value& value) {
      return std::all_of(leaf.guards.begin(), leaf.guards.end(), [&](const FlatSpace::Guard& g) { return g.leaf != number || g.clause.holds(value); });
    };
    if (!clause.values.empty() && !std::any_of(clause.values.begin(), clause.values.end(), all_hold))
      refuse(who, "asks for '" + clause.describe() + "' and for another thing of '" + clause.name + "', which never are together.");
  }
}

/// An empty table or list is a leaf itself, and a constant: so its conditions hold for it too.
std::optional<Value> empty_of(const Domain& domain) {
  if (domain.kind() == Domain::Kind::kNested && domain.nested().parameters().empty()) return Value(Value::Dict{});
  if (domain.kind() == Domain::Kind::kList && domain.elements().empty()) return Value(Value::List{});
  return std::nullopt;
}

/// The value that leaf values give for one domain; `next` is the next leaf. None when nothing in it is active.
std::optional<Value> assemble_domain(const Domain& domain, const FlatSpace::Values& values, std::size_t& next);

Value::Dict assemble_space(const Space& space, const FlatSpace::Values& values, std::size_t& next) {
  Value::Dict entries;
  for (const Parameter& parameter : space.parameters())
    if (auto value = assemble_domain(parameter.domain, values, next)) entries.push_back({parameter.name, std::move(*value)});
  return entries;
}

std::optional<Value> assemble_domain(const Domain& domain, const FlatSpace::Values& values, std::size_t& next) {
  if (empty_of(domain)) return values[next++];
  if (domain.kind() == Domain::Kind::kNested) {
    Value::Dict table = assemble_space(domain.nested(), values, next);
    return table.empty() ? std::nullopt : std::optional<Value>(std::move(table));
  }
  if (domain.kind() != Domain::Kind::kList) return values[next++];
  Value::List items;
  bool active = false;
  for (const Domain& element : domain.elements()) {
    auto item = assemble_domain(element, values, next);
    active |= item.has_value();
    items.push_back(item ? std::move(*item) : Value(Value::Dict{}));
  }
  return active ? std::optional<Value>(std::move(items)) : std::nullopt;
}

/// "width" of "model/width", "layers/0" of "model/layers/0".
std::string short_name(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return path;
  const bool item = path.find_first_not_of("0123456789", slash + 1) == std::string::npos;
  const auto start = item && slash > 0 ? path.rfind('/', slash - 1) : slash;
  return start == std::string::npos ? path : path.substr(start + 1);
}

std::string tag_text(const Value& value) {
  const auto* number = value.as<double>();
  if (!number) return value.to_text();
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", *number);
  return text;
}

}  // namespace

FlatSpace::FlatSpace(const Space& space) : space_(std::make_shared<const Space>(space)) {
  for (const Parameter& parameter : space.parameters()) name_leaves(parameter.domain, parameter.name);
  collect(*space_, {""});
  resolve_conditions();
  sort();
  paths_.clear();
  clauses_.clear();
}

void FlatSpace::name_leaves(const Domain& domain, const std::string& path) {
  if (empty_of(domain)) {
    paths_.push_back(path);
  } else if (domain.kind() == Domain::Kind::kNested) {
    for (const Parameter& parameter : domain.nested().parameters())
      name_leaves(parameter.domain, path + "/" + parameter.name);
  } else if (domain.kind() == Domain::Kind::kList) {
    for (std::size_t i = 0; i < domain.elements().size(); ++i)
      name_leaves(domain.elements()[i], path + "/" + std::to_string(i));
  } else {
    paths_.push_back(path);
  }
}

void FlatSpace::collect(const Space& space, const Scope& scope) {
  for (const Parameter& parameter : space.parameters()) {
    const std::string path = scope.prefix + parameter.name;
    Scope inner = scope;
    for (Clause clause : parameter.condition.clauses) {
      clause.name = resolve(scope.prefix, clause.name, "the condition of '" + path + "'");
      inner.clauses.push_back(std::move(clause));
    }
    collect_domain(parameter.domain, path, inner);
  }
  for (Forbidden forbidden : space.forbidden()) {
    for (Clause& clause : forbidden.clauses) clause.name = resolve(scope.prefix, clause.name, forbidden.describe());
    forbidden_.push_back(std::move(forbidden));
  }
}

void FlatSpace::collect_domain(const Domain& domain, const std::string& path, const Scope& scope) {
  if (auto empty = empty_of(domain)) {
    leaves_.push_back({path, Domain(*std::move(empty))});
    clauses_.push_back(scope.clauses);
  } else if (domain.kind() == Domain::Kind::kNested) {
    collect(domain.nested(), {path + "/", scope.clauses});
  } else if (domain.kind() == Domain::Kind::kList) {
    for (std::size_t i = 0; i < domain.elements().size(); ++i)
      collect_domain(domain.elements()[i], path + "/" + std::to_string(i), scope);
  } else {
    leaves_.push_back({path, domain});
    clauses_.push_back(scope.clauses);
  }
}

/// The nearest leaf of that name: beside the parameter, then in the tables around it.
std::string FlatSpace::resolve(const std::string& prefix, const std::string& name, const std::string& who) const {
  std::string around = prefix;
  while (true) {
    if (std::find(paths_.begin(), paths_.end(), around + name) != paths_.end()) return around + name;
    if (around.empty()) break;
    around.pop_back();
    const auto slash = around.rfind('/');
    around = slash == std::string::npos ? "" : around.substr(0, slash + 1);
  }
  std::string known;
  for (const std::string& path : paths_) known += (known.empty() ? "" : ", ") + path;
  refuse(who, "names the parameter '" + name + "', which is not there. There are: " + known + ".");
}

void FlatSpace::resolve_conditions() {
  const auto leaf_of = [&](const std::string& path) {
    return static_cast<std::size_t>(std::find(paths_.begin(), paths_.end(), path) - paths_.begin());
  };
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    const std::string who = "the condition of '" + leaves_[i].path + "'";
    for (Clause& clause : clauses_[i]) {
      const Leaf& parent = leaves_[leaf_of(clause.name)];
      if (parent.domain.kind() == Domain::Kind::kSampleFrom)
        refuse(who, "reads '" + parent.path + "', which is a sample_from function and gets its value after all others. "
                    "Condition on a parameter, or read it in a function.");
      check_clause(who, parent, clause);
      const std::size_t number = leaf_of(clause.name);
      leaves_[i].guards.push_back({number, std::move(clause)});
    }
    check_together(who, leaves_[i]);
  }
  for (const Forbidden& forbidden : forbidden_)
    for (const Clause& clause : forbidden.clauses)
      if (const Leaf& leaf = leaves_[leaf_of(clause.name)]; leaf.domain.kind() != Domain::Kind::kSampleFrom)
        check_clause(forbidden.describe(), leaf, clause);
}

void FlatSpace::sort() {
  std::vector<bool> placed(leaves_.size(), false);
  while (order_.size() < leaves_.size()) {
    const std::size_t before = order_.size();
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      const auto& guards = leaves_[i].guards;
      if (placed[i] || !std::all_of(guards.begin(), guards.end(), [&](const Guard& g) { return placed[g.leaf]; })) continue;
      placed[i] = true;
      order_.push_back(i);
    }
    if (order_.size() > before) continue;
    const auto stuck = static_cast<std::size_t>(std::find(placed.begin(), placed.end(), false) - placed.begin());
    refuse("the condition of '" + leaves_[stuck].path + "'", "depends on itself, by way of '" +
           leaves_[leaves_[stuck].guards.front().leaf].path + "'. Take one of the conditions away.");
  }
}

bool FlatSpace::is_active(std::size_t leaf, const Values& values) const {
  const auto& guards = leaves_[leaf].guards;
  return std::all_of(guards.begin(), guards.end(), [&](const Guard& guard) {
    const auto& value = values[guard.leaf];
    return value && guard.clause.holds(*value);
  });
}

Config FlatSpace::assemble(const Values& values) const {
  std::size_t next = 0;
  return Config(assemble_space(*space_, values, next));
}

void FlatSpace::run_functions(Config& config, const std::function<Random(const std::string&)>& random_of) const {
  std::vector<const Leaf*> waiting;
  for (const Leaf& leaf : leaves_)
    if (leaf.domain.kind() == Domain::Kind::kSampleFrom && config.contains(leaf.path)) waiting.push_back(&leaf);
  std::string reason;
  while (!waiting.empty()) {
    config.pending_.clear();
    for (const Leaf* leaf : waiting) config.pending_.push_back(leaf->path);
    const std::size_t before = waiting.size();
    std::erase_if(waiting, [&](const Leaf* leaf) {
      Random random = random_of(leaf->path);
      try {
        config.set(leaf->path, leaf->domain.sample(random, config));
        std::erase(config.pending_, leaf->path);
        return true;
      } catch (const NotFound& not_yet) {
        reason = "'" + leaf->path + "': " + not_yet.info().message;
        return false;
      }
    });
    if (waiting.size() == before)
      throw InvalidArgument("search space: sample_from functions wait for each other, or for a parameter that is not there. " +
                            reason);
  }
}

const Forbidden* FlatSpace::forbidden_in(const Config& config) const {
  for (const Forbidden& forbidden : forbidden_) {
    const bool all = std::all_of(forbidden.clauses.begin(), forbidden.clauses.end(), [&](const Clause& clause) {
      const Value* value = config.find(clause.name);
      return value && clause.holds(*value);
    });
    if (all) return &forbidden;
  }
  return nullptr;
}

std::string FlatSpace::tag(const Config& config) const {
  std::string text;
  for (const Leaf& leaf : leaves_) {
    const Value* value = leaf.domain.kind() == Domain::Kind::kConstant ? nullptr : config.find(leaf.path);
    if (value) text += (text.empty() ? "" : ",") + short_name(leaf.path) + "=" + tag_text(*value);
  }
  return text;
}

bool FlatSpace::has_conditions() const noexcept {
  return std::any_of(leaves_.begin(), leaves_.end(), [](const Leaf& leaf) { return !leaf.guards.empty(); });
}

}  // namespace manta::tune
