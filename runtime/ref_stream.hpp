#pragma once
// RefStream<T>: the items of a Generator<T> that runs as a task or is a method of an actor, as ObjectRefs; see generator.hpp for
// what it promises.
//
//   auto stream = rt.remote<numbers>(10);
//   while (auto item = stream.next()) use(rt.get(*item));      // or: for (auto& item : stream) …
//
// One thread reads; movable, not copyable. It may be dropped at any time, which stops the generator; refs that were read stay.
#include <deque>
#include <iterator>

#include "runtime/actor_streams.hpp"
#include "runtime/without_parent.hpp"

namespace manta {

namespace detail {

bool is_end_of_stream(const Cell& cell);

/// The generator where it runs: an actor that is asked for one item after another, and is suspended in between.
template <auto F, class Parameters = typename Signature<decltype(callable<F>())>::Parameters>
class StreamSource;
template <auto F, class... P>
class StreamSource<F, TypeList<P...>> {
  using Sig = Signature<decltype(callable<F>())>;
  static_assert(check_no_method<Sig>());
  static_assert((kCopyable<std::decay_t<P>> && ... && true), "manta: a generator keeps its arguments: they must be copyable.");

 public:
  using Item = typename IsGenerator<typename Sig::Result>::Item;
  static std::string remote_name() { return function_name<F>(); }

  StreamSource(Context& context, const std::decay_t<P>&... arguments)
      : arguments_(arguments...), context_(context, true), generator_(begin(context, std::index_sequence_for<P...>{})) {}

  /// Item number `index`, which is the next one unless a worker died meanwhile.
  Item item(Context& context, std::uint64_t index) {
    const GeneratorContext::Turn turn(context_, context);
    std::optional<Item> item;
    do {
      item = generator_.next();
      if (!item) throw EndOfStream();
    } while (given_++ < index);
    return std::move(*item);
  }

 private:
  template <std::size_t... I>
  auto begin(Context& context, std::index_sequence<I...>) {
    const GeneratorContext::Turn turn(context_, context);
    constexpr auto f = callable<F>();
    if constexpr (Sig::with_context)
      return f(context_.get(), std::as_const(std::get<I>(arguments_))...);
    else
      return f(std::as_const(std::get<I>(arguments_))...);
  }
  std::tuple<std::decay_t<P>...> arguments_;  // its parameters may be references
  GeneratorContext context_;
  typename Sig::Result generator_;
  std::uint64_t given_ = 0;
};

/// The constructor's arguments of a source, as its record wants them.
template <class Source, class Parameters>
struct SourceRecordOf;
template <class Source, class... P>
struct SourceRecordOf<Source, TypeList<P...>> {
  using type = ConstructorRecord<Source, const std::decay_t<P>&...>;
};

}  // namespace detail

template <class T>
class RefStream {
 public:
  /// Internal: asks for item number `index`.
  using Ask = std::function<ObjectRef<T>(std::uint64_t index)>;
  /// Internal: ends what runs. `by_itself`: it gives nothing more, so that its process may stay for what its items refer to.
  using End = std::function<void(bool by_itself)>;
  RefStream(std::shared_ptr<detail::Engine> engine, Ask ask, End end, std::size_t max_unread)
      : engine_(std::move(engine)), ask_(std::move(ask)), end_(std::move(end)), max_unread_(max_unread) {
    try {
      ask_for_more(0);
    } catch (...) {
      this->stop();
      throw;
    }
  }
  RefStream(RefStream&&) noexcept = default;
  RefStream& operator=(RefStream&&) = delete;
  ~RefStream() { stop(); }

  /// The next item, as soon as it or the end is there. None at the end. An item may be the generator's error: then `get` of it
  /// throws TaskError, and it is the last. Refs and handles in items outlive the end. When no further item can be asked for,
  /// throws RuntimeStopped, or ResourceExhausted once those that were asked for are read (max_pending_calls); then it can be
  /// called again, no item is lost.
  std::optional<ObjectRef<T>> next() { return take({}); }
  /// Throws Timeout, which says what the item waits for, as Client::get does; the same item can be asked for again.
  template <class Rep, class Period>
  std::optional<ObjectRef<T>> next(std::chrono::duration<Rep, Period> timeout) {
    return take(detail::deadline_in(timeout));
  }
  /// What the next item waits for, in words; see Client::explain.
  std::string explain() const {
    if (ended_ || !ask_) return "the stream has ended";
    return unread_.empty() ? "no item is asked for: the actor's max_pending_calls are taken" : engine_->explain(*unread_.front().cell());
  }
  /// Ends the generator, in a process of its own with that: then what its items refer to there is lost. What was not read is dropped.
  void stop() { end_it(false); }

  class Iterator {
   public:
    using value_type = ObjectRef<T>;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(RefStream& stream) : stream_(&stream), item_(stream.next()) {}
    ObjectRef<T>& operator*() { return *item_; }
    ObjectRef<T>* operator->() { return &*item_; }
    Iterator& operator++() {
      item_ = stream_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

   private:
    RefStream* stream_;
    std::optional<ObjectRef<T>> item_;
  };
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void ask_for_one() {
    unread_.push_back(ask_(asked_));
    ++asked_;
  }
  /// Asks for as many as may be unread (for fewer where max_pending_calls leaves no more), beside `read`: one that is still in line. Throws
  /// ResourceExhausted when none is left.
  void ask_for_more(std::size_t read) {
    try {
      while (unread_.size() < max_unread_ + read) ask_for_one();
    } catch (const ResourceExhausted&) {
      if (unread_.empty()) throw;  // else the next call asks again
    }
  }
  void end_it(bool by_itself) {
    for (auto& item : unread_) {
      item.cell()->need_not_be_seen();
      if (!item.ready()) engine_->cancel(*item.cell(), {});
    }
    unread_.clear();
    ended_ = true;
    if (end_) std::exchange(end_, {})(by_itself);
    ask_ = {};
  }
  std::optional<ObjectRef<T>> take(Deadline deadline) {
    if (ended_ || !ask_) return std::nullopt;
    ask_for_more(0);
    detail::wait_in_time(*engine_, unread_.front().cell(), deadline, "the stream's next item was not there in time; ask again, or give it more time");
    const bool last = unread_.front().cell()->failed();
    if (!last) ask_for_more(1);  // while the item is in line: if that throws, it is there the next time
    auto item = std::move(unread_.front());
    unread_.pop_front();
    if (!last) return item;
    end_it(item.cell()->error()->code != ErrorCode::kCancelled);  // an item that is cancelled may be of one that runs on
    if (detail::is_end_of_stream(*item.cell())) return std::nullopt;
    return item;
  }
  std::shared_ptr<detail::Engine> engine_;
  Ask ask_;
  End end_;
  std::size_t max_unread_;
  std::deque<ObjectRef<T>> unread_{};  ///< asked for, and perhaps there, in order
  std::uint64_t asked_ = 0;
  bool ended_ = false;
};

namespace detail {

/// Starts a generator as a task. Throws InvalidArgument for options that mean nothing for a stream.
ActorOptions stream_options(const TaskOptions& options);

template <auto F, class... Args>
auto start_stream(const std::shared_ptr<Engine>& engine, const TaskOptions& options, Args&&... args) {
  using Sig = Signature<decltype(callable<F>())>;
  using Source = StreamSource<F>;
  using Item = typename Source::Item;
  static_assert(check_result<Item>());
  static_assert(!ResultsOf<Item>::kMany, "manta: a Generator of tuples has no refs for their elements: yield a struct.");
  auto record = make_record<typename SourceRecordOf<Source, typename Sig::Parameters>::type>(std::forward<Args>(args)...);
  auto source = std::make_shared<ActorHandle<Source>>(engine->spawn(
      std::move(record), std::make_shared<const ActorOptions>(stream_options(options)), detail::ActorType<Source>::entry()));
  return RefStream<Item>(
      engine, [source](std::uint64_t index) { return source->template call<&Source::item>(index); },
      [source](bool by_itself) {
        if (!by_itself) source->kill();  // else it ends with its last handle, after the calls that only find the end
      },
      options.max_unread);
}

/// Opens a stream of a method's.
template <class T, auto Method, class... Args>
auto open_stream(const std::shared_ptr<ActorLink>& link, std::shared_ptr<const CallOptions> options, Args&&... args) {
  using Item = typename StreamItemRecord<T, Method>::Item;
  static_assert(check_result<Item>());
  static_assert(!ResultsOf<Item>::kMany, "manta: a Generator of tuples has no refs for their elements: yield a struct.");
  if (options) check_stream_options(*options);
  auto engine = link->engine();
  const auto id = new_stream_id();
  auto opening = make_record<StreamOpenRecord<T, Method>>(id, std::forward<Args>(args)...);
  const ObjectRef<Void> opened(opening->result);
  {
    const WithoutParent apart;  // else a cancel of the task that asks settles `opened`, and what opens all the same cannot be closed
    link->call(std::move(opening), options);
  }
  auto ask = [link, options, id, opened](std::uint64_t index) {
    auto record = make_record<StreamItemRecord<T, Method>>(id, index, opened);
    ObjectRef<Item> item(record->result);
    link->call(std::move(record), options);
    return item;
  };
  auto end = [link, id, opened, group = options ? options->concurrency_group : std::string()](bool) {
    close_stream(*link, make_record<StreamCloseRecord<T, Method>>(id, opened), opened, group);
  };
  return RefStream<Item>(std::move(engine), std::move(ask), std::move(end), options ? options->max_unread : CallOptions{}.max_unread);
}

}  // namespace detail

}  // namespace manta
