#include "runtime/ref_stream.hpp"

namespace manta::detail {

bool is_end_of_stream(const Cell& cell) {
  static const std::string kType = demangle(typeid(EndOfStream).name());
  return cell.failed() && cell.error()->code == ErrorCode::kTaskError && cell.error()->remote_type == kType;
}

ActorOptions stream_options(const TaskOptions& options) {
  auto refuse = [](const char* why) { throw InvalidArgument(why); };
  if (options.deadline.count() != 0) refuse("a stream has no deadline: give a timeout to next(), and drop the stream");
  if (options.retry_on.filter()) refuse("a stream is not retried after an error of its own: catch it inside, and go on");
  if (options.max_unread == 0) refuse("max_unread is 0, so the generator could never run: give 1 or more");
  return {.label = options.name, .num_cpus = options.num_cpus, .num_gpus = options.num_gpus, .resources = options.resources,
          .max_restarts = options.max_retries, .max_task_retries = options.max_retries, .cpus_while_idle = false,
          .isolation = options.isolation, .env = options.env, .log_file = options.log_file, .echo_output = options.echo_output};
}

}  // namespace manta::detail
