#include "runtime/base/copy.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <thread>

#include "runtime/base/threads.hpp"

namespace manta {
namespace {

constexpr std::size_t kMostCores = 4;  // memory is busy long before more are
constexpr std::size_t kLeastPart = std::size_t{16} << 20;
constexpr std::size_t kPage = 4096;

/// Of all copies together: each core helps once.
std::atomic<std::size_t> g_helpers{0};

/// Up to `wanted` of the cores that are left; they must be given back.
std::size_t take_helpers(std::size_t wanted, std::size_t most) noexcept {
  auto busy = g_helpers.load();
  std::size_t taken = 0;
  do {
    taken = busy < most ? std::min(wanted, most - busy) : 0;
  } while (!g_helpers.compare_exchange_weak(busy, busy + taken));
  return taken;
}

}  // namespace

void copy_large(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  const auto cores = usable_cpus();
  const auto wanted = std::max<std::size_t>(1, std::min({cores, kMostCores, size / kLeastPart}));
  const auto taken = take_helpers(wanted - 1, cores - 1);
  const auto parts = taken + 1;
  const auto part = (size / parts + kPage - 1) / kPage * kPage;
  std::array<std::thread, kMostCores> helpers;
  std::size_t done = 0;  // what the helpers copy
  try {
    const SignalsBlocked blocked;  // for the threads that are started
    for (std::size_t i = 0; i + 1 < parts; ++i, done += part)
      helpers[i] = std::thread([to, from, done, part] { std::memcpy(to + done, from + done, part); });
  } catch (const std::exception&) {  // no thread to be had, or no memory for one: the rest is the caller's
  }
  std::memcpy(to + done, from + done, size - done);
  for (auto& helper : helpers)
    if (helper.joinable()) helper.join();
  g_helpers -= taken;
}

}  // namespace manta
