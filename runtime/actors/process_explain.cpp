// What a ref waits for, in words, and the log's word about waits that take long.
#include <cstdlib>

#include "runtime/actors/explanation.hpp"
#include "runtime/actors/process_engine.hpp"
#include "runtime/base/log.hpp"

namespace manta::detail {

namespace {
constexpr int kDepth = 8;    // of a chain of arguments
constexpr int kObjects = 24; // that one explanation speaks of

/// What one thread finds out for another, which may go away before.
struct Finding {
  std::atomic<std::uint32_t> done{0};
  std::string text{};
};
}  // namespace

std::chrono::milliseconds ProcessEngine::long_wait() {
  static const std::chrono::milliseconds after = [] {
    const char* text = std::getenv("MANTA_EXPLAIN_AFTER_MS");
    const auto given = text ? std::strtoll(text, nullptr, 10) : 0;
    return given > 0 ? std::chrono::milliseconds(std::min(given, 1'000'000'000LL)) : std::chrono::milliseconds(30'000);
  }();
  return after;
}

std::string ProcessEngine::explain(Cell& cell) {
  const UseGate::Use use(*gate_);
  gate_->need_own_process();
  if (!use) return cell.settled() ? (cell.failed() ? "failed: " + cell.error()->to_string() : "ready") : "not ready, and the runtime has been shut down";
  Explaining explaining{.reader = self_, .left = kObjects};
  return explain(cell, 0, explaining);
}

/// On the lane, as what it asks may take longer than its caller waits.
std::string ProcessEngine::explain_late(const std::shared_ptr<Cell>& cell) {
  constexpr std::chrono::milliseconds kPatience{100};
  const UseGate::Use use(*gate_);
  if (!use || environment_.stopping || cell->settled()) return {};
  const auto finding = std::make_shared<Finding>();
  const auto deadline = SteadyClock::now() + kPatience;
  lane_->post([this, waited = cell, finding, deadline]() mutable {
    try {
      Explaining explaining{.reader = self_, .left = kObjects, .may_ask = false};
      finding->text = explain(*waited, 0, explaining) + explain_target(*waited, deadline);
    } catch (...) {
      log(LogLevel::kDebug, "a wait that ended without a value could not be explained: " + current_exception_info().message);
    }
    waited.reset();  // before who waits goes on
    finding->done.store(1, std::memory_order_release);
    futex_wake_all(finding->done);
  });
  Reactor::stand_back();
  ElasticScheduler::BlockedSection section;
  while (finding->done.load(std::memory_order_acquire) == 0)
    if (!futex_wait(finding->done, 0, deadline)) return {};
  if (cell->settled() || finding->text.empty()) return {};
  const auto* executor = Executor::current();
  const auto own = executor ? executor->serial_actor() : ActorId{};
  return finding->text + (own ? "\nThis wait is of " + number_of(own) : "");
}

/// On the lane: whether the actor of the call that makes the cell waits in turn.
std::string ProcessEngine::explain_target(Cell& cell, Deadline deadline) {
  if (cell.producer_kind() != Cell::Producer::kCall) return {};
  const auto told = std::make_shared<Promise<std::uint64_t>>();
  owner_->ask_target(TaskId{cell.producer()}, told);
  const auto answer = told->ref().cell();
  if (!answer->wait(deadline) || answer->failed()) return {};
  const ActorId target{*std::static_pointer_cast<const std::uint64_t>(answer->value())};
  const auto chain = target ? waits_->chain(ids_.next<ActorId>(), target, deadline) : std::string();
  return chain.empty() ? chain : "\nIts actor waits in turn: " + chain;
}

/// On the lane.
std::string ProcessEngine::explain_lent(core::ReferenceId id, ProcessId reader) {
  const auto cell = references_->lent_object(id);
  if (!cell) return "not ready: it has been let go";
  Explaining explaining{.reader = reader, .left = kObjects, .may_ask = false};
  return explain(*cell, 0, explaining);
}

std::string ProcessEngine::explain_borrowed(core::ReferenceId id, Explaining& explaining) {
  const auto owner = process_in_words(maker_of(id), explaining.reader) + " owns it: ";
  if (!explaining.may_ask) return "not ready: " + owner + "ask there";
  const auto said = remote_explain_->ask(id);
  explaining.may_ask = !said.empty();  // else one question after the other would wait, for each ref of a list
  return said.empty() ? "not ready: " + owner + "it has not said more within 2 s, so ask there" : owner + said;
}

std::string ProcessEngine::explain(Cell& cell, int depth, Explaining& explaining) {
  const auto settled = [&cell] {
    const auto error = cell.failed() ? cell.error() : cell.lost();
    return error ? "failed: " + error->to_string() : std::string("ready");
  };
  const auto again = cell.settled() && !cell.failed() && lineage_ ? lineage_->making_again(cell) : std::nullopt;
  if (cell.settled() && !again) return settled();
  if (depth >= kDepth || explaining.left-- <= 0) return "not ready; explain that ref by itself";
  if (!owner_) return "not ready, and the runtime has been shut down";
  if (again) return "was lost, and is made again: " + explain_work(*again, true, depth, explaining);
  if (cell.producer_kind() == Cell::Producer::kNone) {
    if (const auto made = lineage_->making(cell)) return "a lost value is made again: " + explain_work(*made, true, depth, explaining);
    if (const auto id = references_->id_of(cell); id && maker_of(id) != self_) return explain_borrowed(id, explaining);
    if (const auto group = placements_.group_of(cell)) return explain_group(*group);
    return "not ready: " + process_in_words(self_, explaining.reader) + " owns it, and no task or call makes it (a promise, an item of a stream)";
  }
  auto said = explain_work(TaskId{cell.producer()}, false, depth, explaining);
  return cell.settled() ? settled() : said;
}

std::string ProcessEngine::explain_work(TaskId work, bool ours, int depth, Explaining& explaining) {
  const auto report = owner_->report_on(work);
  using Stage = WorkReport::Stage;
  if (!ours && report.stage == Stage::kUnknown && report.name.empty() && self_ == kNodeProcess)  // of work of its own that has ended the ref is settled
    return "not ready: it belongs to another Runtime of this program, so ask there";
  const bool needs = report.stage == Stage::kQueued || report.stage == Stage::kCall;
  ReportScene scene{.self = explaining.reader, .free = needs ? available_resources() : Resources{}, .total = total_resources(), .now = SteadyClock::now()};
  if (needs && report.request.group) {
    for (auto& group : placements_.ask({}))
      if (group.spec.id == report.request.group) scene.bundles = std::move(group.free);
    if (scene.bundles.empty()) scene.group_wait = explain_group(report.request.group);
  }
  return in_words(report, scene, [this, depth, &explaining](Cell& next) { return explain(next, depth + 1, explaining); });
}

std::string ProcessEngine::explain_group(GroupId wanted) {
  const core::PlacementSpec* waiting = nullptr;
  std::vector<std::string> holders;
  const auto groups = placements_.ask({});
  for (const auto& group : groups)
    if (group.placed)
      holders.push_back(describe_group(group.spec.id, group.spec.name));
    else if (group.spec.id == wanted)
      waiting = &group.spec;
  if (!waiting) return "not ready: its placement group has just been placed or removed";
  return in_words(*waiting, holders, {.self = self_, .free = available_resources(), .total = total_resources(), .now = SteadyClock::now()});
}

void ProcessEngine::log_wait(std::span<Cell* const> cells) {
  try {
    std::size_t waiting = 0;
    Cell* first = nullptr;
    for (auto* cell : cells) {
      if (cell->settled()) continue;
      if (!first) first = cell;
      ++waiting;
    }
    if (!first) return;
    log(LogLevel::kWarning, "a wait has taken " + std::to_string(long_wait().count()) + " ms, for " + std::to_string(waiting) + " of " +
                                std::to_string(cells.size()) + (cells.size() == 1 ? " ref. " : " refs. The first: ") + explain(*first));
  } catch (...) {  // it is the log's loss, not the waiter's
    log(LogLevel::kDebug, "a long wait could not be explained: " + current_exception_info().message);
  }
}

void ProcessEngine::log_wait(const std::string& coroutine, Cell& awaited) {
  try {
    if (awaited.settled()) return;
    log(LogLevel::kWarning, "a co_await of " + coroutine + " has taken more than " + std::to_string(long_wait().count()) + " ms, for " + explain(awaited));
  } catch (...) {
    log(LogLevel::kDebug, "a long co_await could not be explained: " + current_exception_info().message);
  }
}

}  // namespace manta::detail
