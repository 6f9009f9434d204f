#include "runtime/client.hpp"

#include <algorithm>
#include <bit>

#include "runtime/base/log.hpp"

namespace manta {

namespace {

/// True when a pointer comes twice. Open addressing: a few nanoseconds for each. (A table that the thread keeps would be gone when a static of the
/// program's ends its runtime.)
bool has_duplicates(const std::vector<detail::Cell*>& cells) {
  constexpr std::size_t kFew = 8;
  if (cells.size() <= kFew) {
    for (std::size_t i = 0; i < cells.size(); ++i)
      if (std::find(cells.begin(), cells.begin() + static_cast<std::ptrdiff_t>(i), cells[i]) != cells.begin() + static_cast<std::ptrdiff_t>(i)) return true;
    return false;
  }
  const auto size = std::bit_ceil(2 * cells.size() + 1);
  std::vector<const detail::Cell*> table(size, nullptr);
  for (const auto* cell : cells) {
    auto slot = (reinterpret_cast<std::uintptr_t>(cell) >> 4) * 0x9e3779b97f4a7c15u >> 20 & (size - 1);
    for (; table[slot]; slot = (slot + 1) & (size - 1))
      if (table[slot] == cell) return true;
    table[slot] = cell;
  }
  return false;
}

constexpr const char* kValueLate = "the value was not there in time; the work goes on: get it again, or give it more time";

/// Hands a user's callback to the thread for callbacks, when its cell has settled.
class Callback final : public detail::Cell::Waiter {
 public:
  Callback(std::weak_ptr<detail::Engine> engine, std::function<void()> callback)
      : engine_(std::move(engine)), callback_(std::move(callback)) {}
  void settled() override {
    auto callback = std::exchange(callback_, {});
    if (auto engine = engine_.lock()) return engine->post_callback(std::move(callback));
    try {  // of a promise that outlives the runtime: here, as there is no thread for it any more
      callback();
    } catch (...) {
      log(LogLevel::kError, "a callback of on_ready threw: " + current_exception_info().message);
    }
  }

 private:
  std::weak_ptr<detail::Engine> engine_;
  std::function<void()> callback_;
};

}  // namespace

bool detail::is_long_wait(Deadline deadline) noexcept {
  constexpr std::chrono::milliseconds kLong{100};
  return deadline && *deadline >= SteadyClock::now() + kLong;
}

void detail::throw_timeout(Engine& engine, const std::shared_ptr<Cell>& late, const std::string& message) {
  const auto words = late ? engine.explain_late(late) : std::string();
  throw Timeout(message + (words.empty() ? words : ". explain says: " + words));
}

void detail::wait_in_time(Engine& engine, const std::shared_ptr<Cell>& cell, Deadline deadline, const std::string& message) {
  const bool is_long = is_long_wait(deadline);
  if (!engine.wait(*cell, deadline)) throw_timeout(engine, is_long ? cell : nullptr, message);
}

void Client::await_some(const std::vector<detail::Cell*>& cells, const WaitOptions& options) {
  if (has_duplicates(cells)) throw InvalidArgument("wait was given the same ObjectRef twice: give each once");
  if (cells.empty() && options.count <= 1) return;  // nothing to wait for, as with a list that happens to be empty
  if (options.count > cells.size())
    throw InvalidArgument("wait for " + std::to_string(options.count) + " of " + std::to_string(cells.size()) +
                          " refs: ask for no more than there are");
  Deadline deadline;
  if (options.timeout) deadline = detail::deadline_in(*options.timeout);
  engine_->wait_some(cells, options.count, deadline, false);
}

void Client::await_all(const std::vector<detail::Cell*>& cells, Deadline deadline,
                       const std::function<std::shared_ptr<detail::Cell>(std::size_t)>& shared) {
  const bool long_enough = detail::is_long_wait(deadline);
  const bool done = engine_->wait_some(cells, cells.size(), deadline, true);
  for (const auto* cell : cells)
    if (cell->failed()) throw_error(*cell->error());
  if (done) return;
  const auto late = std::find_if(cells.begin(), cells.end(), [](const auto* cell) { return !cell->settled(); });
  detail::throw_timeout(*engine_, long_enough && late != cells.end() ? shared(static_cast<std::size_t>(late - cells.begin())) : nullptr, kValueLate);
}

void Client::await_pending(const std::shared_ptr<detail::Cell>& cell, Deadline deadline) {
  const bool long_enough = detail::is_long_wait(deadline);
  if (!engine_->wait(*cell, deadline)) detail::throw_timeout(*engine_, long_enough ? cell : nullptr, kValueLate);  // the text is made only here
}

void Client::notify(const std::shared_ptr<detail::Cell>& cell, std::function<void()> callback) {
  const auto behind = engine_->behind();  // that of a Context ends with its task
  cell->on_settled(std::make_shared<Callback>(behind ? behind : engine_, std::move(callback)));
}

}  // namespace manta
