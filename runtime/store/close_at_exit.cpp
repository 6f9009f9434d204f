#include "runtime/store/close_at_exit.hpp"

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>

namespace manta {

namespace {

struct OpenStores {
  const pid_t process = ::getpid();
  std::mutex mutex;
  std::map<const void*, std::function<void()>> all{};  // guarded by mutex
};

OpenStores& open_stores() {
  static auto& stores = *new OpenStores;  // never destroyed
  return stores;
}

void close_all() {
  auto& stores = open_stores();
  if (::getpid() != stores.process) return;
  std::lock_guard lock(stores.mutex);
  for (auto& [store, close] : stores.all) close();
}

}  // namespace

void close_at_exit(const void* store, std::function<void()> close) {
  auto& stores = open_stores();
  std::lock_guard lock(stores.mutex);
  static const bool registered = std::atexit(close_all) == 0;
  static_cast<void>(registered);
  stores.all[store] = std::move(close);
}

void closed_by_itself(const void* store) {
  auto& stores = open_stores();
  std::lock_guard lock(stores.mutex);
  stores.all.erase(store);
}

}  // namespace manta
