#include "runtime/actors/remote_explain.hpp"

#include "runtime/actors/scheduler.hpp"
#include "runtime/base/futex.hpp"
#include "runtime/process/reactor.hpp"

namespace manta::detail {

std::string RemoteExplain::ask(core::ReferenceId id) {
  constexpr std::chrono::seconds kPatience{2};  // the owner may be stopped, or have no thread free
  const auto question = std::make_shared<Question>();
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    number = next_question_++;
    questions_.emplace(number, question);
  }
  router_.send(maker_of(id), wire::ExplainRequest{number, id});
  Reactor::stand_back();
  ElasticScheduler::BlockedSection section;
  const auto deadline = SteadyClock::now() + kPatience;
  while (question->answered.load(std::memory_order_acquire) == 0)
    if (!futex_wait(question->answered, 0, deadline)) break;
  // Whoever takes it out writes the answer: nobody does any more, or it is being written.
  if (!take(number))
    while (question->answered.load(std::memory_order_acquire) == 0) futex_wait(question->answered, 0, std::nullopt);
  return std::move(question->answer);
}

void RemoteExplain::serve(ProcessId from, const wire::ExplainRequest& request) {
  lane_.post([this, from, request] {
    wire::ExplainReply reply{.request = request.request};
    try {
      reply.text = explain_(request.reference, from);
    } catch (...) {
      reply.text = current_exception_info().message;
    }
    router_.send(from, std::move(reply));
  });
}

void RemoteExplain::deliver(wire::ExplainReply reply) {
  const auto question = take(reply.request);
  if (!question) return;  // it came too late
  question->answer = std::move(reply.text);
  question->answered.store(1, std::memory_order_release);
  futex_wake_all(question->answered);
}

std::shared_ptr<RemoteExplain::Question> RemoteExplain::take(std::uint64_t number) {
  std::lock_guard lock(mutex_);
  const auto node = questions_.extract(number);
  return node ? node.mapped() : nullptr;
}

}  // namespace manta::detail
