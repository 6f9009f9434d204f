#include "tune/search_space.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw InvalidArgument("search space: the parameter '" + path + "' " + why);
}

std::string range_text(const Domain& domain) {
  return number_text(domain.low(), 17) + ", " + number_text(domain.high(), 17);
}

void check_range(const std::string& path, const Domain& domain) {
  if (!std::isfinite(domain.low()) || !std::isfinite(domain.high()))
    refuse(path, "has a bound that is not a finite number: " + range_text(domain) + ".");
  if (domain.low() >= domain.high())
    refuse(path, "has an empty range: " + domain.describe() + ". The lower bound must be below the upper one.");
  if (domain.kind() == Domain::Kind::kLogUniform && domain.low() <= 0)
    refuse(path, "is " + domain.describe() + ", but a loguniform range must lie above 0.");
}

void check_domain(const std::string& path, const Domain& domain);

void check_space(const std::string& prefix, const Space& space) {
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
}

void check_domain(const std::string& path, const Domain& domain) {
  switch (domain.kind()) {
    case Domain::Kind::kUniform:
    case Domain::Kind::kLogUniform:
      return check_range(path, domain);
    case Domain::Kind::kRandint:
      if (domain.int_low() >= domain.int_high())
        refuse(path, "has an empty range: " + domain.describe() + ". The lower bound must be below the upper one.");
      return;
    case Domain::Kind::kChoice:
    case Domain::Kind::kGrid:
      if (domain.values().empty()) refuse(path, "has nothing to choose from: " + domain.describe() + ".");
      return;
    case Domain::Kind::kNested:
      return check_space(path + "/", domain.nested());
    case Domain::Kind::kConstant:
    case Domain::Kind::kSampleFrom:
      return;
  }
}

}  // namespace

Space::Space() = default;
Space::Space(std::initializer_list<Parameter> parameters) : parameters_(parameters) {}
Space::Space(const Space&) = default;
Space::Space(Space&&) noexcept = default;
Space& Space::operator=(const Space&) = default;
Space& Space::operator=(Space&&) noexcept = default;
Space::~Space() = default;

void Space::add(std::string name, Domain domain) { parameters_.push_back({std::move(name), std::move(domain)}); }

void Space::check() const { check_space("", *this); }

std::string Space::describe() const {
  std::string text;
  for (const Parameter& parameter : parameters_)
    text += (text.empty() ? "" : ", ") + parameter.name + ": " + parameter.domain.describe();
  return "{" + text + "}";
}

Value Domain::sample(Random& random, const Config& so_far) const {
  switch (kind_) {
    case Kind::kUniform: return random.uniform(low_, high_);
    case Kind::kLogUniform: return random.loguniform(low_, high_);
    case Kind::kRandint: return random.randint(int_low_, int_high_);
    case Kind::kChoice: return values_[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(values_.size())))];
    case Kind::kSampleFrom: return function_(random, so_far);
    case Kind::kConstant: return values_.front();
    case Kind::kGrid:
    case Kind::kNested: break;
  }
  MANTA_CHECK(!"Domain::sample of a grid or a nested space");
  return {};
}

std::string Domain::describe() const {
  switch (kind_) {
    case Kind::kUniform: return "uniform(" + range_text(*this) + ")";
    case Kind::kLogUniform: return "loguniform(" + range_text(*this) + ")";
    case Kind::kRandint: return "randint(" + std::to_string(int_low_) + ", " + std::to_string(int_high_) + ")";
    case Kind::kChoice: return "choice(" + Value(values_).to_text(17) + ")";
    case Kind::kGrid: return "grid_search(" + Value(values_).to_text(17) + ")";
    case Kind::kSampleFrom: return "sample_from(function)";
    case Kind::kConstant: return std::string(values_.front().type_name()) + " " + values_.front().to_text(17);
    case Kind::kNested: return nested_->describe();
  }
  return {};
}

}  // namespace manta::tune
