#pragma once
// IdTable: what an owner has on its list, by id. The ids of one process are given in order, so they lie side by side in
// pages: adding, finding and erasing one takes a page's look-up, and memory is allocated once for kPage of them. Used
// like std::unordered_map; an erase ends iterators. One thread.
#include <array>
#include <iterator>
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
  using NumberedPage = typename Pages::value_type;

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
    iterator(Pages* pages, NumberedPage* page, std::size_t slot) : pages_(pages), page_(page), slot_(slot) {}
    void skip() {
      while (page_) {
        for (; slot_ < kPage; ++slot_)
          if (slot()) return;
        const auto next = std::next(pages_->find(page_->first));
        page_ = next == pages_->end() ? nullptr : &*next;
        slot_ = 0;
      }
    }
    Slot& slot() const { return page_->second.slots[slot_]; }
    Pages* pages_;
    NumberedPage* page_;  // null: the end
    std::size_t slot_;
  };

  iterator begin() {
    iterator first(&pages_, pages_.empty() ? nullptr : &*pages_.begin(), 0);
    first.skip();
    return first;
  }
  iterator end() { return {&pages_, nullptr, 0}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  iterator find(Key key) {
    auto* page = page_of(key);
    if (!page || !page->second.slots[key.value % kPage]) return end();
    return {&pages_, page, key.value % kPage};
  }
  bool contains(Key key) { return find(key) != end(); }
  /// Requires a value. One that is there stays.
  void emplace(Key key, std::shared_ptr<T> value) {
    auto* found = page_of(key);
    if (!found) found = last_ = &*pages_.try_emplace(key.value / kPage).first;
    auto& page = found->second;
    auto& slot = page.slots[key.value % kPage];
    if (slot) return;
    slot = std::move(value);
    ++page.used;
    ++size_;
  }
  /// The value may have been moved out.
  void erase(iterator it) {
    it.slot().reset();
    --size_;
    if (--it.page_->second.used > 0) return;
    if (last_ == it.page_) last_ = nullptr;
    pages_.erase(it.page_->first);
  }
  std::size_t erase(Key key) {
    const auto it = find(key);
    if (it == end()) return 0;
    erase(it);
    return 1;
  }

 private:
  NumberedPage* page_of(Key key) {
    const auto number = key.value / kPage;
    if (last_ && last_->first == number) return last_;
    const auto page = pages_.find(number);
    if (page != pages_.end()) last_ = &*page;
    return page == pages_.end() ? nullptr : last_;
  }
  Pages pages_{};
  NumberedPage* last_ = nullptr;  // looked at last; the next one wanted is mostly it
  std::size_t size_ = 0;
};

}  // namespace manta::detail
