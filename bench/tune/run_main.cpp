// What running an experiment costs, as run.csv and as a table: scripts/bench runs this.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "bench/harness/report.hpp"
#include "bench/tune/run_benches.hpp"

namespace {

using namespace manta::bench;

struct Flags {
  bool quick = false;
  std::string only = ".*";
  std::filesystem::path out = ".";
  std::filesystem::path dir = std::filesystem::temp_directory_path();
};

/// A folder of its own for the experiments, gone whatever happens.
struct ExperimentsDir {
  std::string path;

  explicit ExperimentsDir(const std::filesystem::path& parent) : path((parent / "manta_tune_bench_XXXXXX").string()) {
    if (!::mkdtemp(path.data())) throw std::runtime_error("cannot make a folder in " + parent.string());
  }
  ~ExperimentsDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

Row row_of(const std::vector<Figure>& runs) {
  std::vector<double> values;
  for (const Figure& figure : runs) values.push_back(figure.value);
  const double value = median(values);
  const Figure& first = runs.front();
  std::vector<double> beside;
  for (const Figure& figure : runs) beside.push_back(figure.bar);
  const double bar = median(beside);
  return {first.name, value, first.unit, first.beside, bar, first.less_is_better ? bar / value : value / bar, spread(values)};
}

/// Each bench three times; one runtime for each bench.
std::vector<Row> run(const Flags& flags, const RunEffort& effort) {
  std::vector<Row> rows;
  for (const RunBench& bench : run_benches()) {
    if (!std::regex_match(bench.name, std::regex(flags.only))) continue;
    manta::Runtime runtime = manta::Runtime::start(manta::RuntimeOptions{.num_gpus = 0});
    std::vector<std::vector<Figure>> figures;
    const int times = effort.quick || bench.name == "many_trials" ? 1 : 3;
    for (int i = 0; i < times; ++i) {
      const auto some = bench.run(runtime, effort);
      figures.resize(some.size());
      for (std::size_t k = 0; k < some.size(); ++k) figures[k].push_back(some[k]);
    }
    for (const auto& runs : figures) {
      rows.push_back(row_of(runs));
      print_row(rows.back());
    }
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  manta::Runtime::enter_worker_mode(argc, argv);
  Flags flags;
  CLI::App app("Measures what running an experiment costs beside its bars.", "tune_run_bench");
  app.add_flag("--quick", flags.quick, "short runs: shows that it works, not how fast it is");
  app.add_option("--only", flags.only, "only the benches whose whole name matches this regular expression");
  app.add_option("--out", flags.out, "folder for bench.csv");
  app.add_option("--dir", flags.dir, "folder for the experiments");
  try {
    app.parse(argc, argv);
    print_machine(describe_machine(two_cores()));
    print_header();
    const ExperimentsDir dir(flags.dir);
    const auto rows = run(flags, {dir.path, flags.quick});
    std::printf("%s\n", write_csv(flags.out, rows).c_str());
    return 0;
  } catch (const CLI::Error& e) {
    return app.exit(e);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tune_run_bench: %s\n", e.what());
    return 1;
  }
}
