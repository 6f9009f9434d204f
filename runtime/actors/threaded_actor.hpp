#pragma once
// ThreadedActor: a user's actor that runs several calls at once, each on a thread of the pool. HostedActor is the one for
// a single call at a time.
//
// Calls wait in groups: one for those of no named group, and the named ones. A group has up to `limit` lanes, each an
// Executor with a CAF actor of its own, made when first needed; a lane takes calls of its group until none waits. Calls
// begin in the order of arrival, but of the items of one stream one at a time: the others could only wait for it on a lane. The object
// ends on the last lane to leave. Made by WorkerHost; thread-safe.
#include <map>
#include <set>

#include "runtime/actor_streams.hpp"
#include "runtime/actors/worker_host.hpp"
#include "runtime/base/fifo.hpp"

namespace manta::detail {

class ThreadedActor final : public Hosted, public std::enable_shared_from_this<ThreadedActor> {
 public:
  ThreadedActor(WorkerHost& host, HostEnvironment& environment, ProcessId owner, ActorId id, wire::LeaseInfo lease,
                wire::Concurrency concurrency);
  ~ThreadedActor() override;
  void start(Work constructor) override;
  void call(std::vector<Work> calls) override;
  std::vector<TaskId> destroy(bool kill) override;
  void cancel(TaskId id, bool recursive) override;
  void caller_gone(ProcessId caller) override;
  ProcessId owner() const override { return owner_; }

 private:
  class Lane;
  struct Group {
    std::string name{};
    std::size_t limit = 1;
    std::set<wire::Concurrency::Method> methods{};
    WorkQueue queue{};
    std::map<std::uint64_t, WorkQueue> streams{};  // of which an item runs, or is in `items`; what came since waits here
    std::deque<std::pair<std::uint64_t, Work>> items{};  // whose turn it is, with their streams: ahead of the queue
    std::deque<std::shared_ptr<RunningCoroutine>> due{};  // begun, and what they awaited is there
    std::vector<Lane*> idle{};
    std::size_t running = 0;  // lanes that take calls, or are about to
    void pass_on(std::uint64_t stream);
    using Find = WorkQueue::iterator (WorkQueue::*)(TaskId);
    std::optional<Work> withdraw(TaskId id, Find find);
    void drop_queued(std::vector<Work>& dropped);
  };
  enum class Step : std::uint8_t { kConstruct, kCall, kReport, kForget, kEnd, kRest };

  Group* group_of(const Work& call);
  void refuse(const Work& call);
  std::optional<Work> withdraw(TaskId id);
  /// Puts lanes to work for what waits; to be woken by wake() after the lock is gone.
  std::vector<Lane*> staff(Group& group);
  std::vector<Lane*> staff_all();
  static void wake(const std::vector<Lane*>& lanes);
  Step next(Lane& lane, Work& work);
  Step choose(Lane& lane, Work& work);
  bool take(Lane& lane, Work& work);
  bool full() const { return begun_.size() + beginning_ >= max_coroutines_; }
  void constructed(bool ok);
  void resume(Group& group, std::shared_ptr<RunningCoroutine> coroutine);
  void exit_wanted();
  bool nothing_queued() const;
  void end_streams();
  void end();
  void lend(int blocked, int running);
  void lend_if_idle();
  void set_lent(bool lent);

  WorkerHost& host_;
  HostEnvironment& environment_;
  const ProcessId owner_;
  const ActorId id_;
  const wire::LeaseInfo lease_info_;
  ActorObject object_;                         // written before any call begins, and after the last
  ActorStreams open_streams_;                  // its coroutines refer to the object
  std::mutex mutex_;
  std::vector<Group> groups_;                  // guarded by mutex_, like what follows; the first has no name
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::optional<Work> constructor_;
  const std::size_t max_coroutines_;
  BegunCoroutines begun_;
  std::size_t beginning_ = 0;                  // coroutines that a lane has taken and that are not among those yet
  std::vector<ProcessId> gone_callers_;        // processes that have ended, until their streams have
  bool gone_fresh_ = false;                    // there are streams to end now; once no call is left, those that they opened
  std::size_t running_ = 0;
  bool constructed_ = false;
  bool destroying_ = false;
  bool killed_ = false;
  bool exiting_ = false;                       // by ctx.exit_actor()
  bool ended_ = false;
  std::mutex relieving_;                       // held while the watchdog takes outcomes and tells them: the actor's end is told behind them
  std::mutex lending_mutex_;                   // held while the node is told, so that it hears it in order
  int calls_running_ = 0, calls_blocked_ = 0;  // guarded by lending_mutex_
  bool lent_ = false;
};

}  // namespace manta::detail
