#include "runtime/actors/actor_link.hpp"

#include <algorithm>

#include "runtime/actors/owner.hpp"

namespace manta::detail {

namespace {

constexpr int kMaxConcurrency = 10'000;    // each call that runs takes a thread
constexpr int kMaxCoroutines = 10'000'000;  // each that waits takes its frame

std::vector<std::string> groups_of(const ActorOptions& options) {
  std::vector<std::string> names;
  for (const auto& [name, limit] : options.concurrency_groups) names.push_back(name);
  return names;
}

std::string list_groups(const std::vector<std::string>& groups) {
  std::string names;
  for (const auto& name : groups) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "it has none" : "it has " + names;
}

}  // namespace

std::string describe_actor(const std::string& name, ActorId id) {
  return "actor " + name + " #" + std::to_string(id.value & 0xffffffffffull);
}

void check_actor(const ActorOptions& options, const std::string& what) {
  auto refuse = [&](const std::string& why) { throw_error({.code = ErrorCode::kInvalidArgument, .message = why, .where = what}); };
  auto check_limit = [&](const std::string& name, int limit, int most = kMaxConcurrency) {
    if (limit < 1 || limit > most) refuse(name + " is " + std::to_string(limit) + ": give 1 to " + std::to_string(most));
  };
  if (options.detached)
    refuse("a detached actor needs a cluster that outlives this program, and this runtime is the program's own: leave .detached "
           "out, or keep what must last in a durable object");
  if (options.get_if_exists && options.name.empty()) refuse("get_if_exists without a name: set .name");
  check_limit("max_concurrency", options.max_concurrency);
  check_limit("max_coroutines", options.max_coroutines, kMaxCoroutines);
  for (const auto& [name, limit] : options.concurrency_groups) {
    if (name.empty()) refuse("a concurrency group has no name: give it one");
    check_limit("the limit of concurrency group " + name, limit);
  }
  for (const auto& [method, group] : options.method_groups)
    if (!options.concurrency_groups.contains(group))
      refuse("no concurrency group " + group + " for " + method->name() + ": " + list_groups(groups_of(options)));
  auto check_repeats = [&](const std::string& name, int limit) {
    if (limit < -1) refuse(name + " is " + std::to_string(limit) + ": give 0 or more, or -1 for no end");
  };
  check_repeats("max_restarts", options.max_restarts);
  check_repeats("max_task_retries", options.max_task_retries);
  if (options.max_pending_calls == 0 || options.max_pending_calls < -1)
    refuse("max_pending_calls is " + std::to_string(options.max_pending_calls) + ": give 1 or more, or -1 for no limit");
}

void check_call(const CallOptions* options, bool knows_group, const ActorLink& actor) {
  if (!options) return;
  auto refuse = [&actor](const std::string& why) {
    throw_error({.code = ErrorCode::kInvalidArgument, .message = why, .where = actor.description()});
  };
  const auto& group = options->concurrency_group;
  if (!group.empty() && !knows_group) refuse("no concurrency group " + group + ": " + list_groups(actor.rules().groups));
  if (options->max_retries < -1) refuse("max_retries is " + std::to_string(options->max_retries) + ": give 0 or more, or -1 for no end");
  if (options->deadline < std::chrono::nanoseconds(0)) refuse("the deadline is negative: give a time from the call on, or 0 for none");
}

bool holds_back(const CallOptions* options, bool serial) {
  return options && serial && options->retry_on.filter() && options->max_retries != 0;
}

wire::Concurrency concurrency_of(const ActorOptions& options) {
  wire::Concurrency made{.limit = static_cast<std::uint32_t>(options.max_concurrency),
                         .coroutines = static_cast<std::uint32_t>(options.max_coroutines)};
  for (const auto& [name, limit] : options.concurrency_groups) {
    auto& group = made.groups.emplace_back(wire::Concurrency::Group{.name = name, .limit = static_cast<std::uint32_t>(limit)});
    for (const auto& [method, its_group] : options.method_groups) {
      if (its_group != name) continue;
      const auto key = function_key(*method);
      group.methods.push_back({key.module, key.offset});
    }
  }
  return made;
}

OwnedActorLink::OwnedActorLink(std::weak_ptr<Owner> owner, ActorId id, std::shared_ptr<const std::string> name, bool portable,
                               std::shared_ptr<const ActorOptions> options)
    : owner_(std::move(owner)), id_(id), name_(std::move(name)), portable_(portable), options_(std::move(options)) {
  if (options_->max_pending_calls > 0) pending_ = std::make_unique<PendingCalls>(options_->max_pending_calls);
}

OwnedActorLink::~OwnedActorLink() {
  if (auto owner = owner_.lock())
    if (const UseGate::Use use(owner->gate()); use) owner->dropped(id_, options_->name);
}

void OwnedActorLink::call(std::shared_ptr<TaskRecord> record, std::shared_ptr<const CallOptions> options) {
  auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description() + ": the runtime has been shut down");
  const UseGate::Use use(owner->gate());
  use.need();
  check_call(options.get(), options && options_->concurrency_groups.contains(options->concurrency_group), *this);
  if (pending_ && !(options && options->uncounted)) pending_->admit(record->result, description());
  const bool alone = holds_back(options.get(), serial());
  owner->call(id_, std::move(record), std::move(options), portable_, alone);
}

bool OwnedActorLink::serial() const { return options_->max_concurrency == 1 && options_->concurrency_groups.empty(); }

CallRules OwnedActorLink::rules() const {
  return {.max_pending_calls = std::max(options_->max_pending_calls, 0),
          .serial = serial(),
          .groups = groups_of(*options_)};
}

std::string OwnedActorLink::description() const { return describe_actor(*name_, id_); }

std::shared_ptr<Engine> OwnedActorLink::engine() const {
  const auto owner = owner_.lock();
  if (!owner) throw RuntimeStopped("call of " + description() + ": the runtime has been shut down");
  const UseGate::Use use(owner->gate());
  use.need();
  return owner->engine();
}

void OwnedActorLink::kill() {
  if (auto owner = owner_.lock())
    if (const UseGate::Use use(owner->gate()); use) owner->kill(id_, options_->name);
}

}  // namespace manta::detail
