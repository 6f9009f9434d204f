#pragma once
// in_task: whether this thread runs a task or a method of an actor just now. A library that waits for long by other means than the
// runtime's should there wait by `get` on a Promise instead, so that the task's CPUs go to others meanwhile (tune::run does).
// Thread-safe; a thread that the task started itself is not in it.
// result_is_made: where the work of this thread ends for a cancel.
//
//   if (manta::detail::in_task()) client.get(done.ref());

namespace manta::detail {

bool in_task() noexcept;

/// The user's function has returned, and its value is about to be there for who waits in this process: the work that this thread runs is over
/// for whoever cancels or kills. Who has the value may do so at once, and that is not to reach what the work submitted, whose refs the
/// value may hold. Work for another process is over when its value has been turned into bytes.
void result_is_made() noexcept;

}  // namespace manta::detail
