#include "runtime/store/close_at_exit.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>

namespace manta {

namespace {

struct OpenStore {
  pid_t process;
  std::function<void()> close;
};

struct OpenStores {
  const pid_t process = ::getpid();
  std::mutex mutex;
  std::map<const void*, OpenStore> all{};  // guarded by mutex
};

OpenStores& open_stores() {
  static auto& stores = *new OpenStores;  // never destroyed
  return stores;
}

void close_all(int status, void*) {
  auto& stores = open_stores();
  const auto self = ::getpid();
  if (std::unique_lock lock(stores.mutex, std::try_to_lock); lock || self == stores.process) {
    if (!lock) lock.lock();
    for (auto& [store, open] : stores.all)
      if (open.process == self) open.close();
  }
  if (self == stores.process) return;
  // RocksDB's own statics come next, and wait for threads that only the parent has.
  std::cout.flush(), std::clog.flush();
  std::fflush(nullptr);
  ::_exit(status);
}

}  // namespace

void close_at_exit(const void* store, std::function<void()> close) {
  auto& stores = open_stores();
  std::lock_guard lock(stores.mutex);
  static const bool registered = ::on_exit(close_all, nullptr) == 0;
  static_cast<void>(registered);
  stores.all[store] = {::getpid(), std::move(close)};
}

void closed_by_itself(const void* store) {
  auto& stores = open_stores();
  if (::getpid() != stores.process) {  // a fork: a thread that it has not may have the lock
    std::unique_lock lock(stores.mutex, std::try_to_lock);
    if (lock) stores.all.erase(store);
    return;
  }
  std::lock_guard lock(stores.mutex);
  stores.all.erase(store);
}

}  // namespace manta
