#pragma once
// What a bench leaves behind: bench.csv, and the same as a table for people.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/harness/machine.hpp"
#include "bench/harness/measure.hpp"

namespace manta::bench {

/// The header line and one line per row: name,value,unit,floor,floor_value,ratio,spread.
std::string to_csv(const std::vector<Row>& rows);

/// Writes `folder`/bench.csv, whole or not at all; makes the folder. Throws std::filesystem::filesystem_error or
/// std::runtime_error that names the file.
std::filesystem::path write_csv(const std::filesystem::path& folder, const std::vector<Row>& rows);

void print_machine(const Machine& machine, std::FILE* out = stdout);
void print_header(std::FILE* out = stdout);
void print_row(const Row& row, std::FILE* out = stdout);

}  // namespace manta::bench
