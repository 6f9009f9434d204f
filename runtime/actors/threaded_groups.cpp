// The groups of a ThreadedActor: which one a call belongs to, and what waits in it.
#include <algorithm>

#include "runtime/actors/running_coroutine.hpp"
#include "runtime/actors/threaded_actor.hpp"

namespace manta::detail {

ThreadedActor::Group* ThreadedActor::group_of(const Work& call) {
  if (call.encoded && !call.encoded->group.empty()) {
    auto named = std::find_if(groups_.begin(), groups_.end(), [&](const Group& group) { return group.name == call.encoded->group; });
    return named == groups_.end() ? nullptr : &*named;
  }
  wire::Concurrency::Method method{};
  if (call.encoded) method = {call.encoded->module, call.encoded->offset};
  for (std::size_t i = 1; i < groups_.size(); ++i) {
    if (groups_[i].methods.empty()) continue;
    if (call.record && method.module == 0) {
      const auto key = function_key(*call.record->function);
      method = {key.module, key.offset};
    }
    if (groups_[i].methods.contains(method)) return &groups_[i];
  }
  return &groups_.front();
}

/// The item of the stream that ran, or whose turn it was, is over: it is the turn of the next one.
void ThreadedActor::Group::pass_on(std::uint64_t stream) {
  const auto found = streams.find(stream);
  if (found == streams.end()) return;
  if (found->second.empty())
    streams.erase(found);
  else
    items.emplace_back(stream, found->second.pop_front());
}

std::optional<Work> ThreadedActor::Group::withdraw(TaskId id, Find find) {
  if (const auto queued = (queue.*find)(id); queued != queue.end()) return queue.take(queued);
  for (auto& [stream, waiting] : streams)
    if (const auto found = (waiting.*find)(id); found != waiting.end()) return waiting.take(found);
  const auto item = std::find_if(items.begin(), items.end(), [id](const auto& each) { return each.second.id == id; });
  if (item == items.end()) return std::nullopt;
  const auto stream = item->first;
  std::optional<Work> work(std::move(item->second));
  items.erase(item);
  pass_on(stream);
  return work;
}

void ThreadedActor::Group::drop_queued(std::vector<Work>& dropped) {
  const auto drop = [&dropped](WorkQueue& calls) { std::move(calls.begin(), calls.end(), std::back_inserter(dropped)); };
  drop(queue);
  for (auto& [stream, item] : items) dropped.push_back(std::move(item));
  for (auto& [stream, waiting] : streams) drop(waiting);
  queue.clear();
  items.clear();
  streams.clear();
}

}  // namespace manta::detail
