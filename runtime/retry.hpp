#pragma once
// retry_on<E…>: which exceptions of a task's own code make it run again. Without it only the death of its worker does.
//
//   rt.task<fetch>({.max_retries = 5, .retry_on = manta::retry_on<IoProblem, manta::Timeout>,
//                   .backoff = {.initial = 100ms, .factor = 2, .max = 10s}}).remote(url);
//
// An exception of one of the types, or of a type derived from one, matches; retry_on_all matches everything that is thrown,
// also what is no std::exception. It is looked at where it was thrown, in the worker. Crashes and errors share max_retries.
#include "runtime/function.hpp"
#include "runtime/options.hpp"

namespace manta {

namespace detail {

/// Looks at the exception that is being handled.
template <class... E>
struct RetryFilter {
  template <class One>
  static bool is() {
    try {
      throw;
    } catch (const One&) {
      return true;
    } catch (...) {
      return false;
    }
  }
  static bool matches() { return sizeof...(E) == 0 || (is<E>() || ... || false); }
  static std::string name() { return "a filter of retry_on"; }
  static inline FunctionEntry entry{.name = &name, .decode = nullptr, .result_ops = nullptr,
                                    .address = reinterpret_cast<const void*>(&matches), .matches = &matches};
  static inline const bool done = (register_function(entry), true);
};

}  // namespace detail

template <class First, class... Others>
inline constexpr RetryOn retry_on{&detail::RetryFilter<First, Others...>::entry, &detail::RetryFilter<First, Others...>::done};
inline constexpr RetryOn retry_on_all{&detail::RetryFilter<>::entry, &detail::RetryFilter<>::done};

}  // namespace manta
