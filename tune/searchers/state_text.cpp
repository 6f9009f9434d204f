#include "tune/searchers/state_text.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <system_error>

#include "runtime/errors.hpp"
#include "tune/core/journal_codec.hpp"

namespace manta::tune {

StateWriter& StateWriter::put(std::uint64_t number) {
  text_ += (text_.empty() ? "" : " ") + std::to_string(number);
  return *this;
}

StateWriter& StateWriter::put(double number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, std::bit_cast<std::uint64_t>(number), 16).ptr;
  text_ += text_.empty() ? "" : " ";
  text_.append(digits, end);
  return *this;
}

StateWriter& StateWriter::put(std::span<const double> numbers) {
  put(static_cast<std::uint64_t>(numbers.size()));
  for (double number : numbers) put(number);
  return *this;
}

StateWriter& StateWriter::put(std::string_view text) {
  put(static_cast<std::uint64_t>(text.size()));
  (text_ += ' ') += text;
  return *this;
}

StateWriter& StateWriter::put(const Config& config) { return put(std::string_view(encode_config(config))); }

void StateReader::fail() const {
  throw StorageCorruption(std::string(what_) + ": a saved state that cannot be read.");
}

std::string_view StateReader::word() {
  const std::size_t end = std::min(rest_.find(' '), rest_.size());
  const std::string_view word = rest_.substr(0, end);
  if (word.empty()) fail();
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return word;
}

std::uint64_t StateReader::integer() {
  const std::string_view text = word();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) fail();
  return number;
}

double StateReader::number() {
  const std::string_view text = word();
  std::uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (error != std::errc() || end != text.data() + text.size()) fail();
  return std::bit_cast<double>(bits);
}

std::size_t StateReader::count() {
  const std::uint64_t number = integer();
  if (number > rest_.size()) fail();
  return number;
}

std::vector<double> StateReader::numbers() {
  std::vector<double> numbers(count());
  for (double& one : numbers) one = number();
  return numbers;
}

std::vector<double> StateReader::numbers(std::size_t size) {
  std::vector<double> read = numbers();
  if (read.size() != size) fail();
  return read;
}

double StateReader::comparable() {
  const double read = number();
  if (std::isnan(read)) fail();
  return read;
}

std::string StateReader::text() {
  const std::size_t size = count();
  std::string text(rest_.substr(0, size));
  rest_.remove_prefix(std::min(size + 1, rest_.size()));
  return text;
}

Config StateReader::config() { return decode_config(text()); }

std::uint32_t StateReader::index() {
  const std::uint64_t number = integer();
  if (number > UINT32_MAX) fail();
  return static_cast<std::uint32_t>(number);
}

void StateReader::end() const {
  if (!rest_.empty()) fail();
}

}  // namespace manta::tune
