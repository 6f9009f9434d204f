#include "runtime/actors/placement_client.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/actors/owned_work.hpp"
#include "runtime/function_registry.hpp"

namespace manta::detail {

namespace {

std::shared_ptr<const ErrorInfo> stopped() {
  return std::make_shared<const ErrorInfo>(
      ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the runtime has been shut down, and its placement groups with it"});
}

constexpr std::int64_t kMaxGpus = 65'536;  // of what another process says of the machine

core::ResourceLedger ledger_of(const Resources& total) {
  std::vector<int> gpus(static_cast<std::size_t>(std::clamp<std::int64_t>(total["GPU"].raw() / Amount::kUnit, 0, kMaxGpus)));
  std::iota(gpus.begin(), gpus.end(), 0);
  Resources custom;
  for (const auto& [name, amount] : total)
    if (name != "CPU" && name != "GPU") custom.set(name, amount);
  return {total["CPU"], std::move(gpus), std::move(custom)};
}

std::shared_ptr<const PlacementGroupOptions> options_of(const core::PlacementSpec& spec) {
  auto options = std::make_shared<PlacementGroupOptions>(PlacementGroupOptions{.strategy = spec.strategy, .name = spec.name});
  for (const auto& request : spec.bundles) {
    Bundle bundle{.num_cpus = request.cpus, .num_gpus = request.gpus};
    for (const auto& [name, amount] : request.custom)
      if (name == "memory")
        bundle.memory_bytes = static_cast<std::uint64_t>(amount.raw() / Amount::kUnit);
      else
        bundle.resources.set(name, amount);
    options->bundles.push_back(std::move(bundle));
  }
  return options;
}

}  // namespace

core::ResourceRequest request_of(const Bundle& bundle) {
  core::ResourceRequest request{.cpus = bundle.num_cpus, .gpus = bundle.num_gpus, .custom = bundle.resources};
  if (bundle.memory_bytes) request.custom.set("memory", bytes_as_amount(bundle.memory_bytes));
  return request;
}

PlacementClient::PlacementClient(Router& router, IdSource& ids, const Resources& total)
    : router_(router), ids_(ids), machine_(ledger_of(total)) {}

void PlacementClient::check(const PlacementGroupOptions& options, const core::PlacementSpec& spec) const {
  auto refuse = [&](ErrorCode code, const std::string& why) {
    throw_error({.code = code, .message = why, .where = describe_group(spec.id, spec.name)});
  };
  if (options.strategy > PlacementStrategy::kStrictSpread)
    refuse(ErrorCode::kInvalidArgument, "its strategy is " + std::to_string(static_cast<int>(options.strategy)) +
                                            ": give one of PlacementStrategy's");
  if (options.bundles.empty()) refuse(ErrorCode::kInvalidArgument, "a group without bundles: give one or more");
  for (std::size_t i = 0; i < options.bundles.size(); ++i) {
    const auto which = "bundle " + std::to_string(i) + ": ";
    bool something = false;
    for (const auto& [name, amount] : spec.bundles[i].all()) {
      if (name.empty()) refuse(ErrorCode::kInvalidArgument, which + "a custom resource has no name: give it one");
      if (amount < Amount(0)) refuse(ErrorCode::kInvalidArgument, which + "an amount of " + name + " that is negative or not a number: give 0 or more");
      something |= amount > Amount(0);
    }
    if (!something) refuse(ErrorCode::kInvalidArgument, which + "it holds nothing: give it num_cpus, num_gpus, memory_bytes or resources");
    if (const auto gpus = options.bundles[i].num_gpus; gpus > Amount(1) && !gpus.is_whole())
      refuse(ErrorCode::kInvalidArgument, which + gpus.to_string() + " GPUs: more than one must be a whole number");
    for (const char* name : {"CPU", "GPU", "memory"})
      if (options.bundles[i].resources[name] != Amount(0))
        refuse(ErrorCode::kInvalidArgument, which + name + " is no custom resource: say it by num_cpus, num_gpus, memory_bytes");
  }
  if (options.wait_if_infeasible) return;
  const auto why = core::PlacementTable::why_infeasible(machine_, options.strategy, spec.bundles);
  if (!why.empty()) refuse(ErrorCode::kInfeasibleResources, why);
}

std::shared_ptr<Cell> PlacementClient::new_cell(GroupId group) {
  auto cell = std::make_shared<Cell>(type_ops<Void>());
  std::lock_guard lock(mutex_);
  stopped_ ? static_cast<void>(cell->set_error(stopped())) : static_cast<void>(waiting_.emplace(group, cell));
  return cell;
}

GroupHandle PlacementClient::place(std::shared_ptr<const PlacementGroupOptions> options) {
  core::PlacementSpec spec{.id = ids_.next<GroupId>(), .owner = router_.self(), .name = options->name, .strategy = options->strategy};
  for (const auto& bundle : options->bundles) spec.bundles.push_back(request_of(bundle));
  check(*options, spec);
  auto cell = new_cell(spec.id);
  if (cell->failed()) throw_error(*cell->error());
  router_.send(kNodeProcess, wire::PlaceGroup{{.spec = spec}});
  if (!spec.name.empty()) {
    find(spec.name);  // the node answers in order: what it says of the group is here by then
    if (cell->failed() && cell->error()->code == ErrorCode::kInvalidArgument)
      throw InvalidArgument("there is a placement group of the name " + spec.name + " already: find it, or remove it first");
    if (cell->failed()) throw_error(*cell->error());  // removed by somebody else already, say
  }
  return {.id = spec.id, .options = std::move(options), .placed = std::move(cell)};
}

std::shared_ptr<Cell> PlacementClient::watch(GroupId group) {
  {
    std::lock_guard lock(mutex_);  // who looks at it now and then, with a timeout, waits for the one answer
    if (const auto it = waiting_.find(group); it != waiting_.end()) return it->second;
  }
  auto cell = new_cell(group);
  if (!cell->settled()) router_.send(kNodeProcess, wire::WatchGroup{group});
  return cell;
}

void PlacementClient::remove(GroupId group) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.contains(group)) removed_.insert(group);
  }
  router_.send(kNodeProcess, wire::RemoveGroup{group});
}

std::vector<GroupHandle> PlacementClient::find(const std::string& name) {
  std::vector<GroupHandle> found;
  for (const auto& group : ask(name)) found.push_back({.id = group.spec.id, .options = options_of(group.spec)});
  return found;
}

std::vector<wire::GroupInfo> PlacementClient::ask(const std::string& name) {
  auto question = std::make_shared<Question>();
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) throw_error(*stopped());
    number = next_question_++;
    questions_[number] = question;
  }
  router_.send(kNodeProcess, wire::FindGroups{.request = number, .name = name});
  while (question->answered.load(std::memory_order_acquire) == 0) futex_wait(question->answered, 0, std::nullopt);
  return std::move(question->answer.groups);
}

void PlacementClient::deliver(const wire::GroupPlaced& placed) {
  std::vector<std::shared_ptr<Cell>> cells;
  bool removed = false;
  {
    std::lock_guard lock(mutex_);
    removed = removed_.erase(placed.group) && !placed.error;
    const auto [begin, end] = removed ? std::pair(waiting_.end(), waiting_.end()) : waiting_.equal_range(placed.group);
    for (auto it = begin; it != end; ++it) cells.push_back(std::move(it->second));
    waiting_.erase(begin, end);
  }
  // It was placed, but has been removed from here since: the node, asked anew, says that, and why.
  if (removed) return router_.send(kNodeProcess, wire::WatchGroup{placed.group});
  const auto error = placed.error ? std::make_shared<const ErrorInfo>(*placed.error) : nullptr;
  for (auto& cell : cells) error ? cell->set_error(error) : cell->set_value(no_value());
}

void PlacementClient::deliver(wire::Groups groups) {
  std::shared_ptr<Question> question;
  {
    std::lock_guard lock(mutex_);
    auto it = questions_.find(groups.request);
    if (it == questions_.end()) return;
    question = std::move(it->second);
    questions_.erase(it);
  }
  question->answer = std::move(groups);
  question->answered.store(1, std::memory_order_release);
  futex_wake_all(question->answered);
}

std::optional<GroupId> PlacementClient::group_of(const Cell& cell) {
  std::lock_guard lock(mutex_);
  for (const auto& [group, waiting] : waiting_)
    if (waiting.get() == &cell) return group;
  return std::nullopt;
}

void PlacementClient::stop() {
  decltype(waiting_) waiting;
  decltype(questions_) questions;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    waiting.swap(waiting_);
    removed_.clear();
    questions.swap(questions_);
  }
  for (auto& [group, cell] : waiting) cell->set_error(stopped());
  for (auto& [number, question] : questions) {
    question->answered.store(1, std::memory_order_release);
    futex_wake_all(question->answered);
  }
}

}  // namespace manta::detail
