#include "tune/search_space.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"
#include "tune/searchers/flat_space.hpp"

namespace manta::tune {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw InvalidArgument("search space: the parameter '" + path + "' " + why);
}

[[noreturn]] void refuse_empty(const std::string& path, const Domain& domain) {
  refuse(path, "has an empty range: " + domain.describe() + ". The lower bound must be below the upper one.");
}

void check_quantum(const std::string& path, const Domain& domain) {
  if (domain.has_q() && !(std::isfinite(domain.q()) && domain.q() > 0))
    refuse(path, "is " + domain.describe() + ", but q must be a number above 0.");
}

void check_float(const std::string& path, const Domain& domain) {
  if (!std::isfinite(domain.low()) || !std::isfinite(domain.high()))
    refuse(path, "has a bound that is not a finite number: " + domain.describe() + ".");
  check_quantum(path, domain);
  if (domain.kind() == Domain::Kind::kNormal) {
    if (domain.high() <= 0) refuse(path, "is " + domain.describe() + ", but a standard deviation must be above 0.");
    return;
  }
  if (domain.low() >= domain.high()) refuse_empty(path, domain);
  if (!std::isfinite(domain.high() - domain.low()))
    refuse(path, "is " + domain.describe() + ", whose width is no finite number. Move the bounds nearer to each other.");
  if (domain.is_log() && domain.low() <= 0)
    refuse(path, "is " + domain.describe() + ", but a logarithmic range must lie above 0.");
  for (const double bound : {domain.low(), domain.high()}) {
    const double steps = bound / domain.q();
    if (domain.q() > 0 && std::abs(steps - std::round(steps)) > 1e-9 * std::max(1.0, std::abs(steps)))
      refuse(path, "is " + domain.describe() + ", whose bound " + number_text(bound, 17) + " is not a multiple of q = " +
                       number_text(domain.q(), 17) + ". Move the bound or change q.");
  }
}

void check_integer(const std::string& path, const Domain& domain) {
  check_quantum(path, domain);
  if (domain.q() > 0 ? domain.int_low() > domain.int_high() : domain.int_low() >= domain.int_high())
    refuse_empty(path, domain);
  if (domain.is_log() && domain.int_low() <= 0)
    refuse(path, "is " + domain.describe() + ", but a logarithmic range must lie above 0.");
  if (domain.first_integer() > domain.last_integer())
    refuse(path, "is " + domain.describe() + ", between whose bounds lies no multiple of q.");
}

void check_domain(const std::string& path, const Domain& domain);

void check_parameters(const std::string& prefix, const Space& space) {
  std::vector<std::string> seen;
  for (const Parameter& parameter : space.parameters()) {
    const std::string path = prefix + parameter.name;
    if (parameter.name.empty()) refuse(path, "has no name.");
    if (parameter.name.find('/') != std::string::npos)
      refuse(path, "has a '/' in its name, which is kept for paths. Nest a Space instead.");
    if (std::find(seen.begin(), seen.end(), parameter.name) != seen.end()) refuse(path, "is there twice.");
    seen.push_back(parameter.name);
    check_domain(path, parameter.domain);
  }
  for (const Forbidden& forbidden : space.forbidden())
    if (forbidden.clauses.empty())
      throw InvalidArgument("search space: a forbid" + (prefix.empty() ? "" : " in '" + prefix.substr(0, prefix.size() - 1) + "'") +
                            " without a clause forbids everything. Say what must not be together, or take it out.");
}

void check_domain(const std::string& path, const Domain& domain) {
  switch (domain.kind()) {
    case Domain::Kind::kFloat:
    case Domain::Kind::kNormal: return check_float(path, domain);
    case Domain::Kind::kInteger: return check_integer(path, domain);
    case Domain::Kind::kChoice:
    case Domain::Kind::kOrdinal:
    case Domain::Kind::kGrid:
      if (domain.values().empty()) refuse(path, "has nothing to choose from: " + domain.describe() + ".");
      return;
    case Domain::Kind::kNested: return check_parameters(path + "/", domain.nested());
    case Domain::Kind::kList:
      for (std::size_t i = 0; i < domain.elements().size(); ++i)
        check_domain(path + "/" + std::to_string(i), domain.elements()[i]);
      return;
    case Domain::Kind::kConstant:
    case Domain::Kind::kSampleFrom: return;
  }
}

}  // namespace

Space::Space(std::initializer_list<Item> items) {
  for (const Item& item : items) {
    if (item.forbidden)
      forbidden_.push_back(*item.forbidden);
    else
      parameters_.push_back(item.parameter);
  }
}

void Space::add(std::string name, Domain domain, Condition condition) {
  parameters_.push_back({std::move(name), std::move(domain), std::move(condition)});
}

void Space::add(Forbidden forbidden) { forbidden_.push_back(std::move(forbidden)); }

void Space::check() const {
  check_parameters("", *this);
  (void)FlatSpace(*this);  // which resolves the conditions
}

std::string Space::describe() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const Parameter& parameter : parameters_)
    add(parameter.name + ": " + parameter.domain.describe() +
        (parameter.condition.clauses.empty() ? "" : " " + parameter.condition.describe()));
  for (const Forbidden& forbidden : forbidden_) add(forbidden.describe());
  return "{" + text + "}";
}

}  // namespace manta::tune
