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

namespace manta {

namespace detail {

bool is_end_of_stream(const Cell& cell);

/// The generator where it runs: an actor that is asked for one item after another, and is suspended in between.
template <auto F, class Parameters = typename Signature<decltype(callable<F>())>::Parameters>
class StreamSource;
template <auto F, class... P>
class StreamSource<F, TypeList<P...>> {
  using Sig = Signature<decltype(callable<F>())>;
  static_assert((std::is_copy_constructible_v<std::decay_t<P>> && ... && true), "manta: a generator keeps its arguments: they must be copyable.");

 public:
  using Item = typename IsGenerator<typename Sig::Result>::Item;
  static std::string remote_name() { return function_name<F>(); }

  StreamSource(Context& context, const std::decay_t<P>&... arguments)
      : arguments_(arguments...), context_(context), generator_(begin(std::index_sequence_for<P...>{})) {}

  /// Item number `index`, which is the next one unless a worker died meanwhile.
  Item item(Context& context, std::uint64_t index) {
    context_ = context;  // the coroutine keeps a reference to ours
    std::optional<Item> item;
    do {
      item = generator_.next();
      if (!item) throw EndOfStream();
    } while (given_++ < index);
    return std::move(*item);
  }

 private:
  template <std::size_t... I>
  auto begin(std::index_sequence<I...>) {
    constexpr auto f = callable<F>();
    if constexpr (Sig::with_context)
      return f(context_, std::as_const(std::get<I>(arguments_))...);
    else
      return f(std::as_const(std::get<I>(arguments_))...);
  }
  std::tuple<std::decay_t<P>...> arguments_;  // its parameters may be references
  Context context_;
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
  RefStream(std::shared_ptr<detail::Engine> engine, Ask ask, std::function<void()> stop, std::size_t max_unread)
      : engine_(std::move(engine)), ask_(std::move(ask)), stop_(std::move(stop)) {
    try {
      for (std::size_t i = 0; i < max_unread; ++i) ask_for_one();
    } catch (...) {
      this->stop();
      throw;
    }
  }
  RefStream(RefStream&&) noexcept = default;
  RefStream& operator=(RefStream&&) = delete;
  ~RefStream() { stop(); }

  /// The next item, as soon as it or the end is there. None at the end. An item may be the generator's error: then `get` of it
  /// throws TaskError, and it is the last.
  std::optional<ObjectRef<T>> next() { return take({}); }
  /// Throws Timeout; the same item can be asked for again.
  template <class Rep, class Period>
  std::optional<ObjectRef<T>> next(std::chrono::duration<Rep, Period> timeout) {
    return take(detail::deadline_in(timeout));
  }
  /// Ends the generator; what was not read is dropped.
  void stop() {
    for (auto& item : unread_) {
      item.cell()->need_not_be_seen();
      if (!item.ready()) engine_->cancel(*item.cell(), {});
    }
    unread_.clear();
    ended_ = true;
    if (stop_) std::exchange(stop_, {})();
    ask_ = {};
  }

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
  void ask_for_one() { unread_.push_back(ask_(asked_++)); }
  std::optional<ObjectRef<T>> take(Deadline deadline) {
    if (ended_ || unread_.empty()) return std::nullopt;
    if (!engine_->wait(*unread_.front().cell(), deadline))
      throw Timeout("the stream's next item was not there in time; ask again, or give it more time");
    auto item = std::move(unread_.front());
    unread_.pop_front();
    if (detail::is_end_of_stream(*item.cell())) {
      stop();
      return std::nullopt;
    }
    item.failed() ? stop() : ask_for_one();
    return item;
  }
  std::shared_ptr<detail::Engine> engine_;
  Ask ask_;
  std::function<void()> stop_;
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
      [source] { source->kill(); }, options.max_unread);
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
  link->call(std::move(opening), options);
  auto ask = [link, options, id, opened](std::uint64_t index) {
    auto record = make_record<StreamItemRecord<T, Method>>(id, index, opened);
    ObjectRef<Item> item(record->result);
    link->call(std::move(record), options);
    return item;
  };
  auto stop = [link, id, opened, group = options ? options->concurrency_group : std::string()] { close_stream(*link, id, opened, group); };
  return RefStream<Item>(std::move(engine), std::move(ask), std::move(stop), options ? options->max_unread : CallOptions{}.max_unread);
}

}  // namespace detail

}  // namespace manta
