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

/// Owned by the runtime; its method runs on the actor's thread. Ends with the trial.
class TrialActor {
 public:
  /// TrialSession::next, `decision` being a Decision.
  TrialReply next(Context& context, std::uint8_t decision);

 protected:
  TrialActor(TrialSpec spec, TrialSession::Body body) : spec_(std::move(spec)), body_(std::move(body)) {}
  ~TrialActor() = default;

 private:
  TrialSpec spec_;
  TrialSession::Body body_;
  std::unique_ptr<TrialSession> session_;
};

/// F(TrialContext&, const Config&, extra…).
template <auto F, class... Extra>
class FunctionTrial final : public TrialActor {
 public:
  explicit FunctionTrial(const TrialSpec& spec, const Extra&... extra)
      : TrialActor(spec, [... extra = extra](TrialContext& context, const Config& config) { F(context, config, extra...); }) {}
};

template <class T>
concept SavesState = requires(T trainable, const std::filesystem::path& dir) {
  trainable.save(dir);
  trainable.load(dir);
};

/// Drives a class trainable: setup(context, config, extra…), load, then step and report, with a checkpoint every
/// `checkpoint_frequency` steps, until it is stopped.
template <class T, class... Extra>
void run_steps(TrialContext& context, const Config& config, std::uint64_t checkpoint_frequency, const Extra&... extra) {
  T trainable{};
  trainable.setup(context, config, extra...);
  if constexpr (SavesState<T>)
    if (auto dir = context.checkpoint()) trainable.load(*dir);
  for (;;) {
    const Metrics metrics = trainable.step();
    const bool save = checkpoint_frequency != 0 && (context.iteration() + 1) % checkpoint_frequency == 0;
    if constexpr (SavesState<T>) {
      if (save) {
        context.report(metrics, [&](const std::filesystem::path& dir) { trainable.save(dir); });
        continue;
      }
    }
    context.report(metrics);
  }
}

template <class T, class... Extra>
class ClassTrial final : public TrialActor {
 public:
  explicit ClassTrial(const TrialSpec& spec, const Extra&... extra)
      : TrialActor(spec, [every = spec.checkpoint_frequency, ... extra = extra](TrialContext& context, const Config& config) {
          run_steps<T>(context, config, every, extra...);
        }) {}
};

/// A running trial's actor, whatever its class.
class TrialHandle {
 public:
  virtual ~TrialHandle() = default;
  virtual ObjectRef<TrialReply> next(Decision decision) = 0;
  virtual void kill() = 0;
};

template <class Actor>
class ActorTrialHandle final : public TrialHandle {
 public:
  explicit ActorTrialHandle(ActorHandle<Actor> actor) : actor_(std::move(actor)) {}
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
  std::function<std::unique_ptr<TrialHandle>(Client&, const ActorOptions&, const TrialSpec&)> spawn{};
};

template <class Actor, class... Args>
auto spawner(Args&&... args) {
  return [extra = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)](
             Client& client, const ActorOptions& options, const TrialSpec& spec) -> std::unique_ptr<TrialHandle> {
    return std::apply(
        [&](const auto&... arg) {
          return std::make_unique<ActorTrialHandle<Actor>>(client.template actor<Actor>(options).spawn(spec, arg...));
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
  return {trainable_name<F>(), true, spawner<typename Signature::template Actor<F>>(std::forward<Args>(args)...)};
}

template <class T, class... Args>
Trainable class_trainable(Args&&... args) {
  static_assert(requires(T t) { { t.step() } -> std::convertible_to<Metrics>; },
                "tune::run<T>: T needs `tune::Metrics step()`, and `setup(tune::TrialContext&, const tune::Config&, extra…)`.");
  using Actor = ClassTrial<T, std::conditional_t<std::is_convertible_v<Args, const char*>, std::string, std::decay_t<Args>>...>;
  return {trainable_name<T>(), false, spawner<Actor>(std::forward<Args>(args)...)};
}

}  // namespace manta::tune
