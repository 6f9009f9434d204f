#include "runtime/actors/hosted_actor.hpp"

#include <algorithm>

namespace manta::detail {

void HostedActor::start(caf::actor_system& system, Work constructor) {
  constructor_ = std::move(constructor);
  auto body = [](caf::event_based_actor*, const std::weak_ptr<HostedActor>& weak) -> caf::behavior {
    return {[weak](WakeAtom) {
      if (auto self = weak.lock()) self->drain();
    }};
  };
  actor_ = system.spawn(body, weak_from_this());
  wake_if(!std::exchange(awake_, true));
}

void HostedActor::wake_if(bool needed) {
  if (needed) caf::anon_send(actor_, WakeAtom::value);
}

void HostedActor::call(std::vector<Work> calls) {
  std::unique_lock lock(mutex_);
  for (auto& call : calls) queue_.push_back(std::move(call));
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  wake_if(needed);
}

void HostedActor::destroy(bool kill) {
  std::unique_lock lock(mutex_);
  destroying_ = true;
  killed_ |= kill;
  if (kill) queue_.clear();
  const bool needed = !std::exchange(awake_, true);
  lock.unlock();
  wake_if(needed);
}

void HostedActor::report() {
  wire::ActorDone done{.actor = id_};
  {
    std::lock_guard lock(mutex_);
    done.outcomes.swap(outcomes_);
  }
  if (!done.outcomes.empty()) environment_.router->send(owner_, std::move(done));
}

void HostedActor::relieve() { report(); }

void HostedActor::cancel(TaskId id, bool recursive) {
  {
    std::unique_lock lock(mutex_);
    const auto queued = std::find_if(queue_.begin(), queue_.end(), [id](const Work& work) { return work.id == id; });
    if (queued != queue_.end()) {
      queue_.erase(queued);
      outcomes_.push_back(cancelled_outcome(id));
      const bool needed = !std::exchange(awake_, true);
      lock.unlock();
      return wake_if(needed);
    }
  }
  running_work_.cancel(id, recursive);
}

void HostedActor::construct() {
  Work work = std::move(*constructor_);
  constructor_.reset();
  auto outcome = execute(work, &object_, owner_, lease_info_, nullptr);
  constructed_ = std::holds_alternative<wire::Value>(outcome.result);
  environment_.router->send(owner_, wire::ActorCreated{.actor = id_, .lease = lease_info_.id, .outcome = std::move(outcome)});
}

void HostedActor::end() {
  report();
  object_.reset();
  {
    std::lock_guard lock(host_.mutex_);
    host_.actors_.erase(id_);
  }
  environment_.router->send(owner_, wire::ActorDestroyed{.actor = id_});
  caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
}

void HostedActor::lend_cpus(bool lend) {
  if (!lease_info_.lend_idle_cpus || lease_info_.cpus <= Amount(0) || std::exchange(lent_, lend) == lend) return;
  environment_.router->send(kNodeProcess, wire::SetBlocked{.lease = lease_info_.id, .blocked = lend});
}

void HostedActor::drain() {
  auto self = shared_from_this();
  lend_cpus(false);
  ++host_.busy_;
  reported_ = SteadyClock::now();
  while (true) {
    std::unique_lock lock(mutex_);
    if (constructor_ && !killed_) {
      lock.unlock();
      construct();
    } else if (!queue_.empty() && constructed_) {
      Work work = std::move(queue_.front());
      queue_.pop_front();
      const bool behind = !outcomes_.empty();
      lock.unlock();
      auto outcome = execute(work, object_.get(), owner_, lease_info_, behind ? self : nullptr);
      lock.lock();
      if (!killed_) outcomes_.push_back(std::move(outcome));
      const bool full = outcomes_.size() >= kMaxOutcomes || queue_.empty();
      lock.unlock();
      if (full || SteadyClock::now() - reported_ > kReportTime) {
        report();
        reported_ = SteadyClock::now();
      }
    } else if (destroying_) {
      lock.unlock();
      end();
      break;
    } else if (outcomes_.empty()) {
      awake_ = false;
      lock.unlock();
      lend_cpus(true);
      break;
    } else {
      lock.unlock();
      report();
    }
  }
  --host_.busy_;
}

}  // namespace manta::detail
