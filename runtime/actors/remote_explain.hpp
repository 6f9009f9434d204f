#pragma once
// RemoteExplain: what a ref waits for whose object another process owns: that one is asked, and answers for its own. One per process,
// thread-safe. An answer goes no further than the process that was asked: what that one has from a third, it names.
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/actors/lane.hpp"
#include "runtime/actors/router.hpp"
#include "runtime/wire/messages.hpp"

namespace manta::detail {

class RemoteExplain {
 public:
  /// In words for `reader`: what the object waits for that others know by `id`. May block.
  using Explain = std::function<std::string(core::ReferenceId id, ProcessId reader)>;

  /// `lane` runs `explain`, and ends before this does.
  RemoteExplain(Router& router, Lane& lane, Explain explain) : router_(router), lane_(lane), explain_(std::move(explain)) {}

  /// Waits for the owner's answer, not for ever: empty when none has come.
  std::string ask(core::ReferenceId id);
  void serve(ProcessId from, const wire::ExplainRequest& request);
  void deliver(wire::ExplainReply reply);

 private:
  struct Question {
    std::atomic<std::uint32_t> answered{0};
    std::string answer{};
  };
  std::shared_ptr<Question> take(std::uint64_t number);

  Router& router_;
  Lane& lane_;
  const Explain explain_;
  std::mutex mutex_;  // guards what follows
  std::map<std::uint64_t, std::shared_ptr<Question>> questions_;
  std::uint64_t next_question_ = 1;
};

}  // namespace manta::detail
