#include "bench/harness/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <stdexcept>

namespace manta::bench {

std::string to_csv(const std::vector<Row>& rows) {
  std::string text = "name,value,unit,floor,floor_value,ratio,spread\n";
  for (const Row& row : rows) {
    text += fmt::format("{},{:.1f},{},{},{:.1f},{:.4f},{:.4f}\n", row.name, row.value, row.unit, row.floor,
                        row.floor_value, row.ratio, row.spread);
  }
  return text;
}

std::filesystem::path write_csv(const std::filesystem::path& folder, const std::vector<Row>& rows) {
  std::filesystem::create_directories(folder);
  const std::filesystem::path file = folder / "bench.csv", unfinished = folder / "bench.csv.new";
  std::ofstream out(unfinished);
  out << to_csv(rows) << std::flush;
  if (!out) throw std::runtime_error(fmt::format("cannot write {}: choose another folder with --out", unfinished.string()));
  std::filesystem::rename(unfinished, file);
  return file;
}

void print_machine(const Machine& machine, std::FILE* out) {
  fmt::print(out, "{}, {} cores; held on core {}\n", machine.cpu_model, machine.core_count,
             fmt::join(machine.cores, " and core "));
}

void print_header(std::FILE* out) {
  fmt::print(out, "{:<31}{:>12} {:<9}{:>10}  {:<22}{:>12}{:>10}{:>8}\n", "bench", "value", "unit", "us each", "floor",
             "floor value", "ratio", "spread");
}

namespace {
std::string shown(double value) { return value < 100 ? fmt::format("{:.2f}", value) : fmt::format("{:.0f}", value); }
}  // namespace

void print_row(const Row& row, std::FILE* out) {
  fmt::print(out, "{:<31}{:>12} {:<9}{:>10.3f}  {:<22}{:>12}{:>10.3f}{:>7.0f}%\n", row.name, shown(row.value), row.unit,
             1e6 / row.value, row.floor, shown(row.floor_value), row.ratio, row.spread * 100);
  std::fflush(out);
}

}  // namespace manta::bench
