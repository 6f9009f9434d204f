#include "tune/core/trial_session.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

#include "support.hpp"
#include "tune/core/journal_codec.hpp"
#include "tune/core/trial_actor.hpp"

using namespace manta;
using namespace manta::tune;
using namespace manta::tune::testing;

namespace {
TrialSpec spec(const std::filesystem::path& dir) {
  TrialSpec spec{.id = "abcde_00000", .name = "f_abcde_00000", .dir = dir.string()};
  Config config;
  config.set("x", 2);
  spec.config = encode_config(config);
  return spec;
}

struct Stepper {
  double value = 0;
  void setup(TrialContext&, const Config& config, int extra) { value = config.get<double>("x") * extra; }
  Metrics step() { return {{"value", ++value}}; }
  void save(const std::filesystem::path& dir) { write_text(dir / "v", std::to_string(value)); }
  void load(const std::filesystem::path& dir) { value = std::stod(text_of(dir / "v")); }
};
}  // namespace

namespace {
Buffer appended(const std::vector<Buffer>& parts) {
  std::vector<std::byte> all;
  for (const Buffer& part : parts) all.insert(all.end(), part.bytes().begin(), part.bytes().end());
  return Buffer::copy(all);
}
}  // namespace

TEST_SUITE("tune/core") {
  TEST_CASE("driver and trial take turns until the function returns") {
    TempDir dir;
    TrialSession session(spec(dir.path()), [](TrialContext& ctx, const Config& config) {
      for (int i = 0; i < 2; ++i) ctx.report({{"loss", config.get<int>("x") + i}});
    }, {});
    for (std::uint64_t i = 1; i <= 2; ++i) {
      const TrialReply reply = session.next(Decision::kContinue);
      REQUIRE(reply.kind == TrialReply::kReported);
      CHECK(reply.iteration == i);
      CHECK(reply.metrics == Metrics{{"loss", 1 + i}});
    }
    CHECK(session.next(Decision::kContinue).kind == TrialReply::kFinished);
    CHECK(session.next(Decision::kContinue).kind == TrialReply::kFinished);
  }

  TEST_CASE("a report inside a save function, or from a second thread, is refused and counts for nothing") {
    TempDir dir;
    std::string nested, second;
    TrialSession session(spec(dir.path()), [&](TrialContext& ctx, const Config&) {
      ctx.report({{"loss", 1}}, [&](const std::filesystem::path&) {
        nested = error_of([&] { ctx.report({{"loss", 2}}); });
        std::thread([&] { second = error_of([&] { ctx.report({{"loss", 3}}); }); }).join();
      });
      ctx.report({{"loss", 4}});
    }, {});
    for (const double loss : {1.0, 4.0}) {
      const TrialReply reply = session.next(Decision::kContinue);
      CHECK(reply.iteration == (loss < 2 ? 1 : 2));
      CHECK(reply.metrics == Metrics{{"loss", loss}});
    }
    CHECK(session.next(Decision::kContinue).kind == TrialReply::kFinished);
    CHECK(has(nested, "inside a save function"));
    CHECK(has(second, "from a second thread"));
  }

  TEST_CASE("a trial that loses its line to the driver has failed: it has not come to its end") {
    struct Cut final : ReportLine {
      std::optional<Decision> ask(TrialReply reply) override {
        if (reply.iteration < 3) return Decision::kContinue;
        cut = true;
        return std::nullopt;
      }
      void close() override { cut = true; }
      bool closed() const noexcept override { return cut; }
      std::atomic<bool> cut{false};
    };
    TempDir dir;
    TrialSession session(spec(dir.path()), [](TrialContext& ctx, const Config&) {
      for (;;) ctx.report({{"loss", 1}});
    }, {}, std::make_shared<Cut>());
    const TrialReply last = session.next(Decision::kContinue);
    CHECK(last.kind == TrialReply::kFailed);
    CHECK(last.error.find("lost its connection with the driver while it told result 3") != std::string::npos);
  }

  TEST_CASE("testExploitWhileSavingTrial: what is saved after the driver has let the trial go does not appear") {
    struct Line final : ReportLine {
      std::optional<Decision> ask(TrialReply) override { return Decision::kPause; }
      void close() override { gone = true; }
      bool closed() const noexcept override { return gone; }
      std::atomic<bool> gone{false};
    };
    for (const bool let_go : {false, true}) {
      CAPTURE(let_go);
      TempDir dir;
      const auto line = std::make_shared<Line>();
      TrialSession session(spec(dir.path()), [&](TrialContext& ctx, const Config&) {
        ctx.save_when_leaving([&](const std::filesystem::path& at) {
          write_text(at / "weights", "old");
          if (let_go) line->close();  // it took too long, and the trial begins elsewhere as a copy
        });
        ctx.report({{"loss", 1}});
      }, {}, line);
      const TrialReply last = session.next(Decision::kContinue);
      CHECK(last.kind == TrialReply::kFinished);
      CHECK(last.checkpoint == (let_go ? "" : "checkpoint_000001"));
      CHECK(std::filesystem::exists(dir.path() / "checkpoint_000001") == !let_go);
    }
  }

  TEST_CASE("stop unwinds the function, past catch (const std::exception&), and destructors run") {
    TempDir dir;
    bool unwound = false, swallowed = false;
    struct Guard {
      bool& flag;
      ~Guard() { flag = true; }
    };
    TrialSession session(spec(dir.path()), [&](TrialContext& ctx, const Config&) {
      Guard guard{unwound};
      for (;;) try {
          ctx.report({{"loss", 1}});
        } catch (const std::exception&) {
          swallowed = true;
        }
    }, {});
    CHECK(session.next(Decision::kContinue).kind == TrialReply::kReported);
    CHECK(session.next(Decision::kStop).kind == TrialReply::kFinished);
    CHECK(unwound);
    CHECK_FALSE(swallowed);
  }

  TEST_CASE("a function that swallows everything is stopped again at each report") {
    TempDir dir;
    int swallowed = 0;
    TrialSession session(spec(dir.path()), [&](TrialContext& ctx, const Config&) {
      while (swallowed < 3) try {
          ctx.report({{"loss", 1}});
        } catch (...) {
          CHECK(ctx.should_stop());
          ++swallowed;
        }
    }, {});
    (void)session.next(Decision::kContinue);
    CHECK(session.next(Decision::kStop).kind == TrialReply::kFinished);
    CHECK(swallowed == 3);
  }

  TEST_CASE("what the function throws comes back with its type and text") {
    TempDir dir;
    TrialSession session(spec(dir.path()), [](TrialContext&, const Config& config) { (void)config.get<int>("y"); }, {});
    TrialReply reply = session.next(Decision::kContinue);
    CHECK(reply.kind == TrialReply::kFailed);
    CHECK(has(reply.error, "no parameter 'y'"));
    TrialSession other(spec(dir.path()), [](TrialContext&, const Config&) { throw std::out_of_range("too far"); }, {});
    reply = other.next(Decision::kContinue);
    CHECK(has(reply.error, "std::out_of_range"));
    CHECK(has(reply.error, "too far"));
    TrialSession odd(spec(dir.path()), [](TrialContext&, const Config&) { throw 7; }, {});
    CHECK(odd.next(Decision::kContinue).kind == TrialReply::kFailed);
  }

  TEST_CASE("a save that throws fails the trial and leaves no checkpoint") {
    TempDir dir;
    TrialSession session(spec(dir.path()), [](TrialContext& ctx, const Config&) {
      ctx.report({{"loss", 1}}, [](const std::filesystem::path&) { throw std::runtime_error("no space"); });
    }, {});
    CHECK(has(session.next(Decision::kContinue).error, "no space"));
    CHECK(std::filesystem::is_empty(dir.path()));
  }

  TEST_CASE("an attempt that goes on from a checkpoint counts from its iteration") {
    TempDir dir;
    TrialSpec again = spec(dir.path());
    again.checkpoint = dir.path() / "checkpoint_000004";
    again.iteration = 4;
    TrialSession session(again, [](TrialContext& ctx, const Config&) {
      CHECK(ctx.iteration() == 4);
      CHECK(ctx.checkpoint()->filename() == "checkpoint_000004");
      ctx.report({{"loss", 1}}, [](const std::filesystem::path&) {});
    }, {});
    const TrialReply reply = session.next(Decision::kContinue);
    CHECK(reply.iteration == 5);
    CHECK(reply.checkpoint == "checkpoint_000005");
    CHECK(std::filesystem::is_directory(dir.path() / "checkpoint_000005"));
  }

  TEST_CASE("a word comes back with the results before it; one of an unknown kind, or with words nested in these, is refused") {
    TrialReply reply{.kind = TrialReply::kReported, .iteration = 3, .metrics = {{"loss", 0.5}}};
    reply.earlier = {{.kind = TrialReply::kReported, .iteration = 1, .checkpoint = "c"}, {.kind = TrialReply::kReported, .iteration = 2}};
    const auto back = decode<TrialReply>(encode(reply));
    REQUIRE(back.earlier.size() == 2);
    CHECK(back.metrics == reply.metrics);
    CHECK(back.earlier[0].checkpoint == "c");
    CHECK(back.earlier[1].iteration == 2);
    CHECK_THROWS_AS(decode<TrialReply>(encode(TrialReply{.kind = 7})), ProtocolError);
    // Behaviour: each word was read within the one before, so that some MB of them took more than the driver's stack.
    const Buffer word = encode(TrialReply{.kind = TrialReply::kReported});
    const Buffer fields = word.slice(0, word.size() - sizeof(std::uint64_t));
    std::vector<Buffer> nested;
    for (int i = 0; i < 100'000; ++i) nested.insert(nested.end(), {fields, encode(std::uint64_t{1})});
    nested.push_back(word);
    CHECK_THROWS_AS(decode<TrialReply>(appended(nested)), ProtocolError);
  }

  TEST_CASE("a session that nobody asks any more ends with its owner") {
    TempDir dir;
    bool ended = false;
    {
      TrialSession session(spec(dir.path()), [&](TrialContext& ctx, const Config&) {
        try {
          ctx.report({{"loss", 1}});
        } catch (...) {
          ended = true;
          throw;
        }
      }, {});
      (void)session.next(Decision::kContinue);
    }
    CHECK(ended);
    TrialSession never_started(spec(dir.path()), [](TrialContext&, const Config&) {}, {});
  }

  TEST_CASE("a class trainable is set up, stepped, saved and loaded") {
    TempDir dir;
    std::unique_ptr<Stepper> kept;
    const auto body = [&](TrialContext& ctx, const Config& config) { run_steps<Stepper>(kept, ctx, config, {.checkpoint_frequency = 2}, 10); };
    {
      TrialSession session(spec(dir.path()), body, {});
      CHECK(session.next(Decision::kContinue).metrics == Metrics{{"value", 21}});
      CHECK(session.next(Decision::kContinue).checkpoint == "checkpoint_000002");
      CHECK(session.next(Decision::kContinue).checkpoint.empty());
    }
    TrialSpec again = spec(dir.path());
    again.checkpoint = dir.path() / "checkpoint_000002";
    again.iteration = 2;
    TrialSession session(again, body, {});
    const TrialReply reply = session.next(Decision::kContinue);
    CHECK(reply.metrics == Metrics{{"value", 23}});
    CHECK(reply.iteration == 3);
  }

  TEST_CASE("names of trainables are short") {
    CHECK(short_name("std::string f() [with auto F = ns::train_cifar; x = y]", "F = ") == "train_cifar");
    CHECK(short_name("… [with T = a::Model<int>; …]", "T = ") == "Model");
    CHECK(trainable_name<Stepper>() == "Stepper");
  }
}
