#include "tune/searchers/dehb_machine.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kLeastPool = 3;  // a mutant of "rand1" is made of three

std::vector<double> random_point(std::size_t dimensions, Random& random) {
  std::vector<double> point(dimensions);
  for (double& coordinate : point) coordinate = random.uniform();
  return point;
}

}  // namespace

std::vector<double> dehb_budgets(const DehbSchedule& schedule) {
  std::vector<double> budgets{schedule.max_budget};
  // A budget that only rounding puts below the smallest one counts.
  for (double next = schedule.max_budget / schedule.eta; next >= schedule.min_budget * (1 - 1e-9); next /= schedule.eta)
    budgets.push_back(next);
  std::reverse(budgets.begin(), budgets.end());
  return budgets;
}

/// The rung that has jobs left, if the one below it has ended.
std::optional<std::size_t> DehbMachine::Bracket::open_rung() const {
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (asked[i] < sizes[i]) return i;
    if (told[i] < sizes[i]) return std::nullopt;
  }
  return std::nullopt;
}

bool DehbMachine::Bracket::ended() const { return told == sizes; }

DehbMachine::DehbMachine(std::size_t dimensions, DehbSchedule schedule, double mutation_factor, double crossover_probability,
                         Random& random)
    : dimensions_(dimensions), mutation_factor_(mutation_factor), crossover_probability_(crossover_probability),
      eta_(schedule.eta), budgets_(dehb_budgets(schedule)), populations_(budgets_.size()) {
  for (std::size_t bracket = 0; bracket < budgets_.size(); ++bracket) {
    const std::vector<std::size_t> sizes = rungs_of(bracket);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      auto& members = populations_[budgets_.size() - sizes.size() + i].members;
      members.resize(std::max(members.size(), sizes[i]));
    }
  }
  for (Population& population : populations_)
    for (Member& member : population.members) member = {random_point(dimensions_, random), std::numeric_limits<double>::infinity()};
}

std::vector<std::size_t> DehbMachine::rungs_of(std::uint64_t bracket) const {
  const std::size_t levels = budgets_.size(), s = levels - 1 - bracket % levels;
  const double first = std::floor(static_cast<double>(levels) / static_cast<double>(s + 1)) * std::pow(eta_, static_cast<double>(s));
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i <= s; ++i) {
    const double size = std::floor(std::floor(first) * std::pow(eta_, -static_cast<double>(i)) + 1e-9);
    sizes.push_back(std::max<std::size_t>(static_cast<std::size_t>(size), 1));
  }
  return sizes;
}

DehbMachine::Bracket& DehbMachine::open_bracket() {
  std::erase_if(active_, [](const Bracket& bracket) { return bracket.ended(); });
  for (Bracket& bracket : active_)
    if (bracket.open_rung()) return bracket;
  std::vector<std::size_t> sizes = rungs_of(brackets_);
  const std::size_t rungs = sizes.size();
  active_.push_back({brackets_++, budgets_.size() - rungs, std::move(sizes), std::vector<std::size_t>(rungs), std::vector<std::size_t>(rungs)});
  return active_.back();
}

DehbMachine::Job DehbMachine::ask(Random& random) {
  Bracket& bracket = open_bracket();
  const std::size_t rung = *bracket.open_rung(), level = bracket.first_level + rung, count = bracket.sizes[rung];
  ++bracket.asked[rung];
  Population& population = populations_[level];
  const std::size_t parent = population.next_parent;
  population.next_parent = (parent + 1) % population.members.size();
  Job job{{}, level, parent, bracket.number};
  // As in the reference, what counts is how many brackets have begun, not which one this is.
  const bool promotes = brackets_ <= budgets_.size() && rung > 0;
  job.point = promotes ? promotion(level, count, random)
                       : evolved(population.members[parent].point, rung > 0 ? level - 1 : level, count, random);
  return job;
}

void DehbMachine::tell(const Job& job, double loss) {
  for (Bracket& bracket : active_)
    if (bracket.number == job.bracket) ++bracket.told[job.level - bracket.first_level];
  if (std::isnan(loss)) loss = std::numeric_limits<double>::infinity();
  Member& member = populations_[job.level].members[job.parent];
  if (loss <= member.loss) member = {job.point, loss};
}

void DehbMachine::admit(std::vector<double> point, std::size_t level, double loss) {
  Member& worst = populations_[level].members[by_loss(level).back()];
  if (loss < worst.loss) worst = {std::move(point), loss};
}

std::vector<std::size_t> DehbMachine::by_loss(std::size_t level) const {
  const auto& members = populations_[level].members;
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return members[a].loss < members[b].loss; });
  return order;
}

DehbMachine::Point DehbMachine::promotion(std::size_t level, std::size_t count, Random& random) {
  const auto& below = populations_[level - 1].members;
  Population& population = populations_[level];
  const std::vector<std::size_t> order = by_loss(level - 1);
  const auto evaluated = [&](std::size_t i) { return below[i].loss < std::numeric_limits<double>::infinity(); };
  if (population.promoted.empty()) {
    for (std::size_t i : order) {
      const bool there = std::any_of(population.members.begin(), population.members.end(),
                                     [&](const Member& member) { return member.point == below[i].point; });
      if (evaluated(i) && !there && population.promoted.size() < count) population.promoted.push_back(below[i].point);
    }
  }
  if (population.promoted.empty()) return evaluated(order.front()) ? below[order.front()].point : random_point(dimensions_, random);
  Point point = std::move(population.promoted.front());
  population.promoted.erase(population.promoted.begin());
  return point;
}

/// base + F (one - other) of three different ones of the pool, the target not among them; too few are made up for at random.
DehbMachine::Point DehbMachine::mutant(const Point& target, std::vector<Point> pool, Random& random) const {
  if (pool.size() > 1) {
    const auto found = std::find(pool.begin(), pool.end(), target);
    if (found != pool.end()) pool.erase(found);
  }
  while (pool.size() < kLeastPool) pool.push_back(random_point(dimensions_, random));
  for (std::size_t i = 0; i < kLeastPool; ++i) {
    const auto other = random.randint(static_cast<std::int64_t>(i), static_cast<std::int64_t>(pool.size()));
    std::swap(pool[i], pool[static_cast<std::size_t>(other)]);
  }
  Point mutant = pool[0];
  for (std::size_t k = 0; k < dimensions_; ++k) mutant[k] += mutation_factor_ * (pool[1][k] - pool[2][k]);
  return mutant;
}

DehbMachine::Point DehbMachine::evolved(const Point& target, std::size_t below, std::size_t count, Random& random) const {
  std::vector<Point> pool;
  for (std::size_t i : by_loss(below))
    if (pool.size() < count) pool.push_back(populations_[below].members[i].point);
  if (pool.size() < kLeastPool) {
    std::vector<Point> everybody;
    for (const Population& population : populations_)
      for (const Member& member : population.members) everybody.push_back(member.point);
    for (std::size_t missing = kLeastPool - pool.size() + 1; missing > 0; --missing) pool.push_back(mutant(target, everybody, random));
  }
  const Point from = mutant(target, std::move(pool), random);
  Point child = target;
  bool crossed = false;
  for (std::size_t k = 0; k < dimensions_; ++k)
    if (random.uniform() < crossover_probability_) child[k] = from[k], crossed = true;
  if (!crossed) {
    const auto k = static_cast<std::size_t>(random.randint(0, static_cast<std::int64_t>(dimensions_)));
    child[k] = from[k];
  }
  for (double& gene : child)
    if (!(gene >= 0 && gene <= 1)) gene = random.uniform();
  return child;
}

bool DehbMachine::is_own(const Job& job) const {
  if (job.point.size() != dimensions_ || job.level >= budgets_.size() || job.parent >= population_size(job.level)) return false;
  const auto other = [&](const Bracket& bracket) { return bracket.number == job.bracket && job.level < bracket.first_level; };
  return std::none_of(active_.begin(), active_.end(), other);
}

void DehbMachine::save(StateWriter& out) const {
  out.put(brackets_);
  for (const Population& population : populations_) {
    out.put(static_cast<std::uint64_t>(population.next_parent));
    for (const Member& member : population.members) out.put(member.point).put(member.loss);
    out.put(static_cast<std::uint64_t>(population.promoted.size()));
    for (const Point& point : population.promoted) out.put(point);
  }
  out.put(static_cast<std::uint64_t>(active_.size()));
  for (const Bracket& bracket : active_) {
    out.put(bracket.number);
    for (std::size_t i = 0; i < bracket.sizes.size(); ++i)
      out.put(static_cast<std::uint64_t>(bracket.asked[i])).put(static_cast<std::uint64_t>(bracket.told[i]));
  }
}

void DehbMachine::restore(StateReader& in) {
  const auto point = [&] {
    Point numbers = in.numbers();
    if (numbers.size() != dimensions_) throw StorageCorruption("dehb: a saved state of another search space.");
    return numbers;
  };
  brackets_ = in.integer();
  for (Population& population : populations_) {
    population.next_parent = in.integer() % population.members.size();
    for (Member& member : population.members) {
      member.point = point();
      member.loss = in.comparable();
    }
    population.promoted.clear();
    for (std::size_t count = in.count(); count > 0; --count) population.promoted.push_back(point());
  }
  active_.clear();
  for (std::size_t count = in.count(); count > 0; --count) {
    const std::uint64_t number = in.integer();
    std::vector<std::size_t> sizes = rungs_of(number), asked, told;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      asked.push_back(in.integer());
      told.push_back(in.integer());
    }
    active_.push_back({number, budgets_.size() - sizes.size(), std::move(sizes), std::move(asked), std::move(told)});
  }
}

}  // namespace manta::tune
