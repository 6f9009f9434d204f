#pragma once
// Completions<T>: several refs in the order in which they finish; made by Client::as_completed.
//
//   for (auto& ref : rt.as_completed(std::move(refs))) use(rt.get(ref));   // get does not wait here
//
// Each ref comes once for each time that it was given, failed ones too. What had finished before comes first, in the order
// given. The total cost is linear in the number of refs, whereas a loop around `wait` looks at all of them each time.
// One thread takes; a task that waits here gives its CPUs to others. Movable; may be dropped at any time.
#include <algorithm>
#include <optional>

#include "runtime/engine.hpp"

namespace manta {

namespace detail {

/// Which of several cells have settled, in that order. One thread takes; any may settle.
class Arrivals : public std::enable_shared_from_this<Arrivals> {
 public:
  void watch(const std::vector<Cell*>& cells);
  /// Takes back what was left with the cells that have not settled. The same cells as for watch.
  void forget(const std::vector<Cell*>& cells);
  /// The index of the next cell that has settled. None at the deadline.
  std::optional<std::size_t> take(Engine& engine, Deadline deadline);

 private:
  /// One cell's share.
  class Watch final : public Cell::Waiter {
   public:
    Watch(Arrivals& arrivals, std::size_t index) : arrivals_(&arrivals), index_(index) {}
    void settled() override { arrivals_->arrived(index_); }
    std::size_t index() const { return index_; }

   private:
    Arrivals* arrivals_;
    std::size_t index_;
  };
  void arrived(std::size_t index);
  std::vector<Cell*> cells_{};        ///< as given; whoever takes holds them
  std::vector<Watch> watches_{};      ///< one for each cell that had not settled at first; cells share in this object
  std::vector<std::size_t> taken_{};  ///< the taking thread's, from next_ on
  std::size_t next_ = 0;
  std::mutex mutex_{};
  std::vector<std::size_t> arrived_{};        ///< guarded by mutex_
  std::atomic<std::uint32_t> waiting_{0};     ///< 1: the taking thread sleeps until something arrives
};

}  // namespace detail

template <class T>
class Completions {
 public:
  /// Internal; see Client::as_completed.
  Completions(std::shared_ptr<detail::Engine> engine, std::vector<ObjectRef<T>> refs)
      : engine_(std::move(engine)), refs_(std::move(refs)), left_(refs_.size()), arrivals_(std::make_shared<detail::Arrivals>()) {
    for (const auto& ref : refs_)
      if (!ref) throw InvalidArgument("as_completed was given an empty ObjectRef: give those that remote, call or put returned");
    arrivals_->watch(cells());
  }
  Completions(Completions&&) noexcept = default;
  Completions& operator=(Completions&&) = delete;
  ~Completions() {
    if (arrivals_ && left_) arrivals_->forget(cells());
  }

  /// Waits for the next ref to finish. None when all have come. Throws Cancelled in a task that is cancelled.
  std::optional<ObjectRef<T>> next() { return take({}); }
  /// Throws Timeout when none finishes in time, which says what the first of them waits for, as Client::get does; all can be asked for again.
  template <class Rep, class Period>
  std::optional<ObjectRef<T>> next(std::chrono::duration<Rep, Period> timeout) {
    return take(detail::deadline_in(timeout));
  }
  /// How many have not come yet.
  std::size_t left() const noexcept { return left_; }

  /// An input iterator: waits when it is made and when it is moved on.
  class Iterator {
   public:
    using value_type = ObjectRef<T>;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Completions& from) : from_(&from), ref_(from.next()) {}
    ObjectRef<T>& operator*() { return *ref_; }
    ObjectRef<T>* operator->() { return &*ref_; }
    Iterator& operator++() {
      ref_ = from_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !ref_; }

   private:
    Completions* from_;
    std::optional<ObjectRef<T>> ref_;
  };
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::vector<detail::Cell*> cells() const {
    std::vector<detail::Cell*> cells;
    cells.reserve(refs_.size());
    for (const auto& ref : refs_) cells.push_back(ref.cell().get());
    return cells;
  }
  [[noreturn]] void throw_late(bool is_long) const {
    const auto late = std::find_if(refs_.begin(), refs_.end(), [](const auto& ref) { return !ref.ready(); });
    detail::throw_timeout(*engine_, is_long && late != refs_.end() ? late->cell() : nullptr,
                          "none of the " + std::to_string(left_) + " refs that are left finished in time; ask again, or give it more time");
  }
  std::optional<ObjectRef<T>> take(Deadline deadline) {
    if (left_ == 0) return std::nullopt;
    const bool is_long = detail::is_long_wait(deadline);
    const auto index = arrivals_->take(*engine_, deadline);
    if (!index) throw_late(is_long);
    --left_;
    return refs_[*index];
  }
  std::shared_ptr<detail::Engine> engine_;
  std::vector<ObjectRef<T>> refs_;
  std::size_t left_;
  std::shared_ptr<detail::Arrivals> arrivals_;
};

}  // namespace manta
