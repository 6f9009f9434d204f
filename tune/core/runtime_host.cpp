#include "tune/core/runtime_host.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

/// Puts the trial into the inbox on the thread that settles its reference: Client::on_ready would wake a thread for it.
class Arrival final : public detail::Cell::Waiter {
 public:
  Arrival(std::shared_ptr<HostInbox> inbox, TrialIndex trial, std::uint64_t ticket, bool begun = false)
      : inbox_(std::move(inbox)), trial_(trial), ticket_(ticket), begun_(begun) {}
  void settled() override { inbox_->put({trial_, ticket_, {}, false, begun_}); }

 private:
  const std::shared_ptr<HostInbox> inbox_;
  const TrialIndex trial_;
  const std::uint64_t ticket_;
  const bool begun_;
};

}  // namespace

RuntimeTrialHost::RuntimeTrialHost(Client& client, const Trainable& trainable, const TuneOptions& options)
    : client_(client), trainable_(trainable), options_(options), inbox_(std::make_shared<HostInbox>()), wants_desk_(options.isolation == own_process) {}

RuntimeTrialHost::~RuntimeTrialHost() {
  for (auto& [trial, running] : running_) let_go(running), end(running.seat);
  for (Seat& seat : free_seats_) end(seat);
}

ActorOptions RuntimeTrialHost::actor_options(const TrialSpec& spec, const Seat& seat, const std::filesystem::path& log_file) const {
  const TrialResources& resources = spec.resources;
  ActorOptions options{.label = spec.name,
                       .num_cpus = resources.num_cpus,
                       .num_gpus = resources.num_gpus,
                       .resources = resources.custom,
                       .isolation = options_.isolation,
                       .env = options_.env,
                       .echo_output = false};
  if (!resources.bundles.empty()) {
    const Bundle& own = resources.bundles.front();
    options.num_cpus = own.num_cpus;
    options.num_gpus = own.num_gpus;
    options.memory_bytes = own.memory_bytes;
    options.resources = own.resources;
    options.placement = seat.group.bundle(0);
  }
  if (options.isolation == own_process) options.log_file = log_file;
  return options;
}

/// An actor that is free and holds the same, or a new one; what other free ones hold may be what the new one needs.
RuntimeTrialHost::Seat RuntimeTrialHost::take_seat(const TrialSpec& spec, const std::filesystem::path& log_file) {
  const auto found = std::find_if(free_seats_.begin(), free_seats_.end(), [&](auto& seat) { return seat.resources == spec.resources; });
  if (found == free_seats_.end()) {
    for (Seat& seat : std::exchange(free_seats_, {})) end(seat);
    return new_seat(spec, log_file);
  }
  Seat seat = std::move(*found);
  free_seats_.erase(found);
  return seat;
}

RuntimeTrialHost::Seat RuntimeTrialHost::new_seat(const TrialSpec& spec, const std::filesystem::path& log_file) {
  Seat seat{.resources = spec.resources};
  if (!spec.resources.bundles.empty())
    seat.group = client_.placement_group({.bundles = spec.resources.bundles, .strategy = spec.resources.strategy});
  try {
    const StepOptions steps{spec.checkpoint_frequency, spec.keep_trainable};
    seat.handle = trainable_.spawn(client_, actor_options(spec, seat, log_file), steps);
    return seat;
  } catch (...) {
    end(seat);
    throw;
  }
}

void RuntimeTrialHost::end(Seat& seat) {
  if (seat.handle) seat.handle->kill();
  if (seat.group) client_.remove(seat.group);
}

void RuntimeTrialHost::leave_seat(Seat seat, bool reusable) {
  if (options_.reuse_actors && reusable) return free_seats_.push_back(std::move(seat));
  seat.handle.reset();  // the last handle: the actor ends by itself
  if (seat.group) client_.remove(seat.group);
}

void RuntimeTrialHost::launch(const TrialSpec& spec, const std::filesystem::path& log_file) {
  std::uint64_t expected = 0;
  try {
    Running running{.seat = take_seat(spec, log_file), .slot = ReportSlot::open(inbox_, spec.index)};
    TrialSpec sent = spec;
    sent.group = running.seat.group;
    sent.ticket = running.slot->ticket();
    if (open_desk()) desk_->expect(spec.index, expected = sent.ticket), sent.desk = desk_->address();
    if (tells_begin()) running.place = running.seat.handle->arrive();
    running.word = running.seat.handle->begin(sent);
    Running& kept = running_[spec.index] = std::move(running);
    if (kept.place) kept.place.cell()->on_settled(std::make_shared<Arrival>(inbox_, spec.index, sent.ticket, true));
    listen(spec.index, kept);
  } catch (const Error& error) {
    if (desk_) desk_->forget(expected);
    const ErrorCode code = error.info().code;
    const bool for_good = code == ErrorCode::kInvalidArgument || code == ErrorCode::kInfeasibleResources;
    failed_launches_.push_back({spec.index, {.kind = TrialReply::kFailed, .error = error.what()}, true, for_good});
  }
}

void RuntimeTrialHost::answer(TrialIndex trial, Decision decision) {
  const auto found = running_.find(trial);
  if (found == running_.end()) return;
  Running& running = found->second;
  if (running.asked == Running::Asked::kSlot) return running.slot->answer(decision);
  if (running.asked == Running::Asked::kDesk) return desk_->answer(running.slot->ticket(), decision);
  wants_desk_ = true;  // trials run in other processes: the next ones may reach a desk
  running.word = running.seat.handle->next(decision);
  listen(trial, running);
}

/// Whether there is one. Tried again where there was none: it may have lacked descriptors.
bool RuntimeTrialHost::open_desk() {
  if (!desk_ && wants_desk_ && (desk_ = ReportDesk::open())) inbox_->use(desk_->bell());
  return desk_ != nullptr;
}

/// Neither by its slot nor at the desk is it heard any more.
void RuntimeTrialHost::let_go(Running& running) {
  running.slot->close();
  if (desk_) desk_->forget(running.slot->ticket());
}

void RuntimeTrialHost::listen(TrialIndex trial, Running& running) {
  running.word.cell()->on_settled(std::make_shared<Arrival>(inbox_, trial, running.slot->ticket()));
}

void RuntimeTrialHost::kill(TrialIndex trial) {
  const auto found = running_.find(trial);
  if (found == running_.end()) return;
  let_go(found->second);
  end(found->second.seat);
  running_.erase(found);
}

std::vector<HostEvent> RuntimeTrialHost::wait(std::chrono::milliseconds timeout) {
  std::vector<HostEvent> events = std::exchange(failed_launches_, {});
  if (!events.empty()) return events;
  for (HostInbox::Item& item : arrived(timeout)) take(std::move(item), events);
  return events;
}

/// What a trial told at the desk comes before the news that its process has ended.
std::vector<HostInbox::Item> RuntimeTrialHost::arrived(std::chrono::milliseconds timeout) {
  using namespace std::chrono_literals;
  if (!desk_) return inbox_->take(timeout);
  std::vector<HostInbox::Item> settled = inbox_->take(0ms), items;
  for (ReportDesk::Told& told : desk_->wait(settled.empty() ? timeout : 0ms))
    items.push_back({told.trial, told.ticket, std::move(told.reply), true});
  items.insert(items.end(), std::make_move_iterator(settled.begin()), std::make_move_iterator(settled.end()));
  return items;
}

/// A trial that was killed, or launched again since, is not heard.
void RuntimeTrialHost::take(HostInbox::Item item, std::vector<HostEvent>& events) {
  const auto found = running_.find(item.trial);
  if (found == running_.end() || found->second.slot->ticket() != item.ticket) return;
  Running& running = found->second;
  if (item.begun) {
    if (client_.try_get(std::exchange(running.place, {}))) events.push_back({.trial = item.trial, .begun = true});
    return;  // else the actor has died, which its word tells too
  }
  if (item.reply) {
    running.asked = item.at_desk ? Running::Asked::kDesk : Running::Asked::kSlot;
    return events.push_back({item.trial, std::move(*item.reply), false});
  }
  running.asked = Running::Asked::kTurns;
  if (running.word && running.word.ready()) take_word(item.trial, running, events);
}

/// The runtime's advice is for who spawned an actor; who looks at a trial wants to know how its process ended, and where its output is.
static std::string crash_text(const ErrorInfo& error) {
  if (error.code != ErrorCode::kActorDied || !error.cause || error.cause->code != ErrorCode::kWorkerCrashed) return error.to_string();
  const auto where = error.cause->where.empty() ? "" : " (" + error.cause->where + ")";
  return "WorkerCrashed: the trial's process " + error.cause->message + where + ". Look at its output: TrialResult::log_file, for a trial in a process of its own";
}

void RuntimeTrialHost::take_word(TrialIndex trial, Running& running, std::vector<HostEvent>& events) {
  HostEvent event{trial, {}, false};
  Result<TrialReply> word = client_.try_get(std::exchange(running.word, {}));
  if (word) {
    event.reply = std::move(*word);
  } else {
    event.crashed = true;
    event.reply.kind = TrialReply::kFailed;
    event.reply.error = crash_text(word.error());
  }
  if (event.gone()) {
    Seat seat = std::move(running.seat);
    let_go(running);  // were its call to fail while it lives, it would wait for an answer
    running_.erase(trial);
    leave_seat(std::move(seat), event.reply.kind == TrialReply::kFinished);
  }
  events.push_back(std::move(event));
}

}  // namespace manta::tune
