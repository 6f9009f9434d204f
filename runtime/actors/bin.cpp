#include "runtime/actors/bin.hpp"

#include <system_error>
#include <thread>

#include "runtime/actors/running_work.hpp"

namespace manta::detail {

namespace {
thread_local bool t_empties_bin = false;

/// What lies in all bins of the process. Submitting threads look at this first: it is mostly 0 and never written, where a bin's own
/// counts lie among what is.
alignas(64) std::atomic<std::size_t> g_in_all_bins{0};
}  // namespace

void Bin::announce(std::size_t count) noexcept {
  if (count > 0) thrown_away_ += count, g_in_all_bins += count;
}

Lane& Bin::lane() {
  if (!lane_) try {
      lane_ = std::make_unique<Lane>(1);
    } catch (const std::system_error&) {  // no thread to be had: the other one does it
      return otherwise_;
    }
  return *lane_;
}

void Bin::destroy(Load load) {
  if (load.empty()) return;
  auto job = [this, load = std::move(load)]() mutable {
    t_empties_bin = true;
    const auto empty = [this](auto& values, auto&& let_go) {
      for (auto& each : values) {
        let_go(each);
        each.reset();
        ++destroyed_, --g_in_all_bins;  // one by one: who waits sees whether it goes on
      }
    };
    empty(load.arguments, [](const auto& record) { record->release_arguments(); });
    empty(load.records, [](const auto&) {});
    empty(load.values, [](const auto&) {});
    t_empties_bin = false;
  };
  {
    std::lock_guard lock(mutex_);  // until it is posted: the lane goes at the end
    if (!closed_) return lane().post(std::move(job));
  }
  job();
}

void Bin::close() {
  std::unique_ptr<Lane> last;  // ends without the lock: what it runs may come back here
  std::lock_guard lock(mutex_);
  closed_ = true;
  last.swap(lane_);
}

void Bin::take(std::shared_ptr<const void> value) {
  announce();
  Load load;
  load.values.push_back(std::move(value));
  destroy(std::move(load));
}

bool Bin::is_empty(SteadyClock::time_point deadline, std::size_t most) const {
  for (;;) {
    const auto destroyed = destroyed_.load();  // first, so that it is the smaller number
    if (thrown_away_ - destroyed <= most) return true;
    if (SteadyClock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

void Bin::wait_for_room() const {
  constexpr std::size_t kFull = 256;
  constexpr std::chrono::milliseconds kMoment{100};
  constexpr int kPasses = 64;
  if (g_in_all_bins <= kFull || t_empties_bin || CancelSlot::current()) return;
  if (passes_ > 0 && passes_-- > 0) return;
  const auto destroyed = destroyed_.load();
  if (!is_empty(SteadyClock::now() + kMoment, kFull) && destroyed_ == destroyed) passes_ = kPasses;
}

}  // namespace manta::detail
