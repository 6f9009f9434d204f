#include "runtime/client.hpp"

namespace manta {

void Client::await_some(const std::vector<std::shared_ptr<detail::Cell>>& cells, const WaitOptions& options) {
  std::unordered_set<const detail::Cell*> seen;
  for (const auto& cell : cells)
    if (!seen.insert(cell.get()).second) throw InvalidArgument("wait was given the same ObjectRef twice: give each once");
  if (options.count > cells.size())
    throw InvalidArgument("wait for " + std::to_string(options.count) + " of " + std::to_string(cells.size()) +
                          " refs: ask for no more than there are");
  Deadline deadline;
  if (options.timeout) deadline = SteadyClock::now() + *options.timeout;
  engine_->wait_some(cells, options.count, deadline, false);
}

void Client::await_all(const std::vector<std::shared_ptr<detail::Cell>>& cells, Deadline deadline) {
  const bool done = engine_->wait_some(cells, cells.size(), deadline, true);
  for (const auto& cell : cells)
    if (cell->failed()) throw_error(*cell->error());
  if (!done) throw_timeout();
}

void Client::throw_timeout() {
  throw Timeout("the value was not there in time; the work goes on: get it again, or give it more time");
}

}  // namespace manta
