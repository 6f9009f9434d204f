#include "tune/reporter.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <limits>

#include "tune/status_text.hpp"

namespace manta::tune {

namespace {

constexpr std::size_t kFileWidth = 200;  // of the final table where there is no terminal

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::pair<std::size_t, std::size_t> terminal_size() {
  struct winsize size {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {100, 40};
  return {size.ws_col, std::max<std::size_t>(size.ws_row, 10)};
}

void write_stdout(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads: the experiment goes on
    done += static_cast<std::size_t>(written);
  }
}

/// One line for each kind of event that a person wants to read, and those for what it did to other trials.
struct EventLine {
  const ExperimentMachine& machine;
  const Effects& effects;

  std::string name(TrialIndex index) const { return "trial " + machine.trial(index).name; }
  std::string operator()(const TrialStarted& event) const {
    const Trial& trial = machine.trial(event.trial);
    const std::string from = event.from_iteration ? " from checkpoint " + std::to_string(event.from_iteration) : "";
    const std::string attempt = trial.attempts > 1 ? " (attempt " + std::to_string(trial.attempts) + ")" : "";
    return name(event.trial) + " started" + from + attempt + ": " + one_line(Value(trial.config.entries()).to_text());
  }
  std::string operator()(const TrialReported& event) const {
    const Trial& trial = machine.trial(event.trial);
    std::string text = name(event.trial) + " iteration " + std::to_string(event.iteration) + ": " + metrics_text(event.metrics);
    if (trial.state == TrialState::kError) return text + " -> failed: " + trial.error;
    if (trial.state == TrialState::kTerminated) return text + " -> stopped";
    for (const Exploited& copied : effects.exploits)
      if (copied.trial == event.trial) return text + " -> " + goes_on(copied);
    return text + (effects.decision == Decision::kPause ? " -> paused" : "");
  }
  std::string operator()(const TrialFinished& event) const {
    const Trial& trial = machine.trial(event.trial);
    return name(event.trial) + (trial.state == TrialState::kError ? " failed: " + trial.error : std::string(" finished"));
  }
  std::string operator()(const TrialFailed& event) const {
    return name(event.trial) + (effects.ended ? " failed: " : " failed and will run again: ") + event.error;
  }
  std::string operator()(const TrialTimedOut& event) const {
    return name(event.trial) + " was " + event.reason + (effects.ended && machine.trial(event.trial).iteration == 0 ? ", without one result" : "");
  }
  std::string operator()(const ExperimentStopped& event) const { return "the experiment ends early: " + event.reason; }
  std::string operator()(const auto&) const { return ""; }

  std::string goes_on(const Exploited& copied) const {
    return copied.donor == copied.trial ? "goes on with another configuration" : "goes on as a copy of " + name(copied.donor);
  }
  std::string ended_early(TrialIndex index) const {
    const std::uint64_t iteration = machine.trial(index).iteration;
    return name(index) + " was ended " + (iteration ? "after iteration " + std::to_string(iteration) : "before its first result");
  }
};

std::vector<std::string> lines_of(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) {
  constexpr std::size_t kMostEnded = 20;
  const EventLine line{machine, effects};
  const auto own = trial_of(event);
  std::vector<std::string> lines{std::visit(line, event)};
  for (const Exploited& copied : effects.exploits)
    if (copied.trial != own) lines.push_back(line.name(copied.trial) + " " + line.goes_on(copied));
  std::size_t ended = 0;
  for (const TrialIndex other : effects.others_ended)
    if (++ended <= kMostEnded) lines.push_back(line.ended_early(other));
  if (ended > kMostEnded) lines.push_back("and " + std::to_string(ended - kMostEnded) + " trials more were ended");
  std::erase(lines, "");
  return lines;
}

}  // namespace

TableReporter::TableReporter(ReporterOptions options, ReporterEnvironment environment)
    : options_(std::move(options)),
      environment_(std::move(environment)),
      redraws_(options_.verbosity == Verbosity::kTable ||
               (options_.verbosity == Verbosity::kAuto && environment_.terminal)) {}

void TableReporter::on_event(const ExperimentMachine& machine, const EventBody& event, const Effects& effects) {
  changed_ = true;
  if (redraws_) return;
  const std::string stamp = "[" + duration_text(std::chrono::duration<double>(Clock::now() - began_).count()) + "] ";
  for (const std::string& line : lines_of(machine, event, effects)) environment_.write(stamp + line + "\n");
}

void TableReporter::tick(const ExperimentMachine& machine) {
  if (!redraws_) return;
  if (!drawn_at_) return draw(machine, false);
  const std::chrono::duration<double> age = Clock::now() - *drawn_at_;
  const bool clock_moved = age.count() >= 1;  // the clock alone redraws once a second
  if (age.count() >= options_.interval_s && (changed_ || clock_moved)) draw(machine, false);
}

void TableReporter::warning(const std::string& text) {
  if (redraws_) erase();
  environment_.write("warning: " + text + "\n");
}

void TableReporter::finish(const ExperimentMachine& machine, bool interrupted) {
  draw(machine, true);
  drawn_lines_ = 0;
  if (interrupted) environment_.write("Interrupted. Everything reported so far is kept. " + environment_.resume_hint + "\n");
}

void TableReporter::draw(const ExperimentMachine& machine, bool whole) {
  const bool narrow = environment_.terminal || redraws_;
  const auto [columns, lines] = narrow ? environment_.size() : std::pair(kFileWidth, std::numeric_limits<std::size_t>::max());
  constexpr std::size_t kAround = 14;  // header, frame, footer: what a redraw in place must leave room for
  const std::size_t fitting = lines > kAround + 4 ? lines - kAround : 4;
  StatusView view = status_view(machine);
  view.time_text = local_time();
  view.elapsed_s = std::chrono::duration<double>(Clock::now() - began_).count();
  view.resources_text = environment_.resources_text ? environment_.resources_text() : "";
  view.dir = environment_.dir;
  view.metric_columns = options_.metric_columns;
  view.parameter_columns = options_.parameter_columns;
  view.sort_by_metric = options_.sort_by_metric;
  view.max_rows = whole ? machine.trials().size() : std::min(options_.max_rows, fitting);
  view.width = columns;
  view.cut_lines = narrow && !whole;  // the last drawing stays: nothing has to be erased by counting its lines
  std::string text = status_text(view);
  erase();
  if (!whole) {  // what scrolled off the top could not be erased
    std::size_t end = 0;
    for (std::size_t kept = 0; kept + 1 < lines && end < text.size(); ++kept) end = text.find('\n', end) + 1;
    text.resize(end);
  }
  environment_.write(text);
  drawn_lines_ = redraws_ ? static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) : 0;
  drawn_at_ = Clock::now();
  changed_ = false;
}

void TableReporter::erase() {
  if (drawn_lines_) environment_.write("\x1b[" + std::to_string(drawn_lines_) + "F\x1b[J");
  drawn_lines_ = 0;
}

std::unique_ptr<Reporter> make_reporter(const ReporterOptions& options, ReporterEnvironment environment) {
  if (options.verbosity == Verbosity::kSilent) return std::make_unique<Reporter>();
  environment.terminal = ::isatty(STDOUT_FILENO) == 1;
  environment.write = write_stdout;
  environment.size = terminal_size;
  return std::make_unique<TableReporter>(options, std::move(environment));
}

}  // namespace manta::tune
