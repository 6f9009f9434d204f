// Populations on a search space with conditions and forbidden combinations.
#include "runtime/errors.hpp"
#include "scheduler_support.hpp"
#include "tune/schedulers/pb2.hpp"
#include "tune/schedulers/pbt.hpp"
#include "tune/simulation.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {

/// sgd has a momentum, and Nesterov's when that is high enough; a table of Adam's is there with adam only.
Space optimizers() {
  return {{"optimizer", choice({"sgd", "adam"})},
          {"momentum", uniform(0, 1), when("optimizer", "sgd")},
          {"nesterov", choice({true, false}), when_at_least("momentum", 0.5)},
          {"adam", Space{{"beta", uniform(0.8, 1)}, {"steps", sample_from([](const Config& so_far) { return so_far.get<double>("adam/beta") * 10; })}},
           when("optimizer", "adam")},
          {"lr", loguniform(1e-4, 1e-1)}};
}

PbtOptions mutating(Space mutations) {
  return {.time_attr = "training_iteration", .perturbation_interval = 2, .hyperparam_mutations = std::move(mutations), .resample_probability = 0.5};
}

/// What the space's conditions say of it.
void check_whole(const Config& config) {
  const std::string text = config.describe();
  CAPTURE(text);
  const bool sgd = config.get<std::string>("optimizer") == "sgd";
  CHECK(config.contains("momentum") == sgd);
  CHECK(config.contains("nesterov") == (sgd && config.get_or("momentum", 0.0) >= 0.5));
  CHECK(config.contains("adam") == !sgd);
  CHECK(config.contains("adam/beta") == !sgd);
  CHECK(config.contains("adam/steps") == !sgd);
  CHECK(config.contains("lr"));
}

/// Copies of copies, two hundred times.
std::vector<Config> wander(const Config& from, const PbtOptions& options, const Space& space) {
  Random random(5);
  const ConfigKeeper keeper(space);
  std::vector<Config> seen{from};
  for (int i = 0; i < 200; ++i) seen.push_back(explore(seen.back(), options, random, keeper));
  return seen;
}

const Config kSgd{{"optimizer", "sgd"}, {"momentum", 0.9}, {"nesterov", true}, {"lr", 0.01}};

}  // namespace

TEST_SUITE("tune/schedulers") {
  TEST_CASE("a change that switches a parameter on draws it, and one that switches it off drops it") {
    const auto seen = wander(kSgd, mutating({{"optimizer", choice({"sgd", "adam"})}}), optimizers());
    std::set<double> betas, momenta;
    for (const Config& config : seen) {
      check_whole(config);
      CHECK(config.get<double>("lr") == 0.01);
      if (const auto beta = config.get_or("adam/beta", 0.0); beta != 0) {
        CHECK(beta >= 0.8);
        CHECK(beta <= 1.0);
        CHECK(config.get<double>("adam/steps") == beta * 10);
        betas.insert(beta);
      }
      momenta.insert(config.get_or("momentum", -1.0));
    }
    CHECK(betas.size() > 20);
    CHECK(momenta.size() > 20);
  }

  TEST_CASE("what is switched on is drawn from its mutation where there is one, and changed only while it is on") {
    const auto seen = wander(kSgd, mutating({{"momentum", choice({0.25, 0.75})}, {"optimizer", choice({"sgd", "adam"})}, {"adam", Space{{"beta", choice({0.9})}}}}), optimizers());
    std::set<double> momenta;
    for (std::size_t i = 1; i < seen.size(); ++i) {
      check_whole(seen[i]);
      momenta.insert(seen[i].get_or("momentum", -1.0));
      CHECK(seen[i].get_or("adam/beta", 0.9) == 0.9);
    }
    CHECK(momenta == std::set<double>{-1, 0.25, 0.75});
  }

  TEST_CASE("what custom_explore or nothing but the mutations knows stays, and the conditions have the last word") {
    PbtOptions options = mutating({{"weight", uniform(1, 2)}});
    options.custom_explore = [](Config config) {
      config.set("optimizer", config.get<std::string>("optimizer") == "sgd" ? "adam" : "sgd");
      config.set("note/by", "me");
      return config;
    };
    Config from = kSgd;
    from.set("weight", 1.5);
    const auto seen = wander(from, options, optimizers());
    for (std::size_t i = 1; i < seen.size(); ++i) {
      check_whole(seen[i]);
      CHECK(seen[i].get<std::string>("optimizer") == (i % 2 ? "adam" : "sgd"));
      CHECK(seen[i].get<std::string>("note/by") == "me");
      CHECK(seen[i].contains("weight"));
    }
  }

  TEST_CASE("copies never have what the space forbids, and keep their donor's configuration when there is nothing else") {
    Space space = optimizers();
    space.add(forbid({{"optimizer", "adam"}, {"size", 3}}));
    space.add("size", choice({1, 2, 3}));
    Config from = kSgd;
    from.set("size", 3);
    std::set<std::string> kinds;
    for (const Config& config : wander(from, mutating({{"optimizer", choice({"sgd", "adam"})}, {"size", choice({1, 2, 3})}}), space)) {
      check_whole(config);
      kinds.insert(config.get<std::string>("optimizer") + std::to_string(config.get<int>("size")));
    }
    CHECK(kinds == std::set<std::string>{"adam1", "adam2", "sgd1", "sgd2", "sgd3"});
    for (const Config& config : wander(from, mutating({{"optimizer", choice({"adam"})}}), space)) CHECK(config == from);
  }

  TEST_CASE("a mutated parameter that is switched off is not drawn for a new trial, and one of the mutations alone is") {
    SchedulerContext context;
    context.space = optimizers();
    Driven driven(pbt(mutating({{"momentum", uniform(0, 1)}, {"weight", uniform(1, 2)}})), Mode::kMax, context);
    const TrialIndex trial = driven.add(Config{{"optimizer", "adam"}, {"adam/beta", 0.9}, {"lr", 0.1}});
    CHECK_FALSE(driven.configs.at(trial).contains("momentum"));
    CHECK(driven.configs.at(trial).contains("weight"));
  }

  TEST_CASE("a population on a conditional space: each trial always has what its optimizer asks for") {
    std::size_t adams = 0, sgds = 0;
    std::set<double> lrs;
    const SimulatedTrainable trainable{.iterations = 20, .step = [&](SimulatedStep& step) {
      check_whole(step.config);
      ++(step.config.contains("adam") ? adams : sgds);
      lrs.insert(step.config.get<double>("lr"));
      return SimulatedResult{{{"score", step.config.get<double>("lr") + step.config.get_or("momentum", 0.3)}}};
    }};
    const TuneOptions options{.metric = "score", .mode = Mode::kMax, .num_samples = 8, .space = optimizers(),
                              .scheduler = pbt(mutating({{"optimizer", choice({"sgd", "adam"})}, {"lr", loguniform(1e-4, 1e-1)}})), .seed = 4};
    simulate(options, trainable, {.workers = 8});
    CHECK(adams > 10);
    CHECK(sgds > 10);
    CHECK(lrs.size() > 16);  // eight were there at first
  }

  TEST_CASE("PB2 keeps to the conditions of what its bounds switch, and refuses a bound that is switched itself") {
    const Space space{{"layers", randint(1, 5)}, {"width2", randint(8, 65), when_at_least("layers", 3)}, {"momentum", uniform(0, 1), when_at_least("layers", 3)}};
    std::size_t deep = 0, flat = 0;
    const SimulatedTrainable trainable{.iterations = 40, .step = [&](SimulatedStep& step) {
      const auto layers = step.config.get<int>("layers");
      CHECK(step.config.contains("width2") == (layers >= 3));
      CHECK(step.config.contains("momentum") == (layers >= 3));
      ++(layers >= 3 ? deep : flat);
      step.state.resize(1);
      step.state[0] += layers >= 3 ? 1 : 0.5;
      return SimulatedResult{{{"score", step.state[0]}}};
    }};
    TuneOptions options{.metric = "score", .mode = Mode::kMax, .num_samples = 6, .space = space, .seed = 2};
    options.scheduler = pb2({.time_attr = "training_iteration", .perturbation_interval = 2, .hyperparam_bounds = {{"layers", randint(1, 5)}}});
    simulate(options, trainable, {.workers = 6});
    CHECK(deep > 10);
    CHECK(flat > 10);
    options.scheduler = pb2({.time_attr = "training_iteration", .perturbation_interval = 2, .hyperparam_bounds = {{"momentum", uniform(0, 1)}}});
    CHECK(has(error_of([&] { simulate(options, trainable); }), "'momentum' has a condition in the search space"));
  }
}
