#pragma once
// Choices: a sequence of numbers that says what a walk does next. RapidCheck makes it, and when a property fails shrinks it to
// a short one of small numbers. When it is used up, every choice is the first.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace manta::test {

class Choices {
 public:
  explicit Choices(const std::vector<std::uint32_t>& numbers) : numbers_(&numbers) {}
  bool left() const { return next_ < numbers_->size(); }
  std::size_t below(std::size_t n) { return left() ? (*numbers_)[next_++] % n : 0; }

 private:
  const std::vector<std::uint32_t>* numbers_;
  std::size_t next_ = 0;
};

}  // namespace manta::test
