#include "tune/core/runtime_host.hpp"

#include <thread>

#include "runtime/errors.hpp"

namespace manta::tune {

RuntimeTrialHost::~RuntimeTrialHost() {
  for (auto& [trial, running] : running_) running.handle->kill();
}

ActorOptions RuntimeTrialHost::actor_options(const TrialSpec& spec, const std::filesystem::path& log_file) const {
  ActorOptions options{.label = spec.name,
                       .num_cpus = options_.resources.num_cpus,
                       .num_gpus = options_.resources.num_gpus,
                       .resources = options_.resources.custom,
                       .isolation = options_.isolation,
                       .env = options_.env,
                       .echo_output = false};
  if (options.isolation == own_process) options.log_file = log_file;
  return options;
}

void RuntimeTrialHost::launch(const TrialSpec& spec, const std::filesystem::path& log_file) {
  try {
    Running running{trainable_.spawn(client_, actor_options(spec, log_file), spec), {}};
    running.word = running.handle->next(Decision::kContinue);
    running_[spec.index] = std::move(running);
  } catch (const Error& error) {
    failed_launches_.push_back({spec.index, {.kind = TrialReply::kFailed, .error = error.what()}, true});
  }
}

void RuntimeTrialHost::answer(TrialIndex trial, Decision decision) {
  const auto found = running_.find(trial);
  if (found != running_.end()) found->second.word = found->second.handle->next(decision);
}

void RuntimeTrialHost::kill(TrialIndex trial) {
  const auto found = running_.find(trial);
  if (found == running_.end()) return;
  found->second.handle->kill();
  running_.erase(found);
}

std::vector<HostEvent> RuntimeTrialHost::wait(std::chrono::milliseconds timeout) {
  std::vector<HostEvent> events = std::exchange(failed_launches_, {});
  if (!events.empty()) return events;
  std::vector<ObjectRef<TrialReply>> words;
  std::vector<TrialIndex> trials;
  for (const auto& [trial, running] : running_) {
    if (!running.word) continue;
    words.push_back(running.word);
    trials.push_back(trial);
  }
  if (words.empty()) {
    std::this_thread::sleep_for(timeout);
    return events;
  }
  client_.wait(words, {.count = 1, .timeout = timeout});
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i].ready()) events.push_back(take(trials[i]));
  return events;
}

HostEvent RuntimeTrialHost::take(TrialIndex trial) {
  Running& running = running_.at(trial);
  HostEvent event{trial, {}, false};
  Result<TrialReply> word = client_.try_get(std::exchange(running.word, {}));
  if (word) {
    event.reply = std::move(*word);
  } else {
    event.crashed = true;
    event.reply.kind = TrialReply::kFailed;
    event.reply.error = word.error().to_string();
  }
  if (event.gone()) running_.erase(trial);
  return event;
}

}  // namespace manta::tune
