#pragma once
// Router: where a message goes. One per process; thread-safe; never blocks.
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class Router {
 public:
  virtual ~Router() = default;
  virtual ProcessId self() const = 0;
  /// To a process; to this one it is handed over as it is. A message to a process that is gone is dropped: the node tells
  /// everybody concerned.
  virtual void send(ProcessId to, wire::Message message) = 0;
};

}  // namespace manta::detail
