#pragma once
// The saved state of a searcher, scheduler or stopper as text: numbers separated by blanks, doubles bit for bit. Pure.
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tune/config.hpp"

namespace manta::tune {

class StateWriter {
 public:
  StateWriter& put(std::uint64_t number);
  /// Counts, indices and flags.
  template <std::unsigned_integral T>
  StateWriter& put(T number) {
    return put(static_cast<std::uint64_t>(number));
  }
  StateWriter& put(double number);
  StateWriter& put(std::string_view text);  ///< any bytes
  StateWriter& put(const Config& config);
  StateWriter& put(std::span<const double> numbers);  ///< with their count
  StateWriter& put(const std::vector<double>& numbers) { return put(std::span<const double>(numbers)); }
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// Reads what a StateWriter wrote, in the same order. StorageCorruption, naming `what`, when the text ends early or holds
/// something else. The texts must outlive the reader.
class StateReader {
 public:
  StateReader(std::string_view text, std::string_view what) : rest_(text), what_(what) {}
  template <std::same_as<std::string> Temporary>
  StateReader(Temporary&& text, std::string_view what) = delete;

  std::uint64_t integer();
  double number();
  std::vector<double> numbers();
  /// Numbers of which there must be just so many.
  std::vector<double> numbers(std::size_t size);
  /// Fails for NaN, which nothing can be ordered by.
  double comparable();
  std::string text();
  Config config();
  bool flag() { return integer() != 0; }
  /// A trial's or rung's index, or another number of 32 bits.
  std::uint32_t index();
  /// A count of things that follow: one larger than the text that is left is not believed.
  std::size_t count();
  /// Requires that all was read.
  void end() const;
  [[noreturn]] void fail() const;

 private:
  std::string_view word();

  std::string_view rest_;
  std::string_view what_;
};

}  // namespace manta::tune
