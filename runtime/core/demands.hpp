#pragma once
// Demands: what all requests that wait need, to know without looking at each of them that none can be served now.
//
//   demands.add(request.all());
//   if (demands.exceed(ledger.available())) return;  // each of them lacks something
#include <cstddef>
#include <map>
#include <string>

#include "runtime/base/amount.hpp"

namespace manta::core {

class Demands {
 public:
  /// Amounts of 0 are not needed. Takes time logarithmic in the number of different amounts.
  void add(const Resources& needs) {
    ++requests_;
    for (const auto& [name, amount] : needs)
      if (amount > Amount(0)) {
        auto& one = by_name_[name];
        ++one.requests;
        ++one.amounts[amount];
      }
  }
  /// Requires that it was added.
  void remove(const Resources& needs) {
    --requests_;
    for (const auto& [name, amount] : needs) {
      const auto one = by_name_.find(name);
      if (amount <= Amount(0) || one == by_name_.end()) continue;
      if (const auto same = one->second.amounts.find(amount); --same->second == 0) one->second.amounts.erase(same);
      if (--one->second.requests == 0) by_name_.erase(one);
    }
  }
  /// There are some, and each needs something of this resource.
  bool all_need(const std::string& name) const {
    const auto one = by_name_.find(name);
    return one != by_name_.end() && one->second.requests == requests_;
  }
  /// There is a resource of which each needs more than is free.
  bool exceed(const Resources& available) const {
    for (const auto& [name, one] : by_name_)
      if (one.requests == requests_ && available[name] < one.amounts.begin()->first) return true;
    return false;
  }

 private:
  struct OfOneResource {
    std::size_t requests = 0;
    std::map<Amount, std::size_t> amounts{};
  };
  std::size_t requests_ = 0;
  std::map<std::string, OfOneResource> by_name_{};
};

}  // namespace manta::core
