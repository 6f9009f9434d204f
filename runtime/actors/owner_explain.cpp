// What the owner says about its tasks and calls to those who wait for them: see explanation.hpp.
#include "runtime/actors/explanation.hpp"
#include "runtime/actors/owner.hpp"
#include "runtime/base/spin.hpp"

namespace manta::detail {

namespace {

using Stage = WorkReport::Stage;

void add_arguments(WorkReport& report, const OwnedWork& work, const Lineage& lineage) {
  const auto& refs = work.record->refs;
  for (std::size_t i = 0; i < refs.size(); ++i)
    if (!refs[i]->settled() || lineage.making_again(*refs[i])) report.arguments.emplace_back(i, refs[i]);
}

template <class Options>
void add_needs(WorkReport& report, const Options& options) {
  report.request = request_of(options);
  if (options.placement.group)
    report.group = describe_group(options.placement.group, options.placement.options ? options.placement.options->name : "");
}

/// The concurrency group that the call runs in; empty: none.
std::string group_of(const OwnedCall& call, const ActorOptions& options) {
  if (call.options && !call.options->concurrency_group.empty()) return call.options->concurrency_group;
  for (const auto& [method, group] : options.method_groups)
    if (method == call.record->function) return group;
  return {};
}

}  // namespace

WorkReport Owner::report_on(TaskId work) {
  constexpr std::chrono::seconds kPatience{2};  // the actor never blocks
  auto slot = std::make_shared<ReportSlot>();
  actor_->tell(Asked{work, std::make_shared<ReportQuestion>(slot)});
  const auto done = [&slot] { return slot->done.load(std::memory_order_acquire) != 0; };
  if (!spin_until(done)) {
    ElasticScheduler::BlockedSection section;
    const auto deadline = SteadyClock::now() + kPatience;
    while (!done())
      if (!futex_wait(slot->done, 0, deadline)) break;
  }
  return done() ? slot->report : WorkReport{};
}

void Owner::on(Asked& event) {
  perform();  // what the events before it brought about is part of the answer
  auto& report = event.question->report();
  report.stage = Stage::kUnknown;
  if (const auto task = tasks_.find(event.work); task != tasks_.end())
    describe_task(*task->second, report);
  else if (const auto call = calls_.find(event.work); call != calls_.end())
    describe_call(*call->second, report);
  event.question.reset();
}

void Owner::describe_task(const OwnedTask& task, WorkReport& report) const {
  report.name = "task " + *task.name();
  report.attempt = task.crashes + task.failures + 1;
  report.asynchronous = task.record->asynchronous();
  report.ahead = task_table_.ahead_of(task);
  add_needs(report, *task.options);
  switch (task.state) {
    case core::TaskState::kWaitingForArguments:
      report.stage = Stage::kArguments;
      return add_arguments(report, task, lineage_);
    case core::TaskState::kReady: report.stage = Stage::kQueued; return;
    case core::TaskState::kWaitingForRetry: report.stage = Stage::kBackOff; return;
    case core::TaskState::kAssigned:
    case core::TaskState::kJoined:
      report.stage = Stage::kSent;
      report.since = task.sent_at;
      report.process = router_.self();
      if (const auto lease = leases_.find(task.lease); lease != leases_.end()) report.process = lease->second.worker;
      return;
    case core::TaskState::kFinished: return;
  }
}

void Owner::describe_call(const OwnedCall& call, WorkReport& report) const {
  report.name = "call " + *call.name();
  report.attempt = call.crashes + call.failures + 1;
  report.asynchronous = call.record->asynchronous();
  report.since = call.sent_at;
  report.stage = call.unresolved ? Stage::kArguments : Stage::kCall;
  if (call.unresolved) return add_arguments(report, call, lineage_);
  const auto known = actors_.find(call.actor);
  const auto* options = known == actors_.end() ? nullptr : known->second->options.get();
  const auto group = options ? group_of(call, *options) : std::string();
  const auto place = actor_table_.place_of(call, [&](const core::CallNode& each) {
    return !options || options->concurrency_groups.empty() || group_of(static_cast<const OwnedCall&>(each), *options) == group;
  });
  report.ahead = place.ahead;
  report.coroutines = place.coroutines;
  report.sent = place.sent;
  if (place.first) report.first_ahead = static_cast<const OwnedCall*>(place.first)->record->result;
  report.actor_state = actor_table_.state(call.actor);
  report.pauses_after = actor_table_.pauses_after(call.actor);
  if (const auto lease = leases_.find(actor_table_.lease_of(call.actor)); lease != leases_.end()) report.process = lease->second.worker;
  if (known == actors_.end()) return;
  const auto& actor = *known->second;
  report.actor = describe(actor);
  if (actor.borrow) {
    report.actor += ", which " + process_in_words(maker_of(call.actor.value), router_.self()) + " owns,";
    report.borrowed = true;
    report.told = actor.told;
  }
  report.shared = actor.borrow || references_.lent(call.actor.value);
  if (!actor.options) return;
  add_needs(report, *actor.options);
  report.max_coroutines = static_cast<std::size_t>(std::max(1, actor.options->max_coroutines));
  const auto limit = actor.options->concurrency_groups.find(group);
  report.at_once = static_cast<std::size_t>(std::max(1, limit == actor.options->concurrency_groups.end() ? actor.options->max_concurrency : limit->second));
  if (report.actor_state == core::ActorState::kWaitingForArguments) add_arguments(report, actor, lineage_);
}

}  // namespace manta::detail
