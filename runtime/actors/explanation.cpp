#include "runtime/actors/explanation.hpp"

#include <cstdio>

#include "runtime/engine.hpp"

namespace manta::detail {

namespace {

using Stage = WorkReport::Stage;

std::string seconds_since(SteadyClock::time_point since, SteadyClock::time_point now) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(now - since).count());
  return text;
}

std::string count_of(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? " is" : "s are");
}

std::string attempt_in_words(int attempt) { return attempt > 1 ? " (attempt " + std::to_string(attempt) + ")" : ""; }

/// What is needed of the machine, beside what there is of it.
std::string machine_in_words(const Resources& needs, const std::string& needed, const ReportScene& scene) {
  bool fits = true, is_free = true;
  std::string free, total;
  for (const auto& [name, amount] : needs) {
    if (amount <= Amount(0)) continue;
    fits &= amount <= scene.total[name];
    is_free &= amount <= scene.free[name];
    const auto add = [&name = name](std::string& text, const Resources& from) {
      text += (text.empty() ? "" : ", ") + name + ": " + from[name].to_string();
    };
    add(free, scene.free), add(total, scene.total);
  }
  if (!fits)
    return "needs " + needed + ", and this machine has {" + total + "} in all: it waits for ever, unless the runtime is started with more";
  const auto text = "needs " + needed + "; free {" + free + "}";
  if (!is_free) return text;
  return text + " in sum: it goes on in a moment (a process may have to be started), unless " +
         (needs["GPU"] > Amount(0) ? "no single GPU has as much free (a share must lie on one, whole ones must be free altogether), or " : "") +
         "what is free is kept for a larger request that has been passed over";
}

/// What is needed, beside what there is of it.
std::string resources_in_words(const WorkReport& report, const ReportScene& scene) {
  const auto needs = report.request.all();
  if (!report.group.empty()) {
    const auto needed = "needs " + report.request.to_string() + " of " + report.group;
    if (scene.bundles.empty()) return needed + ", which is not placed yet" + (scene.group_wait.empty() ? "" : ": " + scene.group_wait);
    std::string bundles;
    for (std::size_t i = 0; i < scene.bundles.size(); ++i) {
      if (report.request.bundle >= 0 && static_cast<std::size_t>(report.request.bundle) != i) continue;
      Resources free;
      for (const auto& [name, amount] : needs)
        if (amount > Amount(0)) free.set(name, scene.bundles[i][name]);
      bundles += (bundles.empty() ? "; free " : ", ") + free.to_string() + " in bundle " + std::to_string(i);
    }
    return needed + bundles;
  }
  return machine_in_words(needs, report.request.to_string(), scene);
}

std::string name_of(const WorkReport& report) { return report.name.empty() ? "its work" : report.name; }

/// A line for each, from the second on with the name of the work: below it there may be long chains of the one before.
std::string arguments_in_words(const WorkReport& report, const std::string& of, const std::function<std::string(Cell&)>& deeper) {
  if (report.arguments.empty()) return "its arguments are there and on their way";
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(report.arguments.size(), kShown); ++i) {
    const auto& [index, cell] = report.arguments[i];
    text += (i ? "\n" + name_of(report) + ": " : "") + "waits for its " + of + " " + std::to_string(index + 1) + ": " + deeper(*cell);
  }
  if (report.arguments.size() > kShown) text += "\n" + name_of(report) + ": waits for " + std::to_string(report.arguments.size() - kShown) + " more";
  return text;
}

std::string ahead_in_words(const WorkReport& report, const std::function<std::string(Cell&)>& deeper) {
  if (report.ahead == 0) return {};
  return "; " + count_of(report.ahead, "call") + " ahead of it" + (report.first_ahead && deeper ? ", the first: " + deeper(*report.first_ahead) : "");
}

/// Its owner says where it is once it is alive.
std::string borrowed_in_words(const std::string& actor, std::optional<core::ActorState> told) {
  const std::string said = "; its owner says that it ";
  if (!told) return actor + "not alive yet, as far as its owner has said";
  switch (*told) {
    case core::ActorState::kWaitingForArguments: return actor + "not alive" + said + "waits for an argument of its constructor";
    case core::ActorState::kPending: return actor + "not alive" + said + "waits for a lease";
    case core::ActorState::kStarting: return actor + "not alive" + said + "is in its constructor";
    case core::ActorState::kRestarting: return actor + "not alive" + said + "restarts";
    default: return actor + "not reached yet";
  }
}

/// Where it waits only its own process knows, which logs it when that takes long.
std::string coroutine_in_words(const WorkReport& report) {
  return report.asynchronous ? "; it is a coroutine, and may be waiting at a co_await" : "";
}

std::string call_in_words(const WorkReport& report, const ReportScene& scene, const std::function<std::string(Cell&)>& deeper) {
  const auto where = process_in_words(report.process, scene.self);
  const auto actor = "its " + report.actor + " is ";
  if (report.borrowed && report.actor_state != core::ActorState::kAlive && report.actor_state != core::ActorState::kDead)
    return borrowed_in_words(actor, report.told) + ahead_in_words(report, {});
  switch (report.actor_state) {
    case core::ActorState::kWaitingForArguments: return actor + "not made: it " + arguments_in_words(report, "constructor's argument", deeper);
    case core::ActorState::kPending: return actor + "waiting for a lease: " + resources_in_words(report, scene) + ahead_in_words(report, {});
    case core::ActorState::kStarting: return actor + "starting in " + where + ahead_in_words(report, {});
    case core::ActorState::kRestarting:
      if (report.pauses_after > 1)
        return actor + "restarting after a pause: its process ended " + std::to_string(report.pauses_after) +
               " times in a row before its constructor had" + ahead_in_words(report, {});
      return actor + "restarting, and waits for a lease: " + resources_in_words(report, scene) + ahead_in_words(report, {});
    case core::ActorState::kDead: return actor + "at its end";
    case core::ActorState::kAlive: break;
  }
  const auto sent = "sent there " + seconds_since(report.since, scene.now) + " ago";
  if (!report.sent) return actor + "alive in " + where + ahead_in_words(report, deeper);
  if (report.ahead >= report.at_once) return actor + "alive in " + where + "; it was " + sent + ahead_in_words(report, deeper);
  if (report.coroutines >= report.max_coroutines)
    return actor + "alive in " + where + "; it was " + sent + "; as many coroutines as max_coroutines allows (" +
           std::to_string(report.max_coroutines) + ") have begun before it, and no other call begins before one of them ends: raise it, or await less";
  return actor + (report.shared ? "alive, and runs it or what other processes have called before" : "alive and runs it") + attempt_in_words(report.attempt) + " in " + where + "; it was " + sent + coroutine_in_words(report);
}

std::string state_in_words(const WorkReport& report, const ReportScene& scene, const std::function<std::string(Cell&)>& deeper) {
  const auto where = process_in_words(report.process, scene.self);
  switch (report.stage) {
    case Stage::kUnanswered: return "its owner has not said what it does: ask again";
    case Stage::kUnknown: break;
    case Stage::kArguments: return arguments_in_words(report, "argument", deeper);
    case Stage::kQueued:
      return "queued: " + resources_in_words(report, scene) + "; " + count_of(report.ahead, "task") + " ahead of it among those of equal needs" +
             attempt_in_words(report.attempt);
    case Stage::kBackOff: return "waits before its next attempt, which is number " + std::to_string(report.attempt);
    case Stage::kSent:
      if (report.ahead)
        return "was sent to " + where + " " + seconds_since(report.since, scene.now) + " ago, and " + count_of(report.ahead, "task") +
               " ahead of it there";
      return "runs since " + seconds_since(report.since, scene.now) + attempt_in_words(report.attempt) + " in " + where + coroutine_in_words(report);
    case Stage::kCall: return call_in_words(report, scene, deeper);
  }
  return "has ended, and its value is on the way";
}

}  // namespace

std::string process_in_words(ProcessId process, ProcessId self) {
  if (process == self) return "this process";
  return process == kNodeProcess ? "the driver" : "worker process " + std::to_string(process);
}

std::string in_words(const core::PlacementSpec& waiting, const std::vector<std::string>& holders, const ReportScene& scene) {
  core::ResourceRequest sum;
  for (const auto& bundle : waiting.bundles) {
    sum.cpus += bundle.cpus, sum.gpus += bundle.gpus;
    for (const auto& [name, amount] : bundle.custom) sum.custom.set(name, sum.custom[name] + amount);
  }
  const auto count = waiting.bundles.size();
  if (core::PlacementTable::needs_more_machines(waiting.strategy, waiting.bundles))
    return describe_group(waiting.id, waiting.name) + ": wants each of its " + std::to_string(count) +
           " bundles on a machine of its own (kStrictSpread), and there is one machine: it waits for ever; remove it, or use kSpread or kPack";
  auto text = describe_group(waiting.id, waiting.name) + ": waits for its " + std::to_string(count) +
              (count == 1 ? " bundle: " : " bundles at once: ") + machine_in_words(sum.all(), sum.to_string(), scene);
  for (std::size_t i = 0; i < holders.size(); ++i) text += (i ? ", " : "; placed: ") + holders[i];
  return text;
}

std::string in_words(const WorkReport& report, const ReportScene& scene, const std::function<std::string(Cell&)>& deeper) {
  const auto state = state_in_words(report, scene, [&deeper](Cell& cell) {
    std::string indented = "\n  ";
    for (const char c : deeper(cell)) indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
    return indented;
  });
  return name_of(report) + ": " + state;
}

}  // namespace manta::detail
