#include "tune/domain.hpp"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "runtime/errors.hpp"
#include "tune/search_space.hpp"

namespace manta::tune {

namespace {

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53: every smaller integer is a double

std::string text(double number) { return number_text(number, 17); }

double multiple(double x, double q) { return q > 0 ? std::round(x / q) * q + 0.0 : x; }  // + 0.0: no minus zero

std::string quoted(const std::string& words) {
  std::string text = "\"";
  for (const char c : words) text += (c == '"' || c == '\\' ? "\\" : "") + std::string(1, c);
  return text + '"';
}

/// A word that is no number, and no other value's text.
bool is_plain(const std::string& word) {
  static constexpr std::string_view kValues[] = {"true", "false", "none"};
  char* end = nullptr;
  std::strtod(word.c_str(), &end);  // takes "nan" and "inf" too
  return end != word.c_str() + word.size() && word.find_first_of("\"\\,=[]{}") == std::string::npos &&
         std::find(std::begin(kValues), std::end(kValues), word) == std::end(kValues);
}

/// A value such that two that differ, or differ in type, have different texts. It is compared on a resume: where quotes can be done
/// without inside a table, there are none, as experiments that are there already have it.
std::string exact_text(const Value& value, bool in_table = false) {
  if (const auto* words = value.as<std::string>()) return in_table && is_plain(*words) ? *words : quoted(*words);
  if (const auto* number = value.as<double>()) {
    const std::string digits = text(*number);
    return digits.find_first_not_of("-0123456789") == std::string::npos ? digits + ".0" : digits;
  }
  std::string joined;
  const auto add = [&](const std::string& item) { joined += (joined.empty() ? "" : ",") + item; };
  if (const auto* list = value.as<Value::List>()) {
    for (const Value& item : *list) add(exact_text(item, in_table));
    return "[" + joined + "]";
  }
  if (const auto* table = value.as<Value::Dict>()) {
    for (const auto& [name, item] : *table) add((name.find_first_of("\"\\,=[]{}") == std::string::npos ? name : quoted(name)) + "=" + exact_text(item, true));
    return "{" + joined + "}";
  }
  return value.to_text(17);
}

/// The scale on which a numeric domain's draws are uniform: from `low` at 0 to `high` at 1.
struct Scale {
  double low, high;
  bool log;
  double value(double unit) const {
    const double x = low + unit * (high - low);
    return log ? std::exp(x) : x;
  }
  double unit(double value) const { return ((log ? std::log(value) : value) - low) / (high - low); }
};

/// Half a step beyond the ends, so that each multiple of q has a cell of its own.
Scale scale_of(const Domain& domain) {
  const bool integer = domain.kind() == Domain::Kind::kInteger;
  const double step = integer ? std::max(1.0, domain.q()) : domain.q();
  double low = (integer ? static_cast<double>(domain.first_integer()) : domain.low()) - step / 2;
  double high = (integer ? static_cast<double>(domain.last_integer()) : domain.high()) + step / 2;
  if (domain.is_log()) low = std::log(low), high = std::log(high);
  return {low, high, domain.is_log()};
}

std::optional<double> number_of(const Value& value) {
  if (const auto* integer = value.as<std::int64_t>()) return static_cast<double>(*integer);
  if (const auto* number = value.as<double>(); number && std::isfinite(*number)) return *number;
  return std::nullopt;
}

bool is_multiple(double value, double q) {
  const double steps = value / q;
  return std::abs(steps - std::round(steps)) <= 1e-9 * std::max(1.0, std::abs(steps));
}

/// How far the number lies above a multiple of q.
std::int64_t above_multiple(std::int64_t number, std::int64_t q) { return number % q + (number % q < 0 ? q : 0); }

std::int64_t step_of(const Domain& domain) { return std::max<std::int64_t>(1, domain.int_q()); }

/// first + index * step, by the wrapping arithmetic that is right for every 64-bit range.
std::int64_t integer_at(const Domain& domain, std::uint64_t index) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(domain.first_integer()) +
                                   index * static_cast<std::uint64_t>(step_of(domain)));
}

/// How many integers there are, less one.
std::uint64_t integer_span(const Domain& domain) {
  return (static_cast<std::uint64_t>(domain.last_integer()) - static_cast<std::uint64_t>(domain.first_integer())) /
         static_cast<std::uint64_t>(step_of(domain));
}

Value integer_value(const Domain& domain, double unit) {
  constexpr double kBeyond = 0x1.0p64;
  const std::uint64_t span = integer_span(domain);  // which as a double may be more than it is
  const double step = static_cast<double>(step_of(domain));
  const double index =
      domain.is_log() ? std::max(0.0, std::round((scale_of(domain).value(unit) - static_cast<double>(domain.first_integer())) / step))
                      : std::floor(std::max(0.0, unit) * (static_cast<double>(span) + 1));
  return integer_at(domain, index >= kBeyond ? span : std::min(static_cast<std::uint64_t>(index), span));
}

Value float_value(const Domain& domain, double unit) {
  const double value = multiple(scale_of(domain).value(unit), domain.q());
  const double last = domain.q() > 0 ? domain.high() : std::nextafter(domain.high(), domain.low());
  return std::clamp(value, domain.low(), last);
}

Value normal_value(const Domain& domain, double unit) {
  constexpr double kTail = 1e-16;  // the quantile of 0 is minus infinity
  const boost::math::normal_distribution<double> normal(domain.low(), domain.high());
  return multiple(boost::math::quantile(normal, std::clamp(unit, kTail, 1 - kTail)), domain.q());
}

}  // namespace

Domain::Domain(Space nested) : kind_(Kind::kNested), nested_(std::make_shared<const Space>(std::move(nested))) {}

Domain Domain::floating(double low, double high, bool log, double q) {
  Domain domain{Value()};
  domain.kind_ = Kind::kFloat;
  domain.low_ = low, domain.high_ = high, domain.log_ = log, domain.q_ = q, domain.has_q_ = q != 0;
  return domain;
}

Domain Domain::integer(std::int64_t low, std::int64_t high, bool log, std::int64_t q) {
  Domain domain{Value()};
  domain.kind_ = Kind::kInteger;
  domain.int_low_ = low, domain.int_high_ = high, domain.log_ = log;
  domain.q_ = static_cast<double>(q), domain.int_q_ = q, domain.has_q_ = q != 0;
  return domain;
}

Domain Domain::normal(double mean, double sd, double q) {
  Domain domain = floating(mean, sd, false, q);
  domain.kind_ = Kind::kNormal;
  return domain;
}

Domain Domain::options(Kind kind, std::vector<Value> options) {
  Domain domain{Value()};
  domain.kind_ = kind;
  domain.options_ = std::move(options);
  return domain;
}

Domain Domain::function(Function function) {
  Domain domain{Value()};
  domain.kind_ = Kind::kSampleFrom;
  domain.function_ = std::move(function);
  return domain;
}

Domain Domain::elements(std::vector<Domain> elements) {
  Domain domain{Value()};
  domain.kind_ = Kind::kList;
  domain.elements_ = std::make_shared<const std::vector<Domain>>(std::move(elements));
  return domain;
}

bool Domain::is_searchable() const noexcept {
  return kind_ == Kind::kFloat || kind_ == Kind::kInteger || kind_ == Kind::kNormal || kind_ == Kind::kChoice ||
         kind_ == Kind::kOrdinal;
}

std::int64_t Domain::first_integer() const noexcept {
  if (int_q_ <= 0) return int_low_;
  const std::int64_t above = above_multiple(int_low_, int_q_);
  const std::int64_t up = above == 0 ? 0 : int_q_ - above;
  return int_low_ > INT64_MAX - up ? INT64_MAX : int_low_ + up;  // where the next multiple is no int64, there is none below the upper bound
}

std::int64_t Domain::last_integer() const noexcept {
  if (int_q_ <= 0) return int_high_ - 1;
  const std::int64_t above = above_multiple(int_high_, int_q_);
  return int_high_ < INT64_MIN + above ? INT64_MIN : int_high_ - above;
}

std::uint64_t Domain::num_values() const noexcept {
  switch (kind_) {
    case Kind::kInteger: {
      const std::uint64_t span = integer_span(*this);
      return static_cast<double>(span) < kExactIntegers ? span + 1 : 0;
    }
    case Kind::kFloat:
      if (q_ <= 0 || (high_ - low_) / q_ >= kExactIntegers) return 0;
      return static_cast<std::uint64_t>(std::llround((high_ - low_) / q_)) + 1;
    case Kind::kChoice:
    case Kind::kOrdinal:
    case Kind::kGrid:
    case Kind::kConstant: return options_.size();
    default: return 0;
  }
}

Value Domain::sample(Random& random, const Config& so_far) const {
  if (kind_ == Kind::kSampleFrom) return function_(random, so_far);
  if (kind_ == Kind::kConstant) return options_.front();
  // An integer or an option is drawn as one, which is exact however many there are.
  if (kind_ == Kind::kChoice || kind_ == Kind::kOrdinal)
    return options_[static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(options_.size())))];
  if (kind_ == Kind::kInteger && !log_ && integer_span(*this) < std::uint64_t{1} << 62)
    return integer_at(*this, static_cast<std::uint64_t>(random.randint(0, static_cast<std::int64_t>(integer_span(*this)) + 1)));
  if (kind_ == Kind::kInteger && !log_ && q_ <= 0) return random.randint(int_low_, int_high_);
  return at(random.uniform());
}

Value Domain::at(double unit) const {
  switch (kind_) {
    case Kind::kFloat: return float_value(*this, unit);
    case Kind::kInteger: return integer_value(*this, unit);
    case Kind::kNormal: return normal_value(*this, unit);
    case Kind::kChoice:
    case Kind::kOrdinal: {
      const double cells = static_cast<double>(options_.size());
      return options_[static_cast<std::size_t>(std::clamp(std::floor(unit * cells), 0.0, cells - 1))];
    }
    default: break;
  }
  MANTA_CHECK(!"Domain::at of a domain that is not searchable");
  return {};
}

std::optional<double> Domain::unit_of(const Value& value) const {
  if (kind_ == Kind::kChoice || kind_ == Kind::kOrdinal) {
    const Clause same{"", value};
    const auto found = std::find_if(options_.begin(), options_.end(), [&](const Value& option) { return same.holds(option); });
    if (found == options_.end()) return std::nullopt;
    return (static_cast<double>(found - options_.begin()) + 0.5) / static_cast<double>(options_.size());
  }
  const auto number = number_of(value);
  if (!number || !is_searchable()) return std::nullopt;
  if (kind_ == Kind::kNormal) return boost::math::cdf(boost::math::normal_distribution<double>(low_, high_), *number);
  const bool integer = kind_ == Kind::kInteger;
  if (const auto* exact = value.as<std::int64_t>(); exact && integer)  // beyond 2^53 doubles are too coarse to tell
    if (*exact < first_integer() || *exact > last_integer() || *exact % step_of(*this) != 0) return std::nullopt;
  const double low = integer ? static_cast<double>(first_integer()) : low_;
  const double high = integer ? static_cast<double>(last_integer()) : high_;
  if (*number < low || *number > high) return std::nullopt;
  if (const double step = integer ? static_cast<double>(step_of(*this)) : q_; step > 0 && !is_multiple(*number, step))
    return std::nullopt;
  return scale_of(*this).unit(*number);
}

std::pair<double, double> Domain::cell_of(double unit) const {
  if (kind_ == Kind::kChoice || kind_ == Kind::kOrdinal) {
    const double cells = static_cast<double>(options_.size());
    const double index = std::clamp(std::floor(unit * cells), 0.0, cells - 1);
    return {index / cells, (index + 1) / cells};
  }
  const double step = kind_ == Kind::kInteger ? static_cast<double>(step_of(*this)) : q_;
  if (step <= 0) return {unit, unit};
  const double value = *number_of(at(unit));
  if (kind_ == Kind::kNormal) {
    const boost::math::normal_distribution<double> normal(low_, high_);
    return {boost::math::cdf(normal, value - step / 2), boost::math::cdf(normal, value + step / 2)};
  }
  const Scale scale = scale_of(*this);
  return {scale.unit(value - step / 2), scale.unit(value + step / 2)};
}

std::string Domain::describe() const {
  const std::string prefix = std::string(has_q_ ? "q" : "") + (log_ ? "log" : "");
  const std::string step = !has_q_ ? "" : kind_ == Kind::kInteger ? ", " + std::to_string(int_q_) : ", " + text(q_);
  switch (kind_) {
    case Kind::kFloat: return prefix + "uniform(" + text(low_) + ", " + text(high_) + step + ")";
    case Kind::kInteger:
      return prefix + "randint(" + std::to_string(int_low_) + ", " + std::to_string(int_high_) + step + ")";
    case Kind::kNormal: return prefix + "randn(" + text(low_) + ", " + text(high_) + step + ")";
    case Kind::kChoice: return "choice(" + exact_text(options_) + ")";
    case Kind::kOrdinal: return "ordinal(" + exact_text(options_) + ")";
    case Kind::kGrid: return "grid_search(" + exact_text(options_) + ")";
    case Kind::kSampleFrom: return "sample_from(function)";
    case Kind::kConstant: return std::string(options_.front().type_name()) + " " + options_.front().to_text(17);
    case Kind::kNested: return nested_->describe();
    case Kind::kList: break;
  }
  std::string joined;
  for (const Domain& element : *elements_) joined += (joined.empty() ? "" : ", ") + element.describe();
  return "list(" + joined + ")";
}

}  // namespace manta::tune
