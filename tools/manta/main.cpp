// manta: looks at what Manta has left on disk.
//   manta tune show DIR      prints an experiment that has ended or still runs
//   manta tune report DIR    writes it as one HTML page that needs no network
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>

#include "runtime/errors.hpp"
#include "tune/history.hpp"
#include "tune/report/page.hpp"
#include "tune/report/show_text.hpp"

using namespace manta;

namespace {

struct Arguments {
  std::string dir{};
  tune::ShowOptions show{};
  bool csv{false}, json{false};
  std::string output{};
  std::vector<std::string> objectives{};
};

std::size_t terminal_width() {
  struct winsize size {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 200;
  return size.ws_col;
}

void show(const Arguments& arguments) {
  if (arguments.csv)
    tune::load_experiment(arguments.dir).write_csv(std::cout);
  else if (arguments.json)
    tune::load_experiment(arguments.dir).write_json(std::cout);
  else
    std::cout << tune::show_text(tune::read_history(arguments.dir), arguments.show);
  if (!std::cout.flush()) throw IoError("the output could not be written to its end: look whether its disk is full");
}

/// For CLI11: what is wrong with the text; empty: nothing.
std::string whole_number(const std::string& text) {
  constexpr std::size_t kMostDigits = 9;
  const bool fine = !text.empty() && text.size() <= kMostDigits && text.find_first_not_of("0123456789") == std::string::npos;
  return fine ? "" : "'" + text + "' is no whole number from 0 to 999999999";
}

/// "loss", "loss:min" or "accuracy:max". Without a mode, that of the experiment's own objective of the name.
tune::Objective parse_objective(const tune::ExperimentHistory& history, const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) {
    for (const tune::Objective& known : history.further_objectives)
      if (known.metric == text) return known;
    return {text, text == history.metric ? history.mode : tune::Mode::kMin};
  }
  const std::string mode = text.substr(colon + 1);
  if (mode != "min" && mode != "max")
    throw InvalidArgument("--objective " + text + ": after the colon comes min or max.");
  return {text.substr(0, colon), mode == "max" ? tune::Mode::kMax : tune::Mode::kMin};
}

void report(const Arguments& arguments) {
  const tune::ExperimentHistory history = tune::read_history(arguments.dir);
  std::vector<tune::Objective> objectives;
  for (const std::string& text : arguments.objectives) objectives.push_back(parse_objective(history, text));
  const std::string page = tune::report_page(history, objectives);
  const std::filesystem::path path = arguments.output.empty() ? history.dir / "report.html" : std::filesystem::path(arguments.output);
  std::ofstream out(path, std::ios::binary);
  out << page;
  out.close();
  if (!out) throw IoError("cannot write '" + path.string() + "'. Choose another file with --output.");
  std::printf("%s\n", path.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  arguments.show.width = terminal_width();
  CLI::App app("Looks at what Manta has left on disk");
  app.require_subcommand(1);
  CLI::App& tune_app = *app.add_subcommand("tune", "experiments of Manta Tune");
  tune_app.require_subcommand(1);
  const char* about_dir = "the experiment's directory, or one whose only experiment it is";

  CLI::App& show_app = *tune_app.add_subcommand("show", "print an experiment that has ended or still runs");
  show_app.add_option("DIR", arguments.dir, about_dir)->required();
  show_app.add_option("--rows", arguments.show.max_rows, "trials in the table, the best of each state first")
      ->check(whole_number)->capture_default_str();
  show_app.add_option("--metric", arguments.show.metric_columns, "a metric to show; may be repeated");
  show_app.add_option("--parameter", arguments.show.parameter_columns, "a parameter to show; may be repeated");
  auto* csv = show_app.add_flag("--csv", arguments.csv, "all trials as CSV");
  show_app.add_flag("--json", arguments.json, "all trials as JSON")->excludes(csv);
  show_app.callback([&] { show(arguments); });

  CLI::App& report_app = *tune_app.add_subcommand("report", "write an experiment as one HTML page that needs no network");
  report_app.add_option("DIR", arguments.dir, about_dir)->required();
  report_app.add_option("--output,-o", arguments.output, "the file; default: report.html in the experiment's directory");
  report_app.add_option("--objective", arguments.objectives,
                        "a metric to compare by, NAME:min or NAME:max; the mode may be left out where the experiment has one. Two of them give a Pareto front");
  report_app.callback([&] { report(arguments); });

  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "manta: %s\n", error.what());
    return 1;
  }
}
