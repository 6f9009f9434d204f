#pragma once
// Inbox and ControlActor: how Manta's roles are CAF actors. Events wait in the inbox; the actor's mailbox only ever holds
// one wake-up, so that a burst of events costs one CAF message, and events need not be CAF messages.
#include <caf/all.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/actors/scheduler.hpp"
#include "runtime/base/small_mutex.hpp"

namespace manta::detail {

using WakeAtom = caf::atom_constant<caf::atom("wake")>;

/// Around what makes a system or an actor in one. CAF leaves a reference to the system's logger on the thread that does so, and the system's
/// destructor waits until all of these have gone: on another thread it would for ever, as long as this one lives. (What another system
/// has left there goes too, as at the end of any; CAF gives no way to put it back, and nothing is logged by it.)
class NoLoggerLeft {
 public:
  NoLoggerLeft() = default;
  ~NoLoggerLeft() { caf::logger::set_current_actor_system(nullptr); }
  NoLoggerLeft(const NoLoggerLeft&) = delete;
};

/// Owner of an actor that handles events of one type in groups, never blocking. tell() is thread-safe and may run the
/// handler on the calling thread (see ElasticScheduler): call it without locks held.
template <class Event>
class ControlActor {
 public:
  using Handler = std::function<void(std::vector<Event>&)>;

  ControlActor(caf::actor_system& system, Handler handler) : state_(std::make_shared<State>()) {
    state_->handler = std::move(handler);
    // As an argument, not captured: CAF binds a reference to null for a function that takes none.
    auto body = [](caf::event_based_actor*, const std::shared_ptr<State>& state) -> caf::behavior {
      return {[state](WakeAtom) { state->drain(); }};
    };
    const NoLoggerLeft guard;
    actor_ = system.spawn(body, state_);
  }
  ~ControlActor() { stop(); }
  ControlActor(const ControlActor&) = delete;

  void tell(Event event) {
    if (!put(std::move(event), [] { return false; })) return;
    ElasticScheduler::inline_next(true);
    caf::anon_send(actor_, WakeAtom::value);
    ElasticScheduler::inline_next(false);
  }

  /// An event that changes nothing before the handler's next one: while `may_wait()` holds, it waits for that one. The
  /// handler decides what may_wait says; it is asked under the inbox's lock, so the handler's last word counts.
  template <class MayWait>
  void tell_with_next(Event event, MayWait&& may_wait) {
    if (!put(std::move(event), std::forward<MayWait>(may_wait))) return;
    ElasticScheduler::inline_next(true);
    caf::anon_send(actor_, WakeAtom::value);
    ElasticScheduler::inline_next(false);
  }

  /// Handled by a thread of the pool, not by this one: for one of many in a row, which are then handled in groups.
  void tell_in_background(Event event) {
    if (put(std::move(event), [] { return false; })) caf::anon_send(actor_, WakeAtom::value);
  }

  /// Gives what waits, unhandled; later events are dropped. Waits for the event that is being handled (not to be called by it).
  std::vector<Event> stop() {
    std::vector<Event> dropped;  // destroyed without the lock: what they hold may tell something, which is dropped too
    {
      std::unique_lock lock(state_->mutex);
      const bool first = !std::exchange(state_->stopped, true);
      dropped.swap(state_->events);
      state_->rested.wait(lock, [this] { return !state_->handling; });
      if (!first) return dropped;
    }
    caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
    actor_ = {};
    return dropped;
  }

 private:
  static constexpr std::size_t kMaxWaiting = 256;  ///< events that wait for the next one
  static constexpr std::size_t kKept = 1024;       ///< places of an idle inbox

  /// True when the actor must be woken.
  template <class MayWait>
  bool put(Event event, MayWait&& may_wait) {
    std::lock_guard lock(state_->mutex);
    if (state_->stopped) return false;
    state_->events.push_back(std::move(event));
    if (state_->awake || (may_wait() && state_->events.size() < kMaxWaiting)) return false;
    state_->awake = true;
    return true;
  }

  struct State {
    void drain() noexcept {  // an exception here is a bug: better an end that is seen than a runtime that hangs
      while (true) {
        group.clear();
        {
          std::lock_guard lock(mutex);
          handling = !events.empty() && !stopped;
          if (!handling) {
            awake = false;
            for (auto* each : {&events, &group})
              if (each->capacity() > kKept) *each = std::vector<Event>();  // what a burst needed
            if (stopped) rested.notify_all();
            return;
          }
          group.swap(events);
        }
        handler(group);
      }
    }
    SmallMutex mutex;
    std::vector<Event> events;
    std::vector<Event> group;  // of the thread that drains; the two take turns, so a burst allocates once
    std::condition_variable_any rested;
    bool awake = false;
    bool handling = false;
    bool stopped = false;
    Handler handler;
  };
  std::shared_ptr<State> state_;
  caf::actor actor_;
};

}  // namespace manta::detail
