// The node's worker processes that are kept ready for actors with a process of their own: see core/spare_table.hpp.
#include "runtime/actors/node.hpp"

namespace manta::detail {

namespace {

// A spare is made when the actors that have just begun are on their way: it must not take the CPU from them.
constexpr std::chrono::milliseconds kAfterChange{100};
constexpr std::chrono::milliseconds kPeriod{1000};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now().time_since_epoch()).count();
}

}  // namespace

ProcessId Node::process_for_actor(const wire::ProcessOptions& options, const core::Lease& lease) {
  const core::SpareTable::Kind kind = kind_of(options, &lease);
  const bool may_adopt = spare_died_.erase({lease.owner, lease.purpose}) == 0;
  const auto spare = spares_.begin(kind, now_ms(), may_adopt);
  const ProcessId process = spare && launcher_.adopt(*spare, options) ? *spare : launch(true, options, &lease);
  processes_[process].kind = kind;
  look_at_spares_after(kAfterChange);
  return process;
}

/// Once for each actor, when its process is told to leave or has ended.
void Node::actor_left(Process& process) {
  if (!process.kind) return;
  spares_.end(*process.kind, now_ms());
  process.kind.reset();
  look_at_spares_after(kAfterChange);
}

void Node::look_at_spares_after(std::chrono::milliseconds time) {
  const auto due = SteadyClock::now() + time;
  if (!spares_.on() || (spares_due_ && *spares_due_ <= due)) return;
  spares_due_ = due;
  watch_timer_.at(due, [this] { actor_->tell(LookAtSpares{}); });
}

void Node::on(LookAtSpares&) {
  spares_due_.reset();
  if (stopping_) return;
  const core::SpareTable::Look look = spares_.look(now_ms(), memory_short_);
  for (const auto& kind : look.make) make_spare(kind);
  drop_spares(look.drop);
  if (look.again) look_at_spares_after(kPeriod);
}

void Node::make_spare(const core::SpareTable::Kind& kind) {
  const ProcessId process = next_process_++;
  processes_[process] = {.own = true};
  spares_.launching(kind, process);
  lane_.post([this, process, kind] { actor_->tell(Launched{process, launcher_.prepare(process, kind.environment, kind.cpus)}); });
}

void Node::drop_spares(const std::vector<ProcessId>& spares) {
  for (const ProcessId id : spares) {
    const auto found = processes_.find(id);
    if (found == processes_.end() || found->second.ended) continue;
    found->second.leaving = true;
    if (found->second.running) launcher_.kill(id);  // else when it has been launched
  }
}

}  // namespace manta::detail
