#include "runtime/actors/node.hpp"

#include <algorithm>

#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {
constexpr std::chrono::seconds kLaunchPause{2};  // after a shared worker process that could not be made, or did not start
}

Node::Node(caf::actor_system& system, core::LeaseTable table, Router& router, ProcessLauncher& launcher, Lane& lane,
           std::function<void(ProcessId)> on_gone, Options options)
    : table_(std::move(table)), router_(router), launcher_(launcher), lane_(lane), on_gone_(std::move(on_gone)),
      options_(std::move(options)), memory_(options_.memory_threshold), spares_(options_.spare_processes) {
  publish_available();
  watch_timer_.start();  // later it could fail where nobody hears it
  actor_ = std::make_unique<ControlActor<Event>>(system, [this](std::vector<Event>& events) { handle(events); });
  watch_gpus();
}

Node::~Node() { end(); }

void Node::end() {
  watch_timer_.stop();
  actor_->stop();
}

void Node::deliver(ProcessId from, wire::Message message) { actor_->tell(FromProcess{from, std::move(message)}); }
void Node::process_ended(ProcessId process, std::string how, bool own_doing, bool unused) {
  actor_->tell(Ended{process, std::move(how), own_doing, unused});
}
void Node::stop() { actor_->tell(Stopped{}); }

Resources Node::available() const {
  std::lock_guard lock(published_mutex_);
  return published_;
}

Resources Node::total() const {
  std::lock_guard lock(published_mutex_);
  return published_total_;
}

std::size_t Node::leases_held() const {
  std::lock_guard lock(published_mutex_);
  return published_leases_;
}

std::size_t Node::options_kept() const {
  std::lock_guard lock(published_mutex_);
  return published_options_;
}

void Node::publish_available() {
  std::lock_guard lock(published_mutex_);
  published_ = table_.ledger().available();
  published_total_ = table_.ledger().total();
  published_leases_ = table_.held();
  published_options_ = wanted_options_.size();
}

void Node::handle(std::vector<Event>& events) {
  for (auto& event : events) std::visit([this](auto& e) { on(e); }, event);
  perform();
  publish_available();
}

void Node::perform() {
  while (!effects_.granted.empty() || !effects_.refused.empty() || !effects_.placed.empty() || !effects_.unplaceable.empty()) {
    const auto effects = std::exchange(effects_, {});
    for (const auto& lease : effects.granted) {
      place(lease);
      if (lease.own_process) maybe_satisfied_.emplace(lease.owner, lease.purpose);
    }
    for (const auto& refused : effects.refused) maybe_satisfied_.emplace(refused.owner, refused.purpose);
    tell(effects);
  }
  forget_options();
}

/// A program may use as many environments as it has tasks; whoever wants more leases says with which options.
void Node::forget_options() {
  for (const auto& key : std::exchange(maybe_satisfied_, {}))
    if (!table_.wants(key.first, key.second)) wanted_options_.erase(key);
}

void Node::on(FromProcess& event) {
  if (auto* want = std::get_if<wire::WantLeases>(&event.message)) {
    const auto& shape = want->shape;
    const bool sane = shape.cpus >= Amount(0) && shape.gpus >= Amount(0) && want->count <= core::TaskTable::kMaxWanted &&
                      std::all_of(shape.custom.begin(), shape.custom.end(), [](const auto& each) { return each.second >= Amount(0); });
    if (stopping_ || !sane) return;
    if (want->own_process && want->count) wanted_options_[{event.from, want->purpose}] = std::move(want->options);
    table_.want({.owner = event.from, .purpose = want->purpose, .shape = want->shape, .count = want->count, .own_process = want->own_process,
                 .nested = event.from != kNodeProcess, .for_life = (want->purpose >> 63) != 0,
                 .retriable = want->retriable},
                effects_);
    if (want->count == 0) {  // what was granted before needs them to be placed
      perform();
      wanted_options_.erase({event.from, want->purpose});
      spare_died_.erase({event.from, want->purpose});
    }
  } else if (auto* release_it = std::get_if<wire::ReleaseLease>(&event.message)) {
    const auto* lease = table_.find(release_it->lease);
    if (lease && lease->owner == event.from) 
      release(release_it->lease, release_it->kill ? End::kKill : release_it->terminate ? End::kTerminate : End::kLeave);
  } else if (auto* blocked = std::get_if<wire::SetBlocked>(&event.message)) {
    const auto place = places_.find(blocked->lease);
    if (place != places_.end() && place->second == event.from) table_.set_blocked(blocked->lease, blocked->blocked, effects_);
  } else if (auto* group = std::get_if<wire::PlaceGroup>(&event.message)) {
    on(*group, event.from);
  } else if (auto* watch = std::get_if<wire::WatchGroup>(&event.message)) {
    on(*watch, event.from);
  } else if (auto* find = std::get_if<wire::FindGroups>(&event.message)) {
    on(*find, event.from);
  } else if (auto* remove = std::get_if<wire::RemoveGroup>(&event.message)) {
    remove_group(remove->group);
  } else if (auto* ready = std::get_if<wire::Ready>(&event.message)) {
    if (const auto it = processes_.find(event.from); it != processes_.end()) it->second.started = true;
    log(LogLevel::kDebug, "worker process " + std::to_string(event.from) + " is ready, build " + std::to_string(ready->build_id));
  }
}

void Node::place(const core::Lease& lease) {
  if (!table_.find(lease.id)) return;  // its owner went before it was placed
  if (stopping_) return table_.release(lease.id, effects_);
  const bool threads = options_.workers == Workers::kThread && !lease.own_process;
  if (threads) {
    places_[lease.id] = kNodeProcess;
    return tell_granted(lease, kNodeProcess);
  }
  ProcessId process;
  if (lease.own_process) {
    const auto& options = wanted_options_[{lease.owner, lease.purpose}];
    process = lease.for_life ? process_for_actor(options, lease) : launch(true, options, &lease);
  } else {
    process = shared_process();
  }
  auto& entry = processes_[process];
  places_[lease.id] = process;
  entry.leases.insert(lease.id);
  if (entry.running)
    tell_granted(lease, process);
  else
    entry.ungranted.push_back(lease);
}

bool Node::has_shared_process() const {
  return std::any_of(processes_.begin(), processes_.end(), [](const auto& each) {
    const auto& process = each.second;
    return !process.own && !process.leaving && !process.ended && !process.ended_for;
  });
}

ProcessId Node::shared_process() {
  ProcessId best = 0;
  std::size_t count = 0;
  for (const auto& [id, process] : processes_) {
    if (process.own || process.leaving || process.ended || process.ended_for) continue;
    ++count;
    if (!best || process.leases.size() < processes_[best].leases.size()) best = id;
  }
  if (best && (processes_[best].leases.empty() || count >= options_.shared_processes || SteadyClock::now() < no_launch_before_)) return best;
  return launch(false, {.name = "worker"}, nullptr);
}

ProcessId Node::launch(bool own, const wire::ProcessOptions& options, const core::Lease* lease) {
  const auto process = next_process_++;
  processes_[process] = {.own = own};
  watch_memory();
  lane_.post([this, process, options, kind = kind_of(options, lease)] {
    actor_->tell(Launched{process, launcher_.launch(process, options, kind.environment, kind.cpus)});
  });
  return process;
}

core::SpareTable::Kind Node::kind_of(const wire::ProcessOptions& options, const core::Lease* lease) const {
  core::SpareTable::Kind kind{.environment = options.environment, .cpus = Amount(1)};
  if (lease) {
    std::string visible;
    for (int id : lease->grant.gpu_ids)
      visible += (visible.empty() ? "" : ",") + options_.gpu_names.at(static_cast<std::size_t>(id));
    kind.environment.try_emplace("CUDA_VISIBLE_DEVICES", visible);
    if (lease->grant.amounts.cpus > kind.cpus) kind.cpus = lease->grant.amounts.cpus;
  }
  const std::string threads = std::to_string(std::max<std::int64_t>(1, kind.cpus.raw() / Amount::kUnit));
  kind.environment.try_emplace("OMP_NUM_THREADS", threads);
  return kind;
}

void Node::tell_granted(const core::Lease& lease, ProcessId worker) {
  router_.send(lease.owner, wire::LeaseGranted{.purpose = lease.purpose,
                                               .lease = {.id = lease.id, .cpus = lease.grant.amounts.cpus, .gpu_ids = lease.grant.gpu_ids},
                                               .worker = worker});
}

void Node::on(Launched& event) {
  auto& process = processes_[event.process];
  auto waiting = std::exchange(process.ungranted, {});
  if (!event.result) {
    process.ended = true;
    const bool elsewhere = !process.own && has_shared_process();  // one more could not be had: those that there are do its work
    if (!process.own) no_launch_before_ = SteadyClock::now() + kLaunchPause;
    if (elsewhere)
      log(LogLevel::kWarning, "one more worker process could not be made, the others go on without it: " + event.result.error().message);
    for (const auto& lease : waiting) {
      places_.erase(lease.id);
      if (elsewhere) continue;
      table_.release(lease.id, effects_);
      router_.send(lease.owner, wire::LeaseRefused{.purpose = lease.purpose, .error = event.result.error()});
    }
    if (spares_.gone(event.process))
      log(LogLevel::kWarning, "a worker process that was to be kept ready for the next actor could not be made: " + event.result.error().message);
    actor_left(process);
    processes_.erase(event.process);
    if (elsewhere)
      for (const auto& lease : waiting) place(lease);
    return;
  }
  process.pid = event.result->pid;
  if (process.ended) return static_cast<void>(processes_.erase(event.process));
  process.running = true;
  spares_.ready(event.process);
  if (process.leaving || process.ended_for) {
    launcher_.kill(event.process);
    if (process.leaving) return;
  }
  if (!gpus_missing_.empty()) tell_total(event.process);
  for (const auto& lease : waiting)
    if (table_.find(lease.id)) tell_granted(lease, event.process);
}

/// A process that was asked to end may take seconds for it, and one with GPUs has their memory until it has gone: what it holds is given
/// on then, by on(Ended). But one that leaves by itself may wait for what it has submitted, which may need all that it held but the GPUs.
bool Node::keeps_lease(const core::Lease& lease, End end) {
  const bool matters = end == End::kTerminate || lease.grant.amounts.gpus > Amount(0);
  const auto place = places_.find(lease.id);
  if (stopping_ || place == places_.end()) return false;
  const auto it = processes_.find(place->second);
  if (it == processes_.end() || !it->second.own || !it->second.running || it->second.ended) return false;
  if (!matters) return end == End::kLeave && it->second.given_up;  // its owner has no more use for what it has asked to end
  if (std::exchange(it->second.given_up, true) && end != End::kKill) return true;
  it->second.leaving = true;
  actor_left(it->second);
  if (end == End::kKill) {
    it->second.killed = true;
    launcher_.kill(it->first);
  } else if (end == End::kTerminate) {
    launcher_.terminate(it->first);
  } else {
    router_.send(it->first, wire::Retire{});
    watch_timer_.at(SteadyClock::now() + options_.stays_long, [this, id = lease.id] { actor_->tell(StaysLong{id}); });
    table_.release_all_but_gpus(lease.id, effects_);
  }
  return true;
}

void Node::on(StaysLong& event) {
  const auto* lease = table_.find(event.lease);
  const auto place = places_.find(event.lease);
  if (stopping_ || !lease || place == places_.end() || processes_.at(place->second).killed) return;
  log(LogLevel::kWarning, "the work of worker process " + std::to_string(processes_.at(place->second).pid) + " is over, but it stays, and may keep memory of its "
                          "GPU, which others get now: what it has submitted is not done, or it owns objects that others refer to. Wait for that in the "
                          "task, and return values instead of refs");
  let_go(event.lease);
}

void Node::let_go(LeaseId lease) {
  table_.release(lease, effects_);
  const auto place = places_.find(lease);
  if (place == places_.end()) return;  // granted, but not placed yet
  if (const auto it = processes_.find(place->second); it != processes_.end()) it->second.leases.erase(lease);
  places_.erase(place);
}

void Node::release(LeaseId lease, End end) {
  const auto* held = table_.find(lease);
  if (!held) return;
  if (keeps_lease(*held, end)) return;
  const auto place = places_.find(lease);
  const auto process = place == places_.end() ? kNodeProcess : place->second;
  let_go(lease);
  auto it = processes_.find(process);
  if (process == kNodeProcess || it == processes_.end() || !it->second.own || it->second.ended) return;
  it->second.leaving = true;
  actor_left(it->second);
  if (!it->second.running) return;  // killed as soon as it has been launched
  if (end == End::kKill) return launcher_.kill(process);
  end == End::kTerminate ? launcher_.terminate(process) : router_.send(process, wire::Retire{});
}

void Node::on(Ended& event) {
  auto it = processes_.find(event.process);
  if (it == processes_.end() || it->second.ended) return;
  memory_.process_ended(event.process);
  spares_.gone(event.process);
  actor_left(it->second);
  auto process = it->second;
  if (!process.own && !process.started) no_launch_before_ = SteadyClock::now() + kLaunchPause;
  for (const auto& lease : std::exchange(it->second.ungranted, {}))
    if (table_.find(lease.id)) tell_granted(lease, event.process);  // granted and lost, so that it counts as a crash
  process.running ? static_cast<void>(processes_.erase(it)) : static_cast<void>(it->second.ended = true);
  if (!process.leaving && !stopping_ && !process.ended_for)
    log(LogLevel::kInfo, "worker process " + std::to_string(process.pid) + " " + event.how);
  const bool unused = event.unused && !process.ended_for;
  for (auto id : process.leases) {
    const auto* lease = table_.find(id);
    places_.erase(id);
    if (!lease) continue;
    const auto error = process.ended_for ? *process.ended_for
                                         : ErrorInfo{.code = ErrorCode::kWorkerCrashed, .message = event.how,
                                                     .where = "worker process " + std::to_string(process.pid)};
    if (!process.given_up)
      router_.send(lease->owner, wire::LeaseLost{.lease = id, .error = error, .own_doing = event.own_doing && process.started && process.leases.size() == 1,
                                                  .shared = process.leases.size() > 1, .unused = unused});
    if (unused && !process.given_up) spare_died_.emplace(lease->owner, lease->purpose);
    table_.release(id, effects_);
  }
  drop_owner(event.process);
  on_gone_(event.process);
}

void Node::drop_owner(ProcessId owner) {
  for (auto group : table_.groups_of(owner)) remove_group(group);
  // All are told: any of them may refer to its objects, or it to theirs.
  for (const auto& [id, process] : processes_)
    if (process.running && !process.ended) router_.send(id, wire::OwnerGone{owner});
  for (auto id : table_.drop_owner(owner, effects_)) {
    const auto place = places_.find(id);
    const auto process = place == places_.end() ? processes_.end() : processes_.find(place->second);
    if (process == processes_.end() || !process->second.given_up) release(id, End::kKill);  // else it leaves by itself, when nobody refers to what it owns
  }
  std::erase_if(wanted_options_, [&](const auto& each) { return each.first.first == owner; });
  std::erase_if(spare_died_, [&](const auto& each) { return each.first == owner; });
  router_.send(kNodeProcess, wire::OwnerGone{owner});
}

void Node::on(Stopped&) {
  stopping_ = true;
  for (auto& [id, process] : processes_) {
    if (process.ended) continue;
    process.leaving = true;
    if (process.running) router_.send(id, wire::Shutdown{});
  }
}

}  // namespace manta::detail
