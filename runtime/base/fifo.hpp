#pragma once
// Fifo: a queue that takes no memory while it has never been used, where std::deque takes half a kibibyte: for the queues of
// which there is one for each of very many actors. Items lie side by side, first to last. One thread at a time.
//
//   Fifo<int> queue;
//   queue.push_back(1);
//   while (!queue.empty()) use(queue.pop_front());
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace manta {

template <class T>
class Fifo {
 public:
  using iterator = typename std::vector<T>::iterator;
  using const_iterator = typename std::vector<T>::const_iterator;
  Fifo() = default;
  Fifo(Fifo&& other) noexcept : items_(std::exchange(other.items_, {})), first_(std::exchange(other.first_, 0)) {}
  Fifo& operator=(Fifo&& other) noexcept {
    items_ = std::exchange(other.items_, {});
    first_ = std::exchange(other.first_, 0);
    return *this;
  }

  bool empty() const noexcept { return first_ == items_.size(); }
  std::size_t size() const noexcept { return items_.size() - first_; }
  iterator begin() noexcept { return items_.begin() + offset(); }
  iterator end() noexcept { return items_.end(); }
  const_iterator begin() const noexcept { return items_.begin() + offset(); }
  const_iterator end() const noexcept { return items_.end(); }
  T& front() { return items_[first_]; }
  const T& front() const { return items_[first_]; }

  void push_back(T item) { items_.push_back(std::move(item)); }
  void append(std::vector<T> items) {
    if (empty()) {
      items_ = std::move(items);
      first_ = 0;
    } else {
      items_.insert(items_.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
    }
  }
  /// Takes time in proportion when nothing has been taken from the front.
  void push_front(T item) {
    if (first_ > 0)
      items_[--first_] = std::move(item);
    else
      items_.insert(items_.begin(), std::move(item));
  }
  /// Takes time in proportion to what is behind it.
  void insert(iterator before, T item) {
    if (before == begin())
      push_front(std::move(item));
    else
      items_.insert(before, std::move(item));
  }
  /// Requires an item.
  T pop_front() {
    T item = std::move(items_[first_]);
    ++first_;
    tidy();
    return item;
  }
  /// Takes time in proportion to what is before or behind it, whichever is less.
  void erase(iterator item) {
    if (item - begin() < end() - item) {
      [[maybe_unused]] const T erased = std::move(*item);
      std::move_backward(begin(), item, item + 1);
      ++first_;
    } else {
      items_.erase(item);
    }
    tidy();
  }
  /// Takes one out of the middle; it is not destroyed here.
  T take(iterator item) {
    T taken = std::move(*item);
    erase(item);
    return taken;
  }
  template <class Predicate>
  std::size_t erase_if(Predicate&& predicate) {
    const auto left = std::remove_if(begin(), end(), predicate);
    const auto erased = static_cast<std::size_t>(end() - left);
    items_.erase(left, end());
    tidy();
    return erased;
  }
  void clear() { *this = {}; }

 private:
  static constexpr std::size_t kKept = 4, kMostKept = 64;  ///< places that an empty queue keeps; and if it just used half of them
  std::ptrdiff_t offset() const noexcept { return static_cast<std::ptrdiff_t>(first_); }
  /// The gap in front goes when it is the larger part, so that an item is moved once on average.
  void tidy() {
    if (empty()) {
      const auto places = items_.capacity();
      if (places > kMostKept || (places > kKept && places > 2 * first_)) return clear();
      items_.clear();
      first_ = 0;
    } else if (first_ >= 32 && first_ > items_.size() / 2) {
      items_.erase(items_.begin(), begin());
      first_ = 0;
    }
  }
  std::vector<T> items_{};
  std::size_t first_ = 0;
};

}  // namespace manta
