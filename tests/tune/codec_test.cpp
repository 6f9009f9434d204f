#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/errors.hpp"
#include "support.hpp"
#include "tune/core/journal_codec.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {
template <class T>
T round_trip(const T& body) {
  const Event event = decode_event(encode_event({42, body}));
  CHECK(event.time_ms == 42);
  REQUIRE(std::holds_alternative<T>(event.body));
  return std::get<T>(event.body);
}
}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("every kind of event comes back as it was") {
    const auto created = round_trip(ExperimentCreated{"name ü", UINT64_MAX, {{"metric", "loss"}, {"space", "{}"}}});
    CHECK(created.name == "name ü");
    CHECK(created.seed == UINT64_MAX);
    CHECK(created.description == std::vector<std::pair<std::string, std::string>>{{"metric", "loss"}, {"space", "{}"}});
    CHECK(round_trip(SessionStarted{77}).pid == 77);
    CHECK(round_trip(TrialStarted{4, 9}).from_iteration == 9);
    for (const bool waits : {false, true}) CHECK(round_trip(TrialStarted{4, 9, waits}).waits == waits);
    CHECK(round_trip(TrialBegun{4}).trial == 4);
    CHECK(round_trip(TrialCheckpointed{4, 9, "c"}).checkpoint == "c");
    CHECK(round_trip(TrialFinished{5}).trial == 5);
    CHECK(round_trip(TrialFailed{5, "line\nline"}).error == "line\nline");
    for (const std::optional<bool> again : {std::optional<bool>(), std::optional(true), std::optional(false)})
      CHECK(round_trip(TrialFailed{5, "boom", false, again}).again == again);
    TrialDecided decided{.trial = 5, .changed = true, .iteration = 7, .tag = "x=1", .exploits = 3};
    CHECK_FALSE(round_trip(decided).cloned);
    decided.cloned = ClonedCheckpoint{2, "checkpoint_000007", "checkpoint_000007_clone3"};
    CHECK(round_trip(decided).exploits == 3);
    REQUIRE(round_trip(decided).cloned);
    CHECK(round_trip(decided).cloned->donor == 2);
    CHECK(round_trip(decided).cloned->donor_name == "checkpoint_000007");
    CHECK(round_trip(decided).cloned->name == "checkpoint_000007_clone3");
    const auto reported = round_trip(TrialReported{1, 2, Metrics{{"loss", -0.0}, {"a", 0.1}}, 1.5, "checkpoint_000002", 9});
    CHECK(std::signbit(*reported.metrics.get("loss")));
    CHECK(*reported.metrics.get("a") == 0.1);
    CHECK(reported.metrics.begin()->first == "loss");
    CHECK(reported.checkpoint == "checkpoint_000002");
  }

  TEST_CASE("NaN and infinities survive") {
    const auto reported = round_trip(TrialReported{0, 1, Metrics{{"a", NAN}, {"b", -INFINITY}}, 0, "", 0});
    CHECK(std::isnan(*reported.metrics.get("a")));
    CHECK(*reported.metrics.get("b") == -INFINITY);
  }

  TEST_CASE("a configuration keeps types, order and nesting") {
    Config config;
    config.set("z", true);
    config.set("a/b", std::numeric_limits<std::int64_t>::min());
    config.set("a/list", std::vector<std::string>{"x", ""});
    config.set("d", 1.0);
    config.set("none", Value{});
    CHECK(round_trip(TrialCreated{3, "tag", config}).config == config);
    CHECK(decode_config(encode_config(config)) == config);
    CHECK(decode_config(encode_config(config)).find("d")->as<double>() != nullptr);
  }

  TEST_CASE("a text with NUL bytes comes back whole, wherever it stands") {
    const std::string nul("nul\0in", 6), end("end\0", 4);
    Config config;
    config.set("opt", nul);
    config.set(end, std::vector<std::string>{nul, end});
    CHECK(decode_config(encode_config(config)) == config);
    const auto trial = round_trip(TrialCreated{3, "opt=" + nul, config});
    CHECK(trial.tag == "opt=" + nul);
    CHECK(trial.config == config);
    CHECK(round_trip(ExperimentCreated{nul, 1, {{end, nul}}}).description.front() == std::pair(end, nul));
    CHECK(round_trip(TrialFailed{5, nul}).error == nul);
    CHECK(round_trip(ExperimentStopped{nul}).reason == nul);
    CHECK(round_trip(TrialReported{1, 2, Metrics{{end, 1}}, 0, nul, 9}).metrics.begin()->first == end);
    CHECK(round_trip(TrialDecided{.trial = 1, .state = TrialState::kError, .changed = true, .config = config, .tag = nul, .error = end}).tag == nul);
  }

  TEST_CASE("a record may be larger than Cap'n Proto takes by itself, and a configuration nested deeper") {
    // Behaviour: the state of a searcher that had seen very many trials was written (64 MiB), and no resume could read it.
    const std::string state(std::size_t{80} << 20, 's');
    CHECK(round_trip(ExperimentSnapshot{.searcher = state}).searcher == state);
    const std::vector<std::vector<std::byte>> large{encode_event({1, ExperimentStopped{state}})};
    std::size_t seen = 0;
    decode_history(encode_history(1, large), [&](std::uint64_t, std::span<const std::byte> record) { seen = record.size(); });
    CHECK(seen == large.front().size());
    Value deep(1);
    for (int i = 0; i < 100; ++i) deep = i % 2 ? Value(Value::List{deep}) : Value(Value::Dict{{"t", deep}});
    const Config config{{"deep", deep}};
    CHECK(decode_config(encode_config(config)) == config);
  }

  TEST_CASE("a trial's resources come back; a strategy that is unknown is StorageCorruption") {
    auto trial = std::make_shared<Trial>();
    trial->cloned = ClonedCheckpoint{1, std::string("a\0b", 3), std::string("c\0", 2)};
    trial->resources = TrialResources{.bundles = {{.num_cpus = 2}}, .strategy = PlacementStrategy::kStrictSpread};
    const auto back = round_trip(TrialSnapshot{trial, 5});
    CHECK(back.state->resources == trial->resources);
    CHECK(back.state->cloned->donor_name == trial->cloned->donor_name);
    CHECK(back.state->cloned->name == trial->cloned->name);
    trial->resources->strategy = static_cast<PlacementStrategy>(4);
    CHECK_THROWS_AS(decode_event(encode_event({1, TrialSnapshot{trial, 5}})), StorageCorruption);
  }

  TEST_CASE("a record that is cut or changed is StorageCorruption or another event, never a crash") {
    const auto bytes = encode_event({1, TrialReported{1, 2, Metrics{{"loss", 0.5}}, 1.5, "checkpoint_000002", 9}});
    for (std::size_t size = 0; size < bytes.size(); ++size)
      CHECK_THROWS_AS(decode_event(std::span(bytes.data(), size)), StorageCorruption);
    for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
      auto flipped = bytes;
      flipped[i / 8] ^= static_cast<std::byte>(1 << (i % 8));
      try {
        (void)decode_event(flipped);
      } catch (const StorageCorruption&) {
      }
    }
  }
}
