#include "tune/core/trial_session.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include "runtime/errors.hpp"
#include "tune/core/checkpoint_files.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

TrialSession::TrialSession(TrialSpec spec, Body body, SessionRuntime runtime)
    : spec_(std::move(spec)),
      dir_(spec_.dir),
      body_(std::move(body)),
      runtime_(std::move(runtime)),
      iteration_(spec_.iteration) {}

TrialSession::~TrialSession() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    decision_ = Decision::kStop;
  }
  changed_.notify_all();
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
  turn_began_ = Clock::now();
  say(last_word());
}

TrialReply TrialSession::last_word() {
  TrialReply reply{.kind = TrialReply::kFinished, .iteration = iteration_, .pid = ::getpid()};
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
  return reply;
}

void TrialSession::say(TrialReply reply) {
  std::lock_guard lock(mutex_);
  word_ = std::move(reply);
  changed_.notify_all();
}

void TrialSession::report(const Metrics& metrics, const TrialContext::SaveFunction* save) {
  if (stopping()) throw TrialStopped{};
  TrialReply reply{.kind = TrialReply::kReported, .iteration = iteration_ + 1, .pid = ::getpid()};
  for (const auto& [name, value] : metrics) {
    reply.names.push_back(name);
    reply.values.push_back(value);
  }
  if (save) reply.checkpoint = write_checkpoint(dir_, reply.iteration, *save);
  reply.time_this_iter_s = std::chrono::duration<double>(Clock::now() - turn_began_).count();
  ++iteration_;
  std::unique_lock lock(mutex_);
  if (stopping_) throw TrialStopped{};
  word_ = std::move(reply);
  changed_.notify_all();
  changed_.wait(lock, [&] { return decision_.has_value(); });
  const Decision decision = *decision_;
  decision_.reset();
  if (decision != Decision::kContinue) stopping_ = true;
  if (stopping_) throw TrialStopped{};
  turn_began_ = Clock::now();
}

void TrialContext::report(const Metrics& metrics) { session_->report(metrics, nullptr); }

void TrialContext::report(const Metrics& metrics, const SaveFunction& save) { session_->report(metrics, &save); }

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
Client& TrialContext::runtime() noexcept { return *session_->runtime().client; }
const std::vector<int>& TrialContext::gpu_ids() const noexcept { return session_->runtime().gpu_ids; }
Amount TrialContext::num_cpus() const noexcept { return session_->runtime().num_cpus; }

}  // namespace manta::tune
