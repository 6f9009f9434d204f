#pragma once
// Queue<T>: a bounded first-in-first-out queue that tasks and actors of all processes share. It is an actor; copies of a
// Queue are handles to it: pass them as arguments, also inside values. It ends when the last copy goes.
//
//   manta::Queue<int> queue(rt, 100);
//   auto producer = rt.remote<produce>(queue);           // void produce(manta::Context& ctx, manta::Queue<int> queue)
//   int first = queue.get(rt);                            // waits until there is one
//   bool fits = queue.try_put(rt, 7);                     // does not wait for room
//
// `client` is the Runtime, or the Context of the calling task. Each value goes to one getter; who waited longest is served
// first. Who is cancelled, or whose process dies, leaves the line. A value that is on its way to who is cancelled at that moment goes
// back to the front, though the queue may hold one more than its capacity then; one on its way to a process that dies goes with
// it. Whoever drops a ref of get_async before it is ready cancels it first: else it keeps its place in the line. Thread-safe.
#include <deque>
#include <optional>
#include <random>

#include "runtime/context.hpp"
#include "runtime/promise.hpp"
#include "runtime/without_parent.hpp"

namespace manta {

namespace detail {

template <class T>
class QueueActor {
 public:
  static std::string remote_name() { return "Queue"; }  // of its methods too, in messages
  QueueActor() = default;
  explicit QueueActor(std::uint64_t capacity) : capacity_(capacity) {}

  Async<bool> put(std::uint64_t ticket, T value) {
    if (try_put(value)) co_return true;
    putters_.push_back({ticket, std::move(value)});
    auto turn = putters_.back().done.ref();
    try {
      co_return co_await turn;
    } catch (...) {  // cancelled, or the process that waits has died: it leaves the line
      withdraw(ticket);
      throw;
    }
  }
  Async<std::optional<T>> get(Context& ctx, std::uint64_t ticket) {
    if (ctx.invocation().unwanted()) throw Cancelled("who asks the queue for a value has been cancelled, or its process has died");
    if (auto value = try_get()) co_return std::move(value);
    getters_.push_back({ticket});
    auto turn = getters_.back().value.ref();
    try {
      auto value = co_await turn;
      if (value && ctx.invocation().unwanted()) {  // nobody takes it any more
        give_again(std::move(*value));
        throw Cancelled("who waited for a value of the queue has been cancelled");
      }
      co_return std::move(value);
    } catch (...) {
      withdraw(ticket);
      throw;
    }
  }
  bool try_put(T value) {
    if (!getters_.empty()) {
      getters_.front().value.set(std::move(value));
      getters_.pop_front();
    } else if (items_.size() < capacity_) {
      items_.push_back(std::move(value));
    } else {
      return false;
    }
    return true;
  }
  std::optional<T> try_get() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    if (!putters_.empty() && items_.size() < capacity_) {  // what was given back may be one too many
      items_.push_back(std::move(putters_.front().value));
      putters_.front().done.set(true);
      putters_.pop_front();
    }
    return value;
  }
  /// Whoever waits with this ticket waits no longer: put gives false, get nothing.
  void withdraw(std::uint64_t ticket) {
    std::erase_if(putters_, [&](const Putter& each) { return each.ticket == ticket && (each.done.set(false), true); });
    std::erase_if(getters_, [&](const Getter& each) { return each.ticket == ticket && (each.value.set(std::nullopt), true); });
  }
  /// What a getter got that was cancelled meanwhile.
  void give_back(const std::optional<T>& value) {
    if (value) give_again(*value);
  }
  std::uint64_t size() const { return items_.size(); }

 private:
  void give_again(T value) {
    if (getters_.empty()) return items_.push_front(std::move(value));
    getters_.front().value.set(std::move(value));
    getters_.pop_front();
  }
  struct Putter {
    std::uint64_t ticket;
    T value;
    Promise<bool> done{};
  };
  struct Getter {
    std::uint64_t ticket;
    Promise<std::optional<T>> value{};
  };
  std::uint64_t capacity_ = 1;
  std::deque<T> items_{};
  std::deque<Putter> putters_{};
  std::deque<Getter> getters_{};
};

/// Brings the value of a get back to the queue when it came as its getter was cancelled: to the getter's ref before the cancel
/// did, though nobody reads that any more, or after it.
template <class T>
class GiveBack final : public Cell::Waiter, public Cell::LateTaker {
 public:
  GiveBack(std::shared_ptr<ActorLink> queue, std::weak_ptr<Cell> cell) : queue_(std::move(queue)), cell_(std::move(cell)) {}
  void settled() override {
    const auto cell = cell_.lock();
    if (!cell || cell->failed()) return;
    const auto queue = std::move(queue_);  // nothing comes late to it now
    if (state_.fetch_or(kThere) & kUnwanted) give(*queue, cell);
  }
  void came_late(std::shared_ptr<Cell> value) override { give(*queue_, std::move(value)); }
  /// The getter does not take it. Once.
  void unwanted(ActorLink& queue) {
    if (state_.fetch_or(kUnwanted) & kThere) give(queue, cell_.lock());
  }

 private:
  static constexpr int kThere = 1, kUnwanted = 2;
  static void give(ActorLink& queue, std::shared_ptr<Cell> value) noexcept {
    try {
      auto record = make_record<MethodRecord<QueueActor<T>, &QueueActor<T>::give_back>>(ObjectRef<std::optional<T>>(std::move(value)));
      record->result->need_not_be_seen();
      const WithoutParent apart;  // else the cancel that set the value free would cancel its way home
      queue.call(std::move(record), nullptr);
    } catch (...) {  // the runtime has stopped, and the queue with it
    }
  }
  std::shared_ptr<ActorLink> queue_;
  const std::weak_ptr<Cell> cell_;
  std::atomic<int> state_{0};
};

}  // namespace detail

template <class T>
class Queue {
  using Actor = detail::QueueActor<T>;
  static_assert(detail::kCopyable<T>, "manta: the values of a Queue are copied on their way.");

 public:
  Queue() = default;  ///< none; only assignment is allowed
  /// Holds at most `capacity` values. Throws InvalidArgument for 0.
  Queue(Client& client, std::uint64_t capacity) : capacity_(capacity) {
    if (capacity == 0) throw InvalidArgument("a Queue of capacity 0: give it room for 1 value or more");
    constexpr int kMaxWaiting = 10'000'000;
    actor_ = client.template actor<Actor>({.max_coroutines = kMaxWaiting}).spawn(capacity);
  }

  std::uint64_t capacity() const noexcept { return capacity_; }
  std::uint64_t size(Client& client) const { return client.get(actor_.template call<&Actor::size>()); }

  /// Waits for room.
  void put(Client& client, T value) const { waited(client, put_async(std::move(value))); }
  /// False when there was no room in time: the value is not in the queue then.
  template <class Rep, class Period>
  bool put(Client& client, T value, std::chrono::duration<Rep, Period> timeout) const {
    const auto ticket = next_ticket();
    return in_time(client, ticket, actor_.template call<&Actor::put>(ticket, std::move(value)), timeout);
  }
  bool try_put(Client& client, T value) const { return client.get(actor_.template call<&Actor::try_put>(std::move(value))); }

  /// Waits for a value.
  T get(Client& client) const { return *taken(client, ask<&Actor::get>(next_ticket())); }
  /// Nothing when none came in time.
  template <class Rep, class Period>
  std::optional<T> get(Client& client, std::chrono::duration<Rep, Period> timeout) const {
    const auto ticket = next_ticket();
    const auto asked = ask<&Actor::get>(ticket);
    try {
      return taken(client, asked, timeout);
    } catch (const Timeout&) {
      actor_.template call<&Actor::withdraw>(ticket);
    }
    return taken(client, asked);  // it may have come through before the withdrawal
  }
  std::optional<T> try_get(Client& client) const { return taken(client, ask<&Actor::try_get>()); }

  /// For coroutines: `auto value = queue.get_async(); co_await value;`. The ref has a value when it is there.
  ObjectRef<std::optional<T>> get_async() const { return ask<&Actor::get>(next_ticket()).ref; }
  ObjectRef<bool> put_async(T value) const { return actor_.template call<&Actor::put>(next_ticket(), std::move(value)); }

  template <class Archive>
  void serialize(Archive& archive) {
    archive(actor_, capacity_);
  }

 private:
  static std::uint64_t next_ticket() {
    static thread_local std::mt19937_64 random{(std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}()};
    return random();
  }
  struct Asked {
    ObjectRef<std::optional<T>> ref;
    std::shared_ptr<detail::GiveBack<T>> back;
  };
  /// Calls a method that takes a value out.
  template <auto Method, class... Args>
  Asked ask(Args... args) const {
    if (!actor_) throw InvalidArgument("get of an empty Queue: assign one that was made with a client and a capacity");
    auto record = detail::make_record<detail::MethodRecord<Actor, Method>>(args...);
    const auto cell = record->result;
    Asked asked{ObjectRef<std::optional<T>>(cell), std::make_shared<detail::GiveBack<T>>(actor_.link(), cell)};
    cell->on_late(asked.back);
    cell->on_settled(asked.back);
    actor_.link()->call(std::move(record), nullptr);
    return asked;
  }
  template <class... Limit>
  std::optional<T> taken(Client& client, const Asked& asked, Limit... limit) const {
    try {
      return client.get(asked.ref, limit...);
    } catch (const Cancelled&) {
      asked.back->unwanted(*actor_.link());
      if (!asked.ref.ready()) client.cancel(asked.ref);
      throw;
    }
  }
  /// A caller that is cancelled leaves the line.
  template <class R, class... Limit>
  static R waited(Client& client, const ObjectRef<R>& ref, Limit... limit) {
    try {
      return client.get(ref, limit...);
    } catch (const Cancelled&) {
      if (!ref.ready()) client.cancel(ref);
      throw;
    }
  }
  template <class R, class Duration>
  R in_time(Client& client, std::uint64_t ticket, const ObjectRef<R>& ref, Duration timeout) const {
    try {
      return waited(client, ref, timeout);
    } catch (const Timeout&) {
      actor_.template call<&Actor::withdraw>(ticket);
    }
    return waited(client, ref);  // it may have come through before the withdrawal
  }

  ActorHandle<Actor> actor_{};
  std::uint64_t capacity_ = 0;
};

}  // namespace manta
