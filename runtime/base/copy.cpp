#include "runtime/base/copy.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <new>
#include <system_error>
#include <thread>

namespace manta {
namespace {

constexpr std::size_t kMostCores = 4;                           // memory is busy long before more are
constexpr std::size_t kLeastPart = std::size_t{16} << 20;
constexpr std::size_t kPage = 4096;

std::size_t usable_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

/// The program's signals go to its own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

void copy_large(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  const auto parts = std::max<std::size_t>(1, std::min({usable_cores(), kMostCores, size / kLeastPart}));
  const auto part = (size / parts + kPage - 1) / kPage * kPage;
  std::array<std::thread, kMostCores> helpers;
  std::size_t done = 0;  // what the helpers copy
  try {
    const SignalsBlocked blocked;
    for (std::size_t i = 0; i + 1 < parts; ++i, done += part)
      helpers[i] = std::thread([to, from, done, part] { std::memcpy(to + done, from + done, part); });
  } catch (const std::system_error&) {  // no thread to be had: the rest is the caller's
  } catch (const std::bad_alloc&) {
  }
  std::memcpy(to + done, from + done, size - done);
  for (auto& helper : helpers)
    if (helper.joinable()) helper.join();
}

}  // namespace manta
