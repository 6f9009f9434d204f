#pragma once
// Generators that are methods of actors: what is suspended in an actor, and the calls that open, read and close it. Internal;
// RefStream (ref_stream.hpp) is what users see.
//
// A stream of an actor is calls of it: one that opens it and makes the coroutine, one for each item, which runs it up to its
// next co_yield, and one that closes it. So its code runs in the actor's turn, with other calls between its items, and all
// that holds for calls holds for items. The caller chooses the stream's id.
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <variant>

#include "runtime/context.hpp"
#include "runtime/generator.hpp"

namespace manta::detail {

/// Says that a generator has no more items; travels as the error of the call that asked for one.
struct EndOfStream : std::exception {
  static constexpr const char* kText = "manta: end of stream";
  const char* what() const noexcept override { return kText; }
};

/// The open streams of one actor. Owned by its host, which ends it before the object, to which the coroutines refer.
/// Thread-safe; a stream that is removed ends on the thread that lets go of it last.
class ActorStreams {
 public:
  ActorStreams() = default;
  ActorStreams(const ActorStreams&) = delete;
  ~ActorStreams() { clear(); }
  /// `stream`: an OpenStream. `opener`: the process that reads it.
  void add(std::uint64_t id, std::shared_ptr<void> stream, ProcessId opener);
  std::shared_ptr<void> find(std::uint64_t id) const;  ///< null when there is none
  void remove(std::uint64_t id);
  bool has_of(ProcessId opener) const;
  /// Those of processes that have ended.
  void remove_of(const std::vector<ProcessId>& openers);
  void clear();

 private:
  struct State {
    std::mutex mutex{};
    std::map<std::uint64_t, std::pair<std::shared_ptr<void>, ProcessId>> streams{};
  };
  State& state();
  std::atomic<State*> state_{nullptr};  // made at first use: most actors have no stream
};

/// The Context of a generator, for as long as that is there: of the call that runs it, and in between of no work, so that it can still be
/// looked at where the frame is destroyed. One thread at a time.
class GeneratorContext {
 public:
  /// `of_task`: what runs it is an actor only for the runtime.
  explicit GeneratorContext(const Context& call, bool of_task = false) : of_task_(of_task), context_(call, invocation_) { invocation_.name = &name_; }
  GeneratorContext(const GeneratorContext&) = delete;
  Context& get() noexcept { return context_; }

  /// While it lives the generator runs in the call that has that Context.
  class Turn {
   public:
    Turn(GeneratorContext& of, const Context& call) : own_(of.invocation_), call_(call.invocation()) {
      own_ = call_;
      if (of.name_ != *call_.name) of.name_ = *call_.name;
      own_.name = &of.name_;
      own_.of_actor = own_.of_actor && !of.of_task_;
      of.context_ = Context(call, own_);
    }
    ~Turn() {
      if (own_.exit) call_.exit = true;
      own_.cancelled_id = nullptr;
    }
    Turn(const Turn&) = delete;

   private:
    Invocation& own_;
    const Invocation& call_;
  };

 private:
  const bool of_task_;
  std::string name_{};  // the call's goes with the call
  Invocation invocation_{};
  Context context_;
};

/// An open stream, whichever method opened it.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  OpenStream() = default;
  OpenStream(const OpenStream&) = delete;
};

/// A generator of T's, where it is suspended, with the arguments that it may refer to.
template <class T, auto M, class Parameters = typename Signature<decltype(M)>::Parameters>
class MethodStream;
template <class T, auto M, class... P>
class MethodStream<T, M, TypeList<P...>> final : public OpenStream {
  using Sig = Signature<decltype(M)>;

 public:
  using Item = typename IsGenerator<typename Sig::Result>::Item;
  MethodStream(T& object, Context& context, const std::decay_t<P>&... arguments)
      : arguments_(arguments...), context_(context), generator_(begin(object, context, std::index_sequence_for<P...>{})) {}

  /// In an actor that runs several calls at once a later item's call may come first: then it makes the earlier ones too.
  /// ProtocolError for one that no reader can have asked for: it is further ahead than items can be unread.
  Item item(Context& context, std::uint64_t index) {
    std::lock_guard lock(mutex_);
    if (index > made_ && index - made_ > kMaxAhead)
      throw ProtocolError("item " + std::to_string(index) + " of a stream that has made " + std::to_string(made_) + ": no reader asks so far ahead");
    const GeneratorContext::Turn turn(context_, context);
    for (; made_ <= index; ++made_) waiting_.emplace(made_, make());
    auto found = waiting_.extract(index);
    if (!found) throw EndOfStream();
    if (auto* error = std::get_if<std::exception_ptr>(&found.mapped())) std::rethrow_exception(*error);
    auto& item = std::get<std::optional<Item>>(found.mapped());
    if (!item) throw EndOfStream();
    return std::move(*item);
  }

 private:
  static constexpr std::uint64_t kMaxAhead = 1'000'001;  // what CallOptions::max_unread allows, and the one that is being read
  using Step = std::variant<std::optional<Item>, std::exception_ptr>;
  Step make() {
    try {
      return generator_.next();
    } catch (...) {
      return std::current_exception();
    }
  }
  template <std::size_t... I>
  auto begin(T& object, Context& context, std::index_sequence<I...>) {
    const GeneratorContext::Turn turn(context_, context);
    if constexpr (Sig::with_context)
      return (object.*M)(context_.get(), std::as_const(std::get<I>(arguments_))...);
    else
      return (object.*M)(std::as_const(std::get<I>(arguments_))...);
  }
  std::mutex mutex_;
  std::tuple<std::decay_t<P>...> arguments_;
  GeneratorContext context_;
  typename Sig::Result generator_;
  std::uint64_t made_ = 0;
  std::map<std::uint64_t, Step> waiting_;
};

/// Opens stream `id`: nothing of the generator runs yet.
template <class T, auto M, class Parameters = typename Signature<decltype(M)>::Parameters>
class StreamOpenRecord;
template <class T, auto M, class... P>
class StreamOpenRecord<T, M, TypeList<P...>> final : public RecordBase<StreamOpenRecord<T, M, TypeList<P...>>, std::uint64_t, P...> {
  static_assert((check_parameter<P>() && ... && true));
  static_assert((kCopyable<std::decay_t<P>> && ... && true), "manta: a generator keeps its arguments: they must be copyable.");
  static_assert(std::is_base_of_v<typename Signature<decltype(M)>::Class, T>, "manta: the method does not belong to this actor's class.");

 public:
  using Results = ResultsOf<void>;
  using Result = Void;
  static std::string name() { return function_name<M>(); }
  void run(ActorObject* instance, Context& context, Cell& out) override {
    this->with_arguments([&](std::uint64_t id, const std::decay_t<P>&... arguments) {
      auto& object = *static_cast<T*>(ActorObject::of(instance, typeid(T)));
      std::shared_ptr<OpenStream> stream = std::make_shared<MethodStream<T, M>>(object, context, arguments...);
      context.streams().add(id, std::move(stream), maker_of(context.task_id()));
    });
    settle_with(out, *this, [] {});
  }
};

/// What a StreamItemRecord's encoded arguments say; 0 when they are elsewhere.
std::uint64_t stream_in(const Buffer& arguments);

/// Gives item `index` of stream `id`. The last argument is what opening it gave, so that no item comes before that.
template <class T, auto M>
class StreamItemRecord final : public RecordBase<StreamItemRecord<T, M>, std::uint64_t, std::uint64_t, Void> {
 public:
  using Item = typename MethodStream<T, M>::Item;
  using Results = ResultsOf<Item>;
  using Result = typename Results::First;
  static std::string name() { return function_name<M>(); }
  static std::uint64_t stream_of(const TaskRecord* record, const Buffer& arguments) {
    const auto* id = record ? static_cast<const StreamItemRecord*>(record)->first_value() : nullptr;
    return id ? *id : stream_in(arguments);
  }
  void run(ActorObject*, Context& context, Cell& out) override {
    this->with_arguments([&](std::uint64_t id, std::uint64_t index, const Void&) {
      const auto stream = context.streams().find(id);
      if (!stream) throw ActorUnavailable("its actor has been restarted, and the stream ended with the process that had it: open it anew");
      auto* opened = dynamic_cast<MethodStream<T, M>*>(static_cast<OpenStream*>(stream.get()));
      if (!opened) throw ProtocolError("stream " + std::to_string(id) + " was opened by another method than " + name());
      settle_with(out, *this, [&] { return opened->item(context, index); });
    });
  }
};

/// Ends stream `id`, in the concurrency group of the method that opened it.
template <class T, auto M>
class StreamCloseRecord final : public RecordBase<StreamCloseRecord<T, M>, std::uint64_t, Void> {
 public:
  using Results = ResultsOf<void>;
  using Result = Void;
  static std::string name() { return "the end of a stream of " + function_name<M>(); }
  void run(ActorObject*, Context& context, Cell& out) override {
    this->with_arguments([&](std::uint64_t id, const Void&) { context.streams().remove(id); });
    settle_with(out, *this, [] {});
  }
};

std::uint64_t new_stream_id();
/// Of a call that opens a stream. Throws InvalidArgument for what means nothing for one.
void check_stream_options(const CallOptions& options);
/// What was opened ends, by the StreamCloseRecord `close`, behind the calls that were made; while it is still being opened that is given up
/// first. Never throws: an actor that is gone has ended it.
void close_stream(ActorLink& link, std::shared_ptr<TaskRecord> close, const ObjectRef<Void>& opened, const std::string& concurrency_group) noexcept;

}  // namespace manta::detail
