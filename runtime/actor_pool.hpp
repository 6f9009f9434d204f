#pragma once
// ActorPool: shares calls out over actors of one class, so that each has one call at a time and none idles while calls
// wait. R is what the calls return; for void, map gives nothing and get_next only waits.
//
//   std::vector<manta::ActorHandle<Solver>> solvers = …;
//   manta::ActorPool<Solver, double> pool(rt, solvers);
//   std::vector<double> in_order = pool.map<&Solver::solve>(inputs);
//   pool.submit<&Solver::solve>(x);  …  double next = pool.get_next();
//
// Calls begin while the pool is used: in submit, get_next, map. An actor that dies leaves the pool; the call that it had
// fails with its error. Belongs to one thread; holds its actors' handles. `client` must outlive it.
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "runtime/client.hpp"

namespace manta {

namespace detail {

/// As what a pool keeps an argument until an actor is free: as its parameter, since what it points to may be gone by then.
template <class Parameter, class Argument>
struct KeptArgument {
  static constexpr bool fits = std::is_convertible_v<Argument&&, Parameter> ||
                               (std::is_same_v<Parameter, std::string> && std::is_convertible_v<Argument&&, std::string_view>);
  using Type = std::conditional_t<fits, Parameter, std::decay_t<Argument>>;  // else the call says what is wrong
};
template <class Parameter, class U>
struct KeptArgument<Parameter, ObjectRef<U>> {
  using Type = ObjectRef<U>;
};
template <class Parameters, class... Args>
struct KeptArguments {
  using Tuple = std::tuple<std::decay_t<Args>...>;
};
template <class... Parameters, class... Args>
  requires(sizeof...(Parameters) == sizeof...(Args))
struct KeptArguments<TypeList<Parameters...>, Args...> {
  using Tuple = std::tuple<typename KeptArgument<std::decay_t<Parameters>, std::remove_cvref_t<Args>>::Type...>;
};

}  // namespace detail

template <class T, class R>
class ActorPool {
 public:
  ActorPool(Client& client, std::vector<ActorHandle<T>> actors) : client_(&client), idle_(actors.begin(), actors.end()) {
    if (actors.empty()) throw InvalidArgument("an ActorPool without actors: give it one or more");
  }

  /// Calls a method as soon as an actor is free; its result comes from get_next, and so does what the call itself throws.
  template <auto Method, class... Args>
  void submit(Args&&... args) {
    using Signature = detail::Signature<decltype(Method)>;
    using Arguments = typename detail::KeptArguments<typename Signature::Parameters, Args...>::Tuple;
    static_assert(std::is_same_v<typename Signature::Result, R>,
                  "manta: the method returns another type than this ActorPool's: ActorPool<Actor, Result> needs the Result of its methods.");
    jobs_.try_emplace(submitted_, Job{.start = [arguments = Arguments(std::forward<Args>(args)...)](const ActorHandle<T>& actor) {
      return std::apply([&](const auto&... each) { return actor.template call<Method>(each...); }, arguments);
    }});
    ++submitted_;
    share_out();
  }
  /// The result of the oldest submit whose result was not taken yet. Throws that call's error, NotFound when there is none.
  R get_next() {
    need_next();
    wait_until([this] { return done_.contains(jobs_.begin()->first); });
    return take(jobs_.begin()->first);
  }
  /// The result that is there first.
  R get_next_unordered() {
    need_next();
    wait_until([this] { return !done_.empty(); });
    return take(*done_.begin());
  }
  bool has_next() const noexcept { return !jobs_.empty(); }
  /// True when a submit now would begin at once.
  bool has_free() {
    share_out();
    return !idle_.empty();
  }
  /// Another actor joins.
  void push(ActorHandle<T> actor) {
    idle_.push_back(std::move(actor));
    share_out();
  }
  /// A free actor leaves; an empty handle when none is free.
  ActorHandle<T> pop_idle() {
    if (!has_free()) return {};
    auto actor = std::move(idle_.front());
    idle_.pop_front();
    return actor;
  }

  /// Calls Method(input) for each and gives the results in the same order. Throws the first error in that order; results
  /// of the rest are dropped. Not while results of submit wait to be taken (InvalidArgument).
  template <auto Method, class A>
  detail::ValuesOf<R> map(const std::vector<A>& inputs) {
    return all<Method>(inputs, [this] { return get_next(); });
  }
  /// The same in the order in which they are done.
  template <auto Method, class A>
  detail::ValuesOf<R> map_unordered(const std::vector<A>& inputs) {
    return all<Method>(inputs, [this] { return get_next_unordered(); });
  }

 private:
  struct Job {
    std::function<ObjectRef<R>(const ActorHandle<T>&)> start{};
    ActorHandle<T> actor{};  ///< who has it; empty before and after
    ObjectRef<R> ref{};      ///< empty until it has begun
  };

  template <auto Method, class A, class Next>
  detail::ValuesOf<R> all(const std::vector<A>& inputs, Next next) {
    if (has_next()) throw InvalidArgument("map while results of submit wait: take them by get_next first");
    try {
      for (const auto& input : inputs) submit<Method>(input);
      if constexpr (std::is_void_v<R>) {
        while (has_next()) next();
      } else {
        std::vector<R> results;
        results.reserve(inputs.size());
        while (has_next()) results.push_back(next());
        return results;
      }
    } catch (...) {
      for (auto number : running_) leftovers_.push_back(std::move(jobs_.at(number)));
      running_.clear(), done_.clear(), jobs_.clear();
      begun_ = submitted_;
      throw;
    }
  }
  void need_next() const {
    if (jobs_.empty()) throw NotFound("get_next of an ActorPool without calls: submit one first");
  }
  R take(std::uint64_t number) {
    auto ref = std::move(jobs_.at(number).ref);
    jobs_.erase(number), done_.erase(number);
    share_out();
    return client_->get(ref);
  }
  /// Whether the call is done: then its actor is free again, or gone.
  bool give_back(Job& job) {
    if (!job.ref.ready()) return false;
    if (job.ref.cell()->failed()) {
      const auto error = client_->try_get(job.ref).error();
      const bool is_gone = error.code == ErrorCode::kActorDied || error.code == ErrorCode::kActorCreationFailed;
      if (is_gone && !error.did_not_run) job.actor = {};
    }
    if (job.actor) idle_.push_back(std::move(job.actor));
    job.actor = {};
    return true;
  }
  void share_out() {
    for (auto number = running_.begin(); number != running_.end();) {
      if (!give_back(jobs_.at(*number))) {
        ++number;
      } else {
        done_.insert(*number);
        number = running_.erase(number);
      }
    }
    for (auto job = leftovers_.begin(); job != leftovers_.end();) job = give_back(*job) ? leftovers_.erase(job) : std::next(job);
    while (!idle_.empty() && begun_ < submitted_) begin(begun_++);
  }
  /// What the call itself throws (its actor's max_pending_calls are taken by others, its handle is empty) is its result, and the
  /// actor stays free: an exception here would be another call's, or lose a result that is being taken.
  void begin(std::uint64_t number) {
    auto& job = jobs_.at(number);
    const auto start = std::exchange(job.start, nullptr);
    try {
      job.ref = start(idle_.front());
    } catch (...) {  // the user's own too: what copies or saves an argument may throw
      auto cell = std::make_shared<detail::Cell>(detail::type_ops<detail::StoredType<R>>());
      cell->set_error(std::make_shared<const ErrorInfo>(current_exception_info()));
      job.ref = ObjectRef<R>(std::move(cell));
      done_.insert(number);
      return;
    }
    job.actor = std::move(idle_.front());
    idle_.pop_front();
    running_.push_back(number);
  }
  template <class Condition>
  void wait_until(Condition&& condition) {
    while (true) {
      share_out();
      if (condition()) return;
      std::vector<ObjectRef<R>> running;
      for (auto number : running_) running.push_back(jobs_.at(number).ref);
      for (auto& job : leftovers_) running.push_back(job.ref);
      if (running.empty()) throw ActorDied("no actor of the ActorPool is left: push another one");
      client_->wait(running);
    }
  }

  Client* client_;
  std::deque<ActorHandle<T>> idle_{};
  std::map<std::uint64_t, Job> jobs_{};  ///< submitted, results not taken, by their numbers
  std::uint64_t submitted_ = 0;          ///< number of the next
  std::uint64_t begun_ = 0;              ///< all before it have begun
  std::vector<std::uint64_t> running_{};
  std::set<std::uint64_t> done_{};
  std::vector<Job> leftovers_{};         ///< of a map that threw, still running: nobody wants their results
};

}  // namespace manta
