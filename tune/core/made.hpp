#pragma once
// What a scheduler's, searcher's or stopper's `make` makes: a user's function, which may give nothing.
#include <string>

#include "runtime/errors.hpp"

namespace manta::tune {

/// `kind`: "scheduler". InvalidArgument where the spec's `make` returns null.
template <class Spec, class Context>
auto make_checked(const std::string& kind, const Spec& spec, const Context& context) {
  auto made = spec.make(context);
  if (!made) throw InvalidArgument("the " + kind + " '" + spec.name + "' makes none: its make returned null. Return a std::make_unique of it.");
  return made;
}

}  // namespace manta::tune
