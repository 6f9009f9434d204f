#pragma once
// Searcher: what proposes configurations. Pure: no thread, no clock; the same seed and the same order of calls give the
// same proposals. One searcher belongs to one experiment and is called by the driver's thread only.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tune/config.hpp"
#include "tune/metrics.hpp"

namespace manta::tune {

using TrialIndex = std::uint32_t;  ///< trials are numbered from 0 in the order in which they are made

struct Suggestion {
  enum class Kind { kConfig, kWait, kDone };  ///< kWait: ask again after a result; kDone: there will be no more
  Kind kind{Kind::kDone};
  Config config{};
  std::string tag{};  ///< a short text that tells the trial from others: "lr=0.0100,l1=64"
};

class Searcher {
 public:
  virtual ~Searcher() = default;

  /// The configuration of trial `index`; called once for each index, in order. Throws what a user's function throws.
  virtual Suggestion suggest(TrialIndex index) = 0;
  virtual void on_result(TrialIndex, std::uint64_t /*iteration*/, const Metrics&) {}
  /// The trial ended; `last` is null when it failed or reported nothing.
  virtual void on_complete(TrialIndex, const Metrics* /*last*/) {}

  /// How many trials there will be, where that is known.
  virtual std::optional<std::uint64_t> total() const { return std::nullopt; }
  /// How many proposals may wait to be started: 1 for a searcher that learns from results.
  virtual std::uint32_t suggest_ahead() const { return 1; }

  /// The whole state, and back: after `restore(save())` the next suggestions are the same.
  virtual std::string save() const = 0;
  virtual void restore(std::string_view state) = 0;
};

}  // namespace manta::tune
