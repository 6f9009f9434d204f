#pragma once
// Reporter: what a person sees while an experiment runs. TableReporter redraws a table in place on a terminal; elsewhere it
// prints a line for each event and what it did to other trials, and the whole table at the end. Owned by tune::run; called by
// the driver's thread.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tune/core/machine.hpp"
#include "tune/options.hpp"

namespace manta::tune {

class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void on_event(const ExperimentMachine&, const EventBody&, const Effects&) {}
  virtual void tick(const ExperimentMachine&) {}
  virtual void warning(const std::string&) {}
  /// After the last event; `interrupted`: by a signal.
  virtual void finish(const ExperimentMachine&, bool /*interrupted*/) {}
};

/// What the table reporter cannot know by itself. `write` gets text for the terminal or file.
struct ReporterEnvironment {
  std::function<void(const std::string&)> write{};
  std::function<std::string()> resources_text{};
  bool terminal{false};
  std::function<std::pair<std::size_t, std::size_t>()> size{};  ///< columns and lines of the terminal
  std::string dir{};
  std::string resume_hint{};  ///< how to go on after an interruption
};

class TableReporter final : public Reporter {
 public:
  TableReporter(ReporterOptions options, ReporterEnvironment environment);

  void on_event(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) override;
  void tick(const ExperimentMachine& machine) override;
  void warning(const std::string& text) override;
  void finish(const ExperimentMachine& machine, bool interrupted) override;

 private:
  using Clock = std::chrono::steady_clock;

  void draw(const ExperimentMachine& machine, bool whole);
  void erase();

  ReporterOptions options_;
  ReporterEnvironment environment_;
  bool redraws_;
  Clock::time_point began_{Clock::now()};
  std::optional<Clock::time_point> drawn_at_{};
  std::size_t drawn_lines_{0};
  bool changed_{true};
};

/// On standard output; a terminal is recognised by isatty.
std::unique_ptr<Reporter> make_reporter(const ReporterOptions& options, ReporterEnvironment environment);

}  // namespace manta::tune
