#pragma once
// Router: where a message goes. One per process; thread-safe; never blocks.
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class Engine;

class Router {
 public:
  virtual ~Router() = default;
  virtual ProcessId self() const = 0;
  /// To a process; to this one it is handed over as it is. A message to a process that is gone is dropped: the node tells
  /// everybody concerned.
  virtual void send(ProcessId to, wire::Message message) = 0;
  /// Of this process.
  virtual std::shared_ptr<Engine> engine() { return nullptr; }
};

}  // namespace manta::detail
