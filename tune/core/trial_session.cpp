#include "tune/core/trial_session.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

TrialSession::TrialSession(TrialSpec spec, Body body, SessionRuntime runtime, std::shared_ptr<ReportLine> line)
    : spec_(std::move(spec)),
      dir_(spec_.dir),
      body_(std::move(body)),
      runtime_(std::move(runtime)),
      line_(std::move(line)),
      iteration_(spec_.iteration) {}

TrialSession::~TrialSession() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    abandoned_ = true;
    decision_ = Decision::kStop;
  }
  changed_.notify_all();
  if (line_) line_->close();
  if (thread_.joinable()) thread_.join();
}

TrialReply TrialSession::next(Decision decision) {
  std::unique_lock lock(mutex_);
  if (final_word_) return *final_word_;
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { run(); });
  } else {
    decision_ = decision;
    if (decision == Decision::kStop) stopping_ = true;
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return word_.has_value(); });
  TrialReply word = std::move(*word_);
  word_.reset();
  if (word.kind != TrialReply::kReported) final_word_ = word;
  return word;
}

void TrialSession::run() {
  turn_began_ = told_at_ = Clock::now();
  say(last_word());
}

TrialReply TrialSession::last_word() {
  TrialReply reply{.kind = TrialReply::kFinished, .pid = ::getpid()};
  try {
    TrialContext context(*this);
    body_(context, decode_config(spec_.config));
  } catch (const TrialStopped&) {
  } catch (const abi::__forced_unwind&) {
    throw;
  } catch (...) {
    reply.kind = TrialReply::kFailed;
    reply.error = current_exception_info().to_string();
  }
  if (unheard_ && reply.kind == TrialReply::kFinished) {  // where the driver let it go, nobody hears this
    reply.kind = TrialReply::kFailed;
    reply.error = "the trial lost its connection with the driver while it told result " + std::to_string(iteration_) + "; it goes on from its last checkpoint where max_failures allows it";
  }
  reply.iteration = iteration_;
  reply.earlier = std::exchange(held_back_, {});
  if (reply.kind == TrialReply::kFailed) return reply;
  reply.checkpoint = std::move(leaving_.checkpoint);
  reply.checkpoint_bytes = leaving_.checkpoint_bytes;
  reply.error = std::move(leaving_.error);
  return reply;
}

void TrialSession::say(TrialReply reply) {
  std::lock_guard lock(mutex_);
  word_ = std::move(reply);
  changed_.notify_all();
}

/// One report at a time: a second one would be told as the same iteration.
class TrialSession::Reporting {
 public:
  explicit Reporting(std::atomic<bool>& flag) : flag_(flag) {
    if (flag_.exchange(true))
      throw InvalidArgument("report was called while another report of this trial was under way: from a second thread, or inside a save function. "
                            "Report from one thread, and after the save");
  }
  ~Reporting() { flag_ = false; }
  Reporting(const Reporting&) = delete;
  Reporting& operator=(const Reporting&) = delete;

 private:
  std::atomic<bool>& flag_;
};

void TrialSession::report(const Metrics& metrics, const TrialContext::SaveFunction* save) {
  if (stopping()) throw TrialStopped{};
  const Reporting one(reporting_);
  TrialReply reply{.kind = TrialReply::kReported, .iteration = iteration_ + 1, .pid = ::getpid()};
  reply.metrics = metrics;
  if (save) {
    reply.checkpoint = write_checkpoint(dir_, reply.iteration, while_wanted(*save));
    reply.checkpoint_bytes = checkpoint_bytes(dir_ / reply.checkpoint);
  }
  reply.time_this_iter_s = std::chrono::duration<double>(Clock::now() - turn_began_).count();
  ++iteration_;
  if (!hold_back(reply)) {
    const Decision decision = ask(std::move(reply));
    if (decision != Decision::kContinue) {
      save_if_wanted(decision, save != nullptr);
      throw TrialStopped{};
    }
  }
  turn_began_ = Clock::now();
}

/// A save that takes longer than the driver waits must not appear: the trial's place may be another state's by then, as a copy's.
TrialContext::SaveFunction TrialSession::while_wanted(const TrialContext::SaveFunction& save) const {
  return [this, &save](const std::filesystem::path& dir) {
    save(dir);
    if (line_ && line_->closed()) throw TrialStopped{};
  };
}

/// Keeps a result for the next word, when the driver allows it to be late and it is not late yet.
bool TrialSession::hold_back(TrialReply& reply) {
  constexpr std::chrono::milliseconds kLatest{100};
  if (held_back_.size() + 1 >= spec_.buffer_results || !reply.checkpoint.empty()) return false;
  if (Clock::now() - told_at_ >= kLatest) return false;
  held_back_.push_back(std::move(reply));
  return true;
}

Decision TrialSession::ask(TrialReply reply) {
  reply.earlier = std::exchange(held_back_, {});
  const auto decision = line_ ? line_->ask(std::move(reply)) : take_turns(std::move(reply));
  if (!decision || *decision != Decision::kContinue) stopping_ = true;
  if (!decision) {
    unheard_ = true;
    throw TrialStopped{};
  }
  told_at_ = Clock::now();
  return *decision;
}

/// None when nobody asks any more.
std::optional<Decision> TrialSession::take_turns(TrialReply reply) {
  std::unique_lock lock(mutex_);
  if (abandoned_) return std::nullopt;
  word_ = std::move(reply);
  changed_.notify_all();
  changed_.wait(lock, [&] { return decision_.has_value(); });
  const auto decision = std::exchange(decision_, std::nullopt);
  return abandoned_ ? std::nullopt : decision;
}

/// A trial that is paused saves itself, if it said how, so that it loses nothing.
void TrialSession::save_if_wanted(Decision decision, bool saved_already) {
  const bool wanted = decision == Decision::kPause || spec_.checkpoint_at_end;
  if (!wanted || saved_already || !leaving_save_) return;
  try {
    leaving_.checkpoint = write_checkpoint(dir_, iteration_, while_wanted(leaving_save_));
    leaving_.checkpoint_bytes = checkpoint_bytes(dir_ / leaving_.checkpoint);
  } catch (const TrialStopped&) {
  } catch (const abi::__forced_unwind&) {
    throw;
  } catch (...) {
    leaving_.error = "it could not be saved when it had to leave its worker: " + current_exception_info().to_string();
  }
}

void TrialContext::report(const Metrics& metrics) { session_->report(metrics, nullptr); }

void TrialContext::report(const Metrics& metrics, const SaveFunction& save) { session_->report(metrics, &save); }

void TrialContext::save_when_leaving(SaveFunction save) { session_->save_when_leaving(std::move(save)); }

std::optional<std::filesystem::path> TrialContext::checkpoint() const {
  if (session_->spec().checkpoint.empty()) return std::nullopt;
  return std::filesystem::path(session_->spec().checkpoint);
}

std::uint64_t TrialContext::iteration() const noexcept { return session_->iteration(); }
bool TrialContext::should_stop() const noexcept { return session_->stopping(); }
const std::string& TrialContext::id() const noexcept { return session_->spec().id; }
const std::string& TrialContext::name() const noexcept { return session_->spec().name; }
const std::filesystem::path& TrialContext::dir() const noexcept { return session_->dir(); }
std::uint64_t TrialContext::seed() const noexcept { return session_->spec().seed; }
const PlacementGroup& TrialContext::placement_group() const noexcept { return session_->spec().group; }
Client& TrialContext::runtime() noexcept { return *session_->runtime().client; }
const std::vector<int>& TrialContext::gpu_ids() const noexcept { return session_->runtime().gpu_ids; }
Amount TrialContext::num_cpus() const noexcept { return session_->runtime().num_cpus; }

}  // namespace manta::tune
