#pragma once
// The actor that a trial is, and how the driver makes one for a trainable it knows only by a template argument.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "runtime/context.hpp"
#include "tune/core/trial_session.hpp"

namespace manta::tune {

/// Owned by the runtime; its methods run on the actor's thread. Ends with the trial, or with the last one that it is given.
class TrialActor {
 public:
  /// Called before `begin` by a driver that wants to know when the actor has its place.
  bool arrive() { return true; }
  /// Begins a trial; the former one must have ended. Gives its first word, and in the driver's own process its last.
  TrialReply begin(Context& context, const TrialSpec& spec);
  /// TrialSession::next, `decision` being a Decision.
  TrialReply next(std::uint8_t decision);

 protected:
  explicit TrialActor(TrialSession::Body body) : body_(std::move(body)) {}
  ~TrialActor() = default;

 private:
  TrialSession::Body body_;
  std::unique_ptr<TrialSession> session_;
};

/// What a class trainable is driven by; a function needs none of it.
struct StepOptions {
  std::uint64_t checkpoint_frequency{1};  ///< 0: never
  bool keep{false};                       ///< the object stays for the next trial, if it can be reset

  template <class Archive>
  void serialize(Archive& archive) {
    archive(checkpoint_frequency, keep);
  }
};

/// F(TrialContext&, const Config&, extra…).
template <auto F, class... Extra>
class FunctionTrial final : public TrialActor {
 public:
  explicit FunctionTrial(const StepOptions&, const Extra&... extra)
      : TrialActor([... extra = extra](TrialContext& context, const Config& config) { F(context, config, extra...); }) {}
};

template <class T>
concept SavesState = requires(T trainable, const std::filesystem::path& dir) {
  trainable.save(dir);
  trainable.load(dir);
};
template <class T>
concept ResetsConfig = requires(T trainable, TrialContext& context, const Config& config) {
  { trainable.reset_config(context, config) } -> std::convertible_to<bool>;
};

/// The object of the former trial, if it lets itself be reset, else a new one.
template <class T, class... Extra>
std::unique_ptr<T> make_trainable(std::unique_ptr<T> former, TrialContext& context, const Config& config, const Extra&... extra) {
  if constexpr (ResetsConfig<T>)
    if (former && former->reset_config(context, config)) return former;
  former.reset();
  auto trainable = std::make_unique<T>();
  trainable->setup(context, config, extra...);
  return trainable;
}

/// Steps and reports, with a checkpoint every so many steps, until it is stopped.
template <class T>
void step_forever(T& trainable, TrialContext& context, std::uint64_t checkpoint_frequency) {
  for (;;) {
    const Metrics metrics = trainable.step();
    if constexpr (SavesState<T>) {
      if (checkpoint_frequency != 0 && (context.iteration() + 1) % checkpoint_frequency == 0) {
        context.report(metrics, [&](const std::filesystem::path& dir) { trainable.save(dir); });
        continue;
      }
    }
    context.report(metrics);
  }
}

/// Drives a class trainable: setup(context, config, extra…), load, then steps. `kept` is where the object waits for the
/// next trial; one that threw does not.
template <class T, class... Extra>
void run_steps(std::unique_ptr<T>& kept, TrialContext& context, const Config& config, const StepOptions& options,
               const Extra&... extra) {
  auto trainable = make_trainable<T>(std::move(kept), context, config, extra...);
  if constexpr (SavesState<T>) {
    if (auto dir = context.checkpoint()) trainable->load(*dir);
    context.save_when_leaving([&object = *trainable](const std::filesystem::path& dir) { object.save(dir); });
  }
  try {
    step_forever(*trainable, context, options.checkpoint_frequency);
  } catch (const TrialStopped&) {
    if (options.keep && ResetsConfig<T>) kept = std::move(trainable);
    throw;
  }
}

template <class T, class... Extra>
class ClassTrial final : public TrialActor {
 public:
  explicit ClassTrial(const StepOptions& options, const Extra&... extra)
      : TrialActor([options, kept = std::make_shared<std::unique_ptr<T>>(), ... extra = extra](
                       TrialContext& context, const Config& config) { run_steps<T>(*kept, context, config, options, extra...); }) {}
};

template <class T, class... Extra>
concept SetsUp = requires(T& trainable, TrialContext& context, const Config& config, const Extra&... extra) {
  trainable.setup(context, config, extra...);
};

/// What setup is given for the extra arguments, as an actor's constructor is: a string for a literal, for an ObjectRef its
/// value, or where only that fits the ref itself. `type` is a ClassTrial, or void when none of it fits. `Chosen`: a tuple of
/// what is given for the arguments before.
template <class T, class Chosen, class... Args>
struct ClassTrialFor;
template <class T, class... Chosen>
struct ClassTrialFor<T, std::tuple<Chosen...>> {
  using type = std::conditional_t<SetsUp<T, Chosen...>, ClassTrial<T, Chosen...>, void>;
};
template <class T, class... Chosen, class First, class... Rest>
struct ClassTrialFor<T, std::tuple<Chosen...>, First, Rest...> {
  using Plain = std::conditional_t<std::is_convertible_v<First, const char*>, std::string, First>;
  using type = typename ClassTrialFor<T, std::tuple<Chosen..., Plain>, Rest...>::type;
};
template <class T, class... Chosen, class Referred, class... Rest>
  requires(!std::is_void_v<Referred>)
struct ClassTrialFor<T, std::tuple<Chosen...>, ObjectRef<Referred>, Rest...> {
  using OfValue = typename ClassTrialFor<T, std::tuple<Chosen..., Referred>, Rest...>::type;
  using OfRef = typename ClassTrialFor<T, std::tuple<Chosen..., ObjectRef<Referred>>, Rest...>::type;
  using type = std::conditional_t<!std::is_void_v<OfValue>, OfValue, OfRef>;
};

/// A running trial's actor, whatever its class.
class TrialHandle {
 public:
  virtual ~TrialHandle() = default;
  virtual ObjectRef<bool> arrive() = 0;
  virtual ObjectRef<TrialReply> begin(const TrialSpec& spec) = 0;
  virtual ObjectRef<TrialReply> next(Decision decision) = 0;
  virtual void kill() = 0;
};

template <class Actor>
class ActorTrialHandle final : public TrialHandle {
 public:
  explicit ActorTrialHandle(ActorHandle<Actor> actor) : actor_(std::move(actor)) {}
  ObjectRef<bool> arrive() override { return actor_.template call<&TrialActor::arrive>(); }
  ObjectRef<TrialReply> begin(const TrialSpec& spec) override { return actor_.template call<&TrialActor::begin>(spec); }
  ObjectRef<TrialReply> next(Decision decision) override {
    return actor_.template call<&TrialActor::next>(static_cast<std::uint8_t>(decision));
  }
  void kill() override { actor_.kill(); }

 private:
  ActorHandle<Actor> actor_;
};

/// What tune::run makes of its template argument and the extra arguments.
struct Trainable {
  std::string name{};
  bool ends_by_itself{true};  ///< a function returns; a class is stepped until it is stopped
  bool saves_itself{false};   ///< whenever it is asked to: a class with save and load
  std::function<std::unique_ptr<TrialHandle>(Client&, const ActorOptions&, const StepOptions&)> spawn{};
};

template <class Actor, class... Args>
auto spawner(Args&&... args) {
  return [extra = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)](
             Client& client, const ActorOptions& options, const StepOptions& steps) -> std::unique_ptr<TrialHandle> {
    return std::apply(
        [&](const auto&... arg) {
          return std::make_unique<ActorTrialHandle<Actor>>(client.template actor<Actor>(options).spawn(steps, arg...));
        },
        extra);
  };
}

template <class F>
struct TrainableSignature {
  static_assert(sizeof(F) == 0,
                "tune::run<f>: f must be a function void(tune::TrialContext&, const tune::Config&, extra…), the extra "
                "parameters taken as `T` or `const T&`.");
};
template <class... Extra>
struct TrainableSignature<void (*)(TrialContext&, const Config&, Extra...)> {
  template <auto F>
  using Actor = FunctionTrial<F, std::decay_t<Extra>...>;
  static constexpr std::size_t extra_count = sizeof...(Extra);
};

/// "train_cifar" of "… [with auto F = ns::train_cifar; …]".
std::string short_name(std::string_view pretty, std::string_view key);

template <auto F>
std::string trainable_name() {
  return short_name(__PRETTY_FUNCTION__, "F = ");
}
template <class T>
std::string trainable_name() {
  return short_name(__PRETTY_FUNCTION__, "T = ");
}

template <auto F, class... Args>
Trainable function_trainable(Args&&... args) {
  using Signature = TrainableSignature<std::decay_t<decltype(+F)>>;
  static_assert(Signature::extra_count == sizeof...(Args),
                "tune::run<f>(…): pass one argument for each parameter of f after the context and the configuration.");
  return {trainable_name<F>(), true, false, spawner<typename Signature::template Actor<F>>(std::forward<Args>(args)...)};
}

template <class T, class... Args>
Trainable class_trainable(Args&&... args) {
  static_assert(requires(T t) { { t.step() } -> std::convertible_to<Metrics>; },
                "tune::run<T>: T needs `tune::Metrics step()`, and `setup(tune::TrialContext&, const tune::Config&, extra…)`.");
  using Actor = typename ClassTrialFor<T, std::tuple<>, std::decay_t<Args>...>::type;
  static_assert(!std::is_void_v<Actor>,
                "tune::run<T>(…): T::setup(tune::TrialContext&, const tune::Config&, extra…) cannot be called with these extra "
                "arguments, taken as `T` or `const T&`, nor with what the refs among them refer to.");
  if constexpr (!std::is_void_v<Actor>)
    return {trainable_name<T>(), false, SavesState<T>, spawner<Actor>(std::forward<Args>(args)...)};
}

}  // namespace manta::tune
