#pragma once
// IdTable: what an owner has on its list, by id. The ids of one process are given in order, so they lie side by side in
// pages: adding, finding and erasing one takes a page's look-up, and memory is allocated once for kPage of them. Used
// like std::unordered_map; an erase ends iterators. One thread.
#include <array>
#include <memory>
#include <unordered_map>
#include <utility>

namespace manta::detail {

template <class Key, class T>
class IdTable {
  static constexpr std::size_t kPage = 64;
  using Slot = std::shared_ptr<T>;  // null: free; its place says the id
  struct Page {
    std::array<Slot, kPage> slots{};
    std::size_t used = 0;
  };
  using Pages = std::unordered_map<std::uint64_t, Page>;

 public:
  /// What an iterator points to.
  struct Entry {
    Key first;
    std::shared_ptr<T>& second;
    const Entry* operator->() const { return this; }
  };
  class iterator {
   public:
    Entry operator*() const { return {Key{page_->first * kPage + slot_}, slot()}; }
    Entry operator->() const { return **this; }
    iterator& operator++() { return ++slot_, skip(), *this; }
    bool operator==(const iterator& other) const { return page_ == other.page_ && slot_ == other.slot_; }

   private:
    friend class IdTable;
    iterator(typename Pages::iterator page, typename Pages::iterator end, std::size_t slot) : page_(page), end_(end), slot_(slot) {}
    void skip() {
      for (; page_ != end_; ++page_, slot_ = 0)
        for (; slot_ < kPage; ++slot_)
          if (slot()) return;
    }
    Slot& slot() const { return page_->second.slots[slot_]; }
    typename Pages::iterator page_;
    typename Pages::iterator end_;
    std::size_t slot_;
  };

  iterator begin() {
    iterator first(pages_.begin(), pages_.end(), 0);
    first.skip();
    return first;
  }
  iterator end() { return {pages_.end(), pages_.end(), 0}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  iterator find(Key key) {
    const auto page = pages_.find(key.value / kPage);
    if (page == pages_.end() || !page->second.slots[key.value % kPage]) return end();
    return {page, pages_.end(), key.value % kPage};
  }
  bool contains(Key key) { return find(key) != end(); }
  /// Requires a value. One that is there stays.
  void emplace(Key key, std::shared_ptr<T> value) {
    auto& page = pages_[key.value / kPage];
    auto& slot = page.slots[key.value % kPage];
    if (slot) return;
    slot = std::move(value);
    ++page.used;
    ++size_;
  }
  void erase(iterator it) {
    it.slot().reset();
    --size_;
    if (--it.page_->second.used == 0) pages_.erase(it.page_);
  }
  std::size_t erase(Key key) {
    const auto it = find(key);
    if (it == end()) return 0;
    erase(it);
    return 1;
  }

 private:
  Pages pages_{};
  std::size_t size_ = 0;
};

}  // namespace manta::detail
